"""Places: a local folder or an `s3://` prefix, behind one small set of calls.

Everything that demoire keeps is a whole object, so a `Place` can do little: list, read a range, write a whole object in
one step, create one exclusively, delete. That little is what both a file system and an object store can promise:

- `write`, `put_file`, `new_file` show the whole object or nothing. Locally: a temporary file in the same folder,
  fsync, rename, fsync of the folder. On S3 a PUT (or a multipart upload) is atomic by itself.
- `create` lets one of many writers win. Locally a hard link of the finished file; on S3 `If-None-Match: *`.
- `read` may be given the version that was planned, and raises SourceChangedError when the object is another by now, or
  gone.

A place is only its URI: it pickles in a few bytes and opens nothing until used. The S3 client is made at first use,
once a process (0.3 to 0.5 s of CPU), and never crosses a fork. Credentials come from the environment, never the URI.
Every failure is a StorageError of one sentence that names the place (without any secret) and the way out.
"""

import errno
import io
import json
import os
import re
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from demoire.errors import ConfigError, SourceChangedError, StorageError, UsageError

BOOKKEEPING = "_demoire"  # the folder under DST that holds manifest, ledger, segments and report
STORAGE_OPTIONS = "DEMOIRE_STORAGE_OPTIONS"  # environment: JSON object of s3fs options; may hold secrets

_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".demoire-", ".tmp"
_COPY_BLOCK = 1 << 20
_PORT = re.compile(r":\d+$")

EntryKind = Literal["file", "folder", "link", "special"]


@dataclass(frozen=True)
class Entry:
    """One thing in a place. `link` is a symbolic link that leaves its folder; `special` is a device, pipe or socket."""

    path: str  # relative to the place, '/'-separated
    size: int  # bytes
    version: str  # etag, else 'size-mtime_ns'; differs when the content does
    mtime: float  # seconds since 1970, UTC
    kind: EntryKind = "file"

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Place(ABC):
    """A folder, local or in a bucket. Paths are relative to it and '/'-separated; '' is the place itself."""

    uri: str  # absolute local path or s3://bucket/prefix, without a slash at the end

    def child(self, path: str) -> "Place":
        return replace(self, uri=f"{self.uri.rstrip('/')}/{path.strip('/')}") if path.strip("/") else self

    def full(self, path: str = "") -> str:
        """The URI of `path`, for messages and records."""
        return shown(self.child(path).uri)

    def exists(self, path: str) -> bool:
        """Whether there is an object (not merely a folder) at `path`."""
        return self.stat(path) is not None

    @abstractmethod
    def stat(self, path: str) -> Entry | None:
        """The object at `path`, or None where there is none (folders are no objects)."""

    @abstractmethod
    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """What lies under `path`; nothing if there is no such folder.

        Recursive: files, links and specials at any depth. Otherwise those directly in it, and its folders.
        Order is by name locally, and the store's own on S3. Links to folders are never followed.
        """

    @abstractmethod
    def read(self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None) -> bytes:
        """The bytes from `offset` on; fewer than `length` only at the object's end."""

    @abstractmethod
    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        """A seekable file for reading. On S3 it reads by ranges, small ones when jumping, growing when sequential."""

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Put the whole object in one step, over whatever is there."""

    @abstractmethod
    def put_file(self, local: Path | str, path: str) -> None:
        """Put a local file's content in one step, over whatever is there. The local file stays."""

    @abstractmethod
    def new_file(self, path: str) -> AbstractContextManager[Path]:
        """`with place.new_file(path) as local:` write the local file; at the end of the block it is the object.

        Costs no second copy on a local place. If the block raises, nothing appears.
        """

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Put the object only if there is none; False if there is. Of many callers at once one gets True."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove the object; it may be gone already."""

    def leftovers(self, path: str = "") -> Iterator[Entry]:
        """Temporary files that a killed writer left behind. Deleting those older than a run is safe."""
        return iter(())


def open_place(uri: str) -> Place:
    """The place that a local path, `file://` or `s3://` URL names. Touches nothing yet.

    Raises UsageError for another scheme, or when the URL carries credentials.
    """
    scheme, separator, rest = uri.partition("://")
    if not uri:
        raise UsageError("An empty path names no place: give a folder, an archive or an s3:// URL.")
    if not separator or uri.startswith("/"):
        return LocalPlace(os.path.abspath(os.path.expanduser(uri)))
    if scheme == "file":
        return LocalPlace(os.path.abspath(unquote(urlsplit(uri).path)))
    if scheme in ("s3", "s3a"):
        from pipelines.storage.bucket import BucketPlace

        bucket, _, prefix = rest.partition("/")
        if "@" in bucket or ":" in bucket:
            raise UsageError(
                f"{redact(uri)} carries credentials: take them out of the URL and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY instead."
            )
        if not bucket:
            raise UsageError(f"{uri} names no bucket: write s3://BUCKET/PREFIX.")
        return BucketPlace(f"s3://{bucket}/{prefix.strip('/')}".rstrip("/"))
    raise UsageError(f"{redact(uri)} is of a kind that is not supported: use a local path or an s3:// URL.")


def read_storage_options() -> dict[str, Any]:
    """What DEMOIRE_STORAGE_OPTIONS holds. Raises ConfigError, which does not quote it: it may hold a secret."""
    try:
        options = json.loads(os.environ.get(STORAGE_OPTIONS) or "{}")
    except json.JSONDecodeError:
        options = None
    if not isinstance(options, dict):
        raise ConfigError(f'{STORAGE_OPTIONS} is no JSON object: write it like {{"endpoint_url": "https://..."}}.')
    return options


def redact(text: str) -> str:
    """`text` with the `user:password@` of a URL replaced by `***@`, a password with slashes in it too."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        return f"{scheme}://***@{authority.rpartition('@')[2]}{slash}{path}"
    if ":" in authority and not _PORT.search(authority) and "@" in path:
        return f"{scheme}://***@{path.rpartition('@')[2]}"
    return text


def shown(name: str) -> str:
    """`name` as text that can be printed and encoded anywhere: no secret, no lone surrogate, no control character."""
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in redact(name))
    return printable.encode("utf-8", "backslashreplace").decode("utf-8")


def split_glob(src: str) -> tuple[Place, str]:
    """SRC as the place up to its first wildcard, and the pattern from there on ('' if there is none).

    A name that exists as it stands is no pattern, whatever characters are in it.
    """
    cut = min((i for i in (src.find(c) for c in "*?[") if i >= 0), default=-1)
    if cut < 0 or (literal := open_place(src)).exists("") or next(literal.list(), None) is not None:
        return open_place(src), ""
    base, _, pattern = src[:cut].rpartition("/")
    if not base and not src.startswith("/"):
        base = "."
    return open_place(base or "/"), pattern + src[cut:]


def check_places(src: str, dst: str) -> None:
    """Whether a run from SRC to DST can begin; DST is made and one small object written there and deleted.

    Raises UsageError or StorageError: SRC missing or empty, SRC and DST the same or one inside the other, DST not
    writable, credentials refused.
    """
    source, pattern = split_glob(src)
    destination = open_place(dst)
    _check_apart(source, pattern, destination, src, dst)
    if not source.exists("") and next(source.list(), None) is None:
        if isinstance(source, LocalPlace) and os.path.isdir(source.uri):
            raise UsageError(f"{shown(src)} is empty: there is nothing to clean.")
        raise UsageError(f"{shown(src)} does not exist: check the path.")
    probe = f"{BOOKKEEPING}/probe-{uuid4().hex}"
    destination.write(probe, b"")
    destination.delete(probe)


def _check_apart(source: Place, pattern: str, destination: Place, src: str, dst: str) -> None:
    inner, outer = _components(source), _components(destination)
    if inner == outer and not pattern:
        raise UsageError(f"SRC and DST are both {shown(src)}: choose another DST, nothing is overwritten.")
    if inner[: len(outer)] == outer:
        raise UsageError(f"SRC {shown(src)} lies inside DST {shown(dst)}: choose a DST apart from it.")
    below = outer[len(inner) :]
    if outer[: len(inner)] == inner and (not pattern or _could_match(below, pattern.split("/"))):
        raise UsageError(f"DST {shown(dst)} lies inside SRC {shown(src)}: choose a DST apart from it.")


def _components(place: Place) -> list[str]:
    return (os.path.realpath(place.uri) if isinstance(place, LocalPlace) else place.uri).rstrip("/").split("/")


def _could_match(folders: list[str], patterns: list[str]) -> bool:
    """Whether a glob could take in what lies in a folder below its base."""
    for folder, pattern in zip(folders, patterns, strict=False):
        if "**" in pattern:
            return True
        if not fnmatchcase(folder, pattern):
            return False
    return True


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
            with self._explaining(inner, "read"), suppress(FileNotFoundError):  # gone since it was listed
                yield _entry(inner, item.stat(follow_symlinks=False), link_of=item)

    def read(self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None) -> bytes:
        with self._explaining(path, "read"), self.open(path, version=version) as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        with self._explaining(path, "read"):
            try:
                # O_NONBLOCK: a pipe under that name must not hang the run.
                file = open(os.open(self._path(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115
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
        with self.new_file(path) as temporary, open(local, "rb") as reader, temporary.open("wb") as writer:
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
                # A file system without hard links. Exclusive still; a crash here may leave a short object.
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
            # 0666 less the umask, like any file a user makes; tempfile's 0600 would lock others out of the archive.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            yield temporary
        finally:
            with suppress(OSError):
                os.unlink(temporary)

    def _path(self, path: str) -> str:
        if "\0" in path or path.startswith("/") or ".." in path.split("/"):
            raise StorageError(f"'{shown(path)}' would lie outside {shown(self.uri)}: it is not touched, rename it.")
        return os.path.join(self.uri, path) if path else self.uri

    @contextmanager
    def _explaining(self, path: str, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"Cannot {verb} {self.full(path)}: {_local_reason(error)}.") from error


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
    return _LOCAL_REASONS.get(error.errno or 0, f"{error.strerror or type(error).__name__}, check the disk")


def changed(place: str) -> SourceChangedError:
    """The error for an object that is no longer the one that was planned."""
    return SourceChangedError(f"{place} changed since it was planned: run the same command again to plan it anew.")


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _entry(path: str, status: os.stat_result, link_of: "os.DirEntry[str] | None" = None) -> Entry:
    kind: EntryKind = "file" if stat.S_ISREG(status.st_mode) else "special"
    if stat.S_ISLNK(status.st_mode):
        assert link_of is not None
        target, folder = os.path.realpath(link_of.path), os.path.realpath(os.path.dirname(link_of.path))
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


class RangeFile(io.RawIOBase):
    """A seekable, read-only file over ranged reads of a place.

    A jump (to the next tar header, behind a big payload) costs one small request; reading on from where the last
    request ended doubles its size, up to a limit. So an index of big members moves few bytes, and a copy few requests.
    """

    SMALLEST, LARGEST, KEPT = 32 << 10, 8 << 20, 3

    def __init__(self, place: Place, path: str, size: int, version: str) -> None:
        super().__init__()
        self._place, self._path, self._size, self._version = place, path, size, version
        self._position = 0
        self._step = self.SMALLEST
        self._blocks: list[tuple[int, bytes]] = []  # most recent last
        self.requests = 0
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if position < 0:
            raise OSError(errno.EINVAL, "cannot seek before the beginning")
        self._position = position
        return position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fills the whole buffer unless the file ends: callers such as tarfile take less for a cut file."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._position < self._size:
            start, block = self._block(self._position, len(view) - done)
            piece = block[self._position - start : self._position - start + len(view) - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done

    def _block(self, position: int, wanted: int) -> tuple[int, bytes]:
        for start, block in reversed(self._blocks):
            if start <= position < start + len(block):
                return start, block
        last_end = sum((self._blocks[-1][0], len(self._blocks[-1][1]))) if self._blocks else -1
        self._step = min(2 * self._step, self.LARGEST) if position == last_end else self.SMALLEST
        length = min(max(self._step, min(wanted, self.LARGEST)), self._size - position)
        block = self._place.read(self._path, position, length, version=self._version)
        self.requests += 1
        self.bytes_read += len(block)
        if len(block) != length:
            raise StorageError(f"{self._place.full(self._path)} gave {len(block)} bytes of {length}: try again later.")
        self._blocks = [*self._blocks[1 - self.KEPT :], (position, block)]
        return position, block


@contextmanager
def local_temporary() -> Iterator[Path]:
    """An empty local file, gone at the end of the block. Raises StorageError where there is no room for it."""
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
