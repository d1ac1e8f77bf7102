"""A part of a file as a file of its own."""

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from demoire.seekable_reader import SizedReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def window(file: BinaryIO, start: int, length: int) -> BinaryIO:
    """Some bytes of a file as a file. The other one's position moves along.

    Args:
        file: Read by nobody else meanwhile.
        start: The first byte.
        length: Bytes.
    """
    return cast(BinaryIO, io.BufferedReader(_Window(file, start, length)))


class _Window(SizedReader):
    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        super().__init__(length)
        self._file = file
        self._start = start

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        size = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._start + self._position)
        data = self._file.read(size)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
