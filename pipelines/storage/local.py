"""A folder of this machine as a place, and temporary files.

A new file is written under a temporary name in the folder where it belongs, flushed to disk, and
renamed; then the folder is flushed, because the rename itself is only an entry in it. Without the
first fsync a power failure may leave the new name on a file without its bytes, without the second
neither name.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar

from demoire.errors import UnusablePlaceError
from demoire.temporary_files import is_of_a_full_disk, new_temporary_folder, told_of_no_room
from pipelines.storage.file_names import has_odd_parts, holds_odd_parts, is_too_long
from pipelines.storage.local_errors import explaining
from pipelines.storage.local_files import (
    create_directly,
    entry_of,
    files_named,
    flush,
    is_temporary,
    make_folders,
    make_in_folder,
    make_link_at,
    open_any,
    path_in,
    scan_folder,
    status_of,
    temporary_beside,
)
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.place import Entry, Place, source_changed
from pipelines.storage.unchanged_file import unchanged_file

_COPY_BLOCK = 1 << 20  # bytes

# How a file system says that it has no hard links.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


@dataclass(frozen=True)
class LocalPlace(Place):
    """A folder of this machine, or of a file system that it has mounted."""

    # What is there as long as the place is; '' where nothing tells. See `local_errors`.
    witness: str = field(default="", compare=False, kw_only=True)

    is_file_system: ClassVar[bool] = True
    keeps_folders: ClassVar[bool] = True

    def stat(self, path: str) -> Entry | None:
        """The file at `path`; links are followed."""
        with self._explaining(path, "read"):
            status = status_of(path_in(self, path))
        if status is None or stat.S_ISDIR(status.st_mode):
            return None
        return entry_of(path, status)

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List by name; folders behind links are not entered."""
        for entry in scan_folder(self, path, recursive=recursive):
            if entry.kind != "marker" and not is_temporary(entry.name):
                yield entry

    list_named = files_named

    def inventory(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List all by name, temporary files too; `closed` is what may not be read."""
        return scan_folder(self, path, recursive=recursive, telling_closed=True)

    def refuses(self, path: str) -> bool:
        """Whether it is too long, a temporary file's, or has odd characters that are not taken.

        Those are tried once: a file that has them is written, looked for and removed.
        """
        name = path.rpartition("/")[2]
        if is_temporary(name) or is_too_long(self.uri, path):
            return True
        return has_odd_parts(path) and not holds_odd_parts(self.uri, path)

    def leftovers(self) -> Iterator[Entry]:
        """Temporary files of writers that were killed."""
        for entry in scan_folder(self, "", recursive=True):
            if is_temporary(entry.name):
                yield entry

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        """Read part of a file."""
        with self._explaining(path, "read"), self.open(path, version=version) as file:
            file.seek(offset)
            if length is None:
                return file.read()
            return file.read(length)

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        """Open a plain file; pipes and devices are refused."""
        with self._explaining(path, "read"):
            try:
                # A pipe under that name must not hang the run.
                file = open_any(path_in(self, path))
            except (FileNotFoundError, NotADirectoryError):
                if version is not None:
                    raise source_changed(self.full(path)) from None
                raise
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                file.close()
                raise UnusablePlaceError(
                    f"{self.full(path)} is no plain file: it cannot be read as one."
                )
            return file if version is None else unchanged_file(file, version, self.full(path))

    def write(self, path: str, data: bytes) -> None:
        """Write a file in one step, by way of a temporary one."""
        with self.new_file(path) as local:
            local.write_bytes(data)

    def put_file(self, local: Path | str, path: str, facts: ObjectFacts = NO_FACTS) -> None:
        """Copy a file here in one step."""
        with (
            self.new_file(path) as temporary,
            Path(local).open("rb") as reader,
            temporary.open("wb") as writer,
        ):
            shutil.copyfileobj(reader, writer, _COPY_BLOCK)

    @contextmanager
    def new_file(self, path: str, facts: ObjectFacts = NO_FACTS) -> Iterator[Path]:
        """A temporary file in the right folder, which is renamed at the end."""
        target = path_in(self, path)
        # An OSError in the caller's block is one of writing, too: disk full, most of all.
        with self._temporary(path) as temporary, self._explaining(path, "write"):
            yield temporary
            flush(temporary)
            temporary.replace(target)
            flush(target.parent)

    def create(self, path: str, data: bytes) -> bool:
        """Create a file exclusively, by a hard link to a finished temporary one."""
        target = path_in(self, path)
        with self._temporary(path) as temporary, self._explaining(path, "write"):
            temporary.write_bytes(data)
            flush(temporary)
            # Unlike a rename, a hard link fails where the name is taken: of many writers one wins,
            # and the object is whole from the moment it has its name.
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                if not create_directly(target, data):
                    return False
            flush(target.parent)
            return True

    def make_folder(self, path: str, data: bytes = b"") -> None:
        """Make a folder, which has no bytes of its own."""
        with self._explaining(path, "make"):
            make_folders(path_in(self, path), self.witness)

    def make_link(self, path: str, target: str) -> None:
        """Make a link under a temporary name, which is renamed."""
        with self._explaining(path, "make"):
            make_link_at(path_in(self, path), target, self.full(path), self.witness)

    def delete(self, path: str) -> None:
        """Remove a file."""
        with self._explaining(path, "delete"), suppress(FileNotFoundError, NotADirectoryError):
            path_in(self, path).unlink()

    def _explaining(self, path: str, verb: str) -> AbstractContextManager[None]:
        return explaining(self.full(path), verb, self.witness)

    @contextmanager
    def _temporary(self, path: str) -> Iterator[Path]:
        """An empty file in the folder of `path`, gone at the end unless it was renamed."""
        temporary = temporary_beside(path_in(self, path))
        with self._explaining(path, "write"):
            # 0666 less the umask, like any file a user makes; tempfile's 0600 would lock others out
            # of the archive.
            make_in_folder(temporary, lambda file: file.touch(0o666, exist_ok=False), self.witness)
        try:
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def local_temporary() -> Iterator[Path]:
    """An empty local file, gone at the end of the block.

    Raises:
        UnusablePlaceError: There is no room for it, or for what the block writes.
    """
    try:
        with new_temporary_folder() as folder:
            local = folder / "file"
            local.touch()
            yield local
    except OSError as error:
        if not is_of_a_full_disk(error):
            raise
        raise UnusablePlaceError(told_of_no_room()) from error
