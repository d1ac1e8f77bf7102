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
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, ClassVar
from uuid import uuid4

from demoire.errors import RefusedNameError, StorageError, UnusablePlaceError
from demoire.reasons import Reason
from pipelines.names import shown
from pipelines.storage.file_names import has_odd_parts, holds_odd_parts, is_too_long
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.os_errors import WAYS_OUT
from pipelines.storage.place import Entry, EntryKind, Place, source_changed

_TEMPORARY_PREFIX = ".demoire-"
_TEMPORARY_SUFFIX = ".tmp"
_COPY_BLOCK = 1 << 20  # bytes

# How a file system says that nothing can have such a name, so that nothing has it.
_NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP)

# How a file system says that it has no hard links.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)

# How it says that it has no symbolic ones.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


@dataclass(frozen=True)
class LocalPlace(Place):
    """A folder of this machine, or of a file system that it has mounted."""

    is_file_system: ClassVar[bool] = True
    keeps_folders: ClassVar[bool] = True

    def stat(self, path: str) -> Entry | None:
        """The file at `path`; links are followed."""
        with _explaining(self, path, "read"):
            try:
                status = self._path(path).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                if error.errno in _NO_SUCH_NAME:
                    return None
                raise
            if stat.S_ISDIR(status.st_mode):
                return None
            return _entry(path, status)

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List by name; folders behind links are not entered."""
        for entry in self.inventory(path, recursive=recursive):
            if entry.kind != "marker":
                yield entry

    def inventory(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List by name, empty folders as well; folders behind links are not entered."""
        for entry in self._scan(path, recursive=recursive):
            if not _is_temporary(entry.name):
                yield entry

    def refuses(self, path: str) -> bool:
        """Whether the name is too long, or the file system does not take its odd characters.

        Odd characters are tried once: a file that has them is written, looked for and removed.
        """
        if is_too_long(self.uri, path):
            return True
        return has_odd_parts(path) and not holds_odd_parts(self.uri, path)

    def leftovers(self, path: str = "") -> Iterator[Entry]:
        """Temporary files of writers that were killed."""
        for entry in self._scan(path, recursive=True):
            if _is_temporary(entry.name):
                yield entry

    def _scan(self, path: str, *, recursive: bool) -> Iterator[Entry]:
        with _explaining(self, path, "list"):
            try:
                with os.scandir(self._path(path)) as scan:
                    items = sorted(scan, key=lambda item: item.name)
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError as error:
                if error.errno in _NO_SUCH_NAME:
                    return
                raise
        if not items:
            yield Entry(f"{path}/".lstrip("/"), 0, "", 0.0, "marker")
        for item in items:
            inner = f"{path}/{item.name}".lstrip("/")
            if not item.is_dir(follow_symlinks=False):
                # A file may be gone since the folder was listed.
                with _explaining(self, inner, "read"), suppress(FileNotFoundError):
                    yield _listed_entry(inner, item)
            elif recursive:
                yield from self._scan(inner, recursive=True)
            else:
                yield Entry(inner, 0, "", 0.0, "folder")

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        """Read part of a file."""
        with _explaining(self, path, "read"), self.open(path, version=version) as file:
            file.seek(offset)
            if length is None:
                return file.read()
            return file.read(length)

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        """Open a plain file; pipes and devices are refused."""
        with _explaining(self, path, "read"):
            try:
                # O_NONBLOCK: a pipe under that name must not hang the run.
                handle = os.open(self._path(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                file = open(handle, "rb")  # noqa: SIM115, PTH123
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
            if version is not None and version != _version(status):
                file.close()
                raise source_changed(self.full(path))
            return file

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
        target = self._path(path)
        # An OSError in the caller's block is one of writing, too: disk full, most of all.
        with self._temporary(path) as temporary, _explaining(self, path, "write"):
            yield temporary
            _flush(temporary)
            temporary.replace(target)
            _flush(target.parent)

    def create(self, path: str, data: bytes) -> bool:
        """Create a file exclusively, by a hard link to a finished temporary one."""
        target = self._path(path)
        with self._temporary(path) as temporary, _explaining(self, path, "write"):
            temporary.write_bytes(data)
            _flush(temporary)
            # Unlike a rename, a hard link fails where the name is taken: of many writers one wins,
            # and the object is whole from the moment it has its name.
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                if not _create_directly(target, data):
                    return False
            _flush(target.parent)
            return True

    def make_folder(self, path: str, data: bytes = b"") -> None:
        """Make a folder, which has no bytes of its own."""
        with _explaining(self, path, "make"):
            self._path(path).mkdir(parents=True, exist_ok=True)

    def make_link(self, path: str, target: str) -> None:
        """Make a link under a temporary name, which is renamed."""
        link = self._path(path)
        temporary = link.parent / f"{_TEMPORARY_PREFIX}{uuid4().hex}{_TEMPORARY_SUFFIX}"
        with _explaining(self, path, "make"):
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.symlink_to(target)
                temporary.replace(link)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                raise RefusedNameError(
                    f"Cannot make {self.full(path)}: its file system keeps no links."
                ) from error
            finally:
                with suppress(OSError):
                    temporary.unlink()

    def delete(self, path: str) -> None:
        """Remove a file."""
        with _explaining(self, path, "delete"), suppress(FileNotFoundError, NotADirectoryError):
            self._path(path).unlink()

    @contextmanager
    def _temporary(self, path: str) -> Iterator[Path]:
        """An empty file in the folder of `path`, gone at the end unless it was renamed."""
        folder = self._path(path).parent
        temporary = folder / f"{_TEMPORARY_PREFIX}{uuid4().hex}{_TEMPORARY_SUFFIX}"
        with _explaining(self, path, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            # 0666 less the umask, like any file a user makes; tempfile's 0600 would lock others out
            # of the archive.
            temporary.touch(0o666, exist_ok=False)
        try:
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _path(self, path: str) -> Path:
        leaves = path.startswith("/") or ".." in path.split("/")
        if leaves or "\0" in path:
            raise UnusablePlaceError(
                f"'{shown(path)}' would lie outside {shown(self.uri)}: it is not touched, "
                "rename it."
            )
        return Path(self.uri, path)


# What is wrong with one name alone.
_TAKEN_NAMES = {
    errno.ENOTDIR: "a file stands where a folder is needed, choose another place",
    errno.EEXIST: "a file stands where a folder is needed, choose another place",
    errno.EISDIR: "a folder stands where a file is needed, choose another place",
    errno.ENOTEMPTY: "a folder stands where a file is needed, choose another place",
}
_REFUSED_NAMES = {
    errno.ENAMETOOLONG: "the name is too long for this file system, choose another place",
    errno.EINVAL: "this file system does not take the name, rename it",
    errno.EILSEQ: "this file system does not take the name, rename it",
    errno.ELOOP: "links lead round in a circle, put them right",
}


@contextmanager
def _explaining(place: LocalPlace, path: str, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cannot = f"Cannot {verb} {place.full(path)}"
        taken = _TAKEN_NAMES.get(error.errno or 0)
        if taken is not None:
            raise RefusedNameError(f"{cannot}: {taken}.", Reason.NAME_TAKEN) from error
        refusal = _REFUSED_NAMES.get(error.errno or 0)
        if refusal is not None:
            raise RefusedNameError(f"{cannot}: {refusal}.") from error
        way_out = WAYS_OUT.get(error.errno or 0)
        if way_out is not None:
            raise UnusablePlaceError(f"{cannot}: {way_out}.") from error
        what = error.strerror or type(error).__name__
        raise StorageError(f"{cannot}: {what}, check the disk.") from error


def _create_directly(target: Path, data: bytes) -> bool:
    """Create a file on a file system without hard links; False where there is one.

    It is exclusive still, but a crash here may leave a short object.
    """
    try:
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _entry(path: str, status: os.stat_result, kind: EntryKind | None = None) -> Entry:
    if kind is None:
        kind = "file" if stat.S_ISREG(status.st_mode) else "special"
    return Entry(path, status.st_size, _version(status), status.st_mtime, kind)


def _listed_entry(path: str, item: "os.DirEntry[str]") -> Entry:
    """The entry of what a folder lists; links are not followed."""
    status = item.stat(follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        return _entry(path, status)
    # realpath, as Path.resolve raises on a link that points to itself.
    return replace(_entry(path, status, "link"), target=os.path.realpath(item.path))


def _is_temporary(name: str) -> bool:
    return name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)


def _flush(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def local_temporary() -> Iterator[Path]:
    """An empty local file, gone at the end of the block.

    Raises:
        UnusablePlaceError: There is no room for it, or for what the block writes.
    """
    folder = tempfile.gettempdir()
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(prefix="demoire-", dir=folder)
        os.close(descriptor)
        yield Path(name)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UnusablePlaceError(
            f"There is no room left for temporary files in {folder}: free some space or set TMPDIR "
            "to a larger disk, then run the same command again."
        ) from error
    finally:
        if name:
            with suppress(OSError):
                Path(name).unlink()
