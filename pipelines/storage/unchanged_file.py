"""A file of this machine that is read only as long as it is of one version.

Others may write into a file that is open here. What is read then is neither the one version nor the
other, and a mirror made of it would be of nothing that ever was. A store refuses each range of an
object that was replaced; here the file is looked at after each read, so that all bytes that were
given are of the version asked for. Costs a microsecond a read.
"""

import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

from demoire.errors import SourceChangedError
from pipelines.storage.local_files import version_of
from pipelines.storage.place import source_changed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_AT_ONCE = 128 << 10  # bytes


def unchanged_file(file: BinaryIO, version: str, name: str) -> BinaryIO:
    """The same file, read as long as it is of this version.

    Args:
        file: Taken over: it is not to be used any more.
        version: The one that it has to be of.
        name: For the error.

    Raises:
        SourceChangedError: It is of another version, or from any read: it is by now.
    """
    handle = os.dup(file.fileno())
    file.close()
    unchanged = _UnchangedFile(handle, version, name)
    try:
        unchanged.check()
    except SourceChangedError:
        unchanged.close()
        raise
    return cast(BinaryIO, io.BufferedReader(unchanged, _READ_AT_ONCE))


class _UnchangedFile(io.FileIO):
    def __init__(self, handle: int, version: str, shown_name: str) -> None:
        super().__init__(handle)
        self._version = version
        self._shown_name = shown_name

    def readinto(self, buffer: "WriteableBuffer") -> int:
        count = super().readinto(buffer)
        self.check()
        return count or 0

    def readall(self) -> bytes:
        data = super().readall()
        self.check()
        return data or b""

    def check(self) -> None:
        if version_of(os.fstat(self.fileno())) != self._version:
            raise source_changed(self._shown_name)
