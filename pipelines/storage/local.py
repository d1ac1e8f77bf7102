"""A folder of this machine as a place."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from demoire.errors import StorageError
from pipelines.names import shown
from pipelines.storage.place import Entry, EntryKind, Place, changed

_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".demoire-", ".tmp"


_COPY_BLOCK = 1 << 20


@dataclass(frozen=True)
class LocalPlace(Place):
    """A folder of this machine, or of a file system that it has mounted."""

    def stat(self, path: str) -> Entry | None:
        with self._explaining(path, "read"):
            try:
                status = os.stat(self._path(path))
            except (FileNotFoundError, NotADirectoryError):
                return None
            return None if stat.S_ISDIR(status.st_mode) else _entry(path, status)

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        for entry in self._scan(path, recursive):
            if not _is_temporary(entry.name):
                yield entry

    def leftovers(self, path: str = "") -> Iterator[Entry]:
        return (entry for entry in self._scan(path, True) if _is_temporary(entry.name))

    def _scan(self, path: str, recursive: bool) -> Iterator[Entry]:
        with self._explaining(path, "list"):
            try:
                with os.scandir(self._path(path)) as scan:
                    found = sorted(scan, key=lambda item: item.name)
            except (FileNotFoundError, NotADirectoryError):
                return
        for item in found:
            inner = f"{path}/{item.name}".lstrip("/")
            if item.is_dir(follow_symlinks=False):
                if recursive:
                    yield from self._scan(inner, True)
                else:
                    yield Entry(inner, 0, "", 0.0, "folder")
                continue
            # gone since it was listed
            with self._explaining(inner, "read"), suppress(FileNotFoundError):
                yield _entry(inner, item.stat(follow_symlinks=False), link_of=item)

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        with self._explaining(path, "read"), self.open(path, version=version) as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        with self._explaining(path, "read"):
            try:
                # O_NONBLOCK: a pipe under that name must not hang the run.
                handle = os.open(self._path(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                file = open(handle, "rb")  # noqa: SIM115
            except (FileNotFoundError, NotADirectoryError):
                if version is not None:
                    raise changed(self.full(path)) from None
                raise
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                file.close()
                raise StorageError(f"{self.full(path)} is no plain file: it cannot be read as one.")
            if version is not None and version != _version(status):
                file.close()
                raise changed(self.full(path))
            return file

    def write(self, path: str, data: bytes) -> None:
        with self.new_file(path) as local:
            local.write_bytes(data)

    def put_file(self, local: Path | str, path: str) -> None:
        with (
            self.new_file(path) as temporary,
            open(local, "rb") as reader,
            temporary.open("wb") as writer,
        ):
            shutil.copyfileobj(reader, writer, _COPY_BLOCK)

    @contextmanager
    def new_file(self, path: str) -> Iterator[Path]:
        target = self._path(path)
        # An OSError in the caller's block is one of writing, too: disk full, most of all.
        with self._temporary(path, target) as temporary, self._explaining(path, "write"):
            yield temporary
            _sync(temporary)
            os.replace(temporary, target)
            _sync(os.path.dirname(target))

    def create(self, path: str, data: bytes) -> bool:
        target = self._path(path)
        with self._temporary(path, target) as temporary, self._explaining(path, "write"):
            temporary.write_bytes(data)
            _sync(temporary)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
                    raise
                # A file system without hard links. Exclusive still; a crash here may leave a short
                # object.
                try:
                    with open(target, "xb") as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                except FileExistsError:
                    return False
            _sync(os.path.dirname(target))
            return True

    def delete(self, path: str) -> None:
        with self._explaining(path, "delete"), suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._path(path))

    @contextmanager
    def _temporary(self, path: str, target: str) -> Iterator[Path]:
        folder = os.path.dirname(target)
        temporary = Path(folder, f"{_TEMPORARY_PREFIX}{uuid4().hex}{_TEMPORARY_SUFFIX}")
        with self._explaining(path, "write"):
            os.makedirs(folder, exist_ok=True)
            # 0666 less the umask, like any file a user makes; tempfile's 0600 would lock others out
            # of the archive.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            yield temporary
        finally:
            with suppress(OSError):
                os.unlink(temporary)

    def _path(self, path: str) -> str:
        if "\0" in path or path.startswith("/") or ".." in path.split("/"):
            raise StorageError(
                f"'{shown(path)}' would lie outside {shown(self.uri)}: it is not touched, rename it."
            )
        return os.path.join(self.uri, path) if path else self.uri

    @contextmanager
    def _explaining(self, path: str, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"Cannot {verb} {self.full(path)}: {_local_reason(error)}."
            ) from error


_LOCAL_REASONS = {
    errno.ENOENT: "it does not exist, check the path",
    errno.EACCES: "permission denied, let this user in or choose another place",
    errno.EPERM: "permission denied, let this user in or choose another place",
    errno.ENOSPC: "the disk is full, free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up, free some space and run the same command again",
    errno.EROFS: "the file system is read-only, choose another place",
    errno.ENOTDIR: "a file stands where a folder is needed, choose another place",
    errno.EEXIST: "a file stands where a folder is needed, choose another place",
    errno.EISDIR: "a folder stands where a file is needed, choose another place",
    errno.ENAMETOOLONG: "the name is too long for this file system, choose another place",
}


def _local_reason(error: OSError) -> str:
    return _LOCAL_REASONS.get(
        error.errno or 0, f"{error.strerror or type(error).__name__}, check the disk"
    )


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _entry(path: str, status: os.stat_result, link_of: "os.DirEntry[str] | None" = None) -> Entry:
    kind: EntryKind = "file" if stat.S_ISREG(status.st_mode) else "special"
    if stat.S_ISLNK(status.st_mode):
        assert link_of is not None
        target, folder = (
            os.path.realpath(link_of.path),
            os.path.realpath(os.path.dirname(link_of.path)),
        )
        if os.path.isfile(target) and target.startswith(folder.rstrip("/") + "/"):
            return _entry(path, os.stat(target))
        kind = "link"
    return Entry(path, status.st_size, _version(status), status.st_mtime, kind)


def _is_temporary(name: str) -> bool:
    return name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def local_temporary() -> Iterator[Path]:
    """An empty local file, gone at the end of the block. Raises StorageError where there is no room
    for it.
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
        raise StorageError(
            f"There is no room left for temporary files in {folder}: free some space or set TMPDIR to a larger disk, "
            "then run the same command again."
        ) from error
    finally:
        if name:
            with suppress(OSError):
                os.unlink(name)
