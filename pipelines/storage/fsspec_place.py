"""Any other store that fsspec knows: Google Cloud Storage, Azure, HTTP servers, memory.

S3 has a module of its own, where every answer is checked in the same request. Here fsspec's few
common calls have to do, and the file system's own package has to be installed (`gcsfs`, `adlfs`):

- A version is checked before and after a read, so a read costs up to three requests instead of
  one.
- Retries are those of the file system.
- Only stores whose uploads appear as a whole can be DST; everything else (HTTP, SFTP, ...) can be
  SRC alone, since a half-written mirror would look like a whole one.
- Headers and metadata of an object are kept where the store can copy it by itself; what is read
  here and written there has none.
- `create` asks for exclusive creation. A file system that ignores it would overwrite silently, so
  existence is checked first, as on an S3 store without conditional writes.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec

from demoire.errors import (
    DemoireError,
    SourceChangedError,
    StorageError,
    UnusablePlaceError,
    UsageError,
)
from pipelines.names import redact
from pipelines.storage.local import local_temporary
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.options import read_storage_options
from pipelines.storage.place import Entry, Place, source_changed
from pipelines.storage.range_file import RangeFile

# Stores whose objects appear as a whole, or not at all.
_WHOLE_OBJECT_SCHEMES = ("gs", "gcs", "az", "abfs", "abfss", "memory")

_WEB_SCHEMES = ("http", "https")

# How the file systems call what tells one content of an object from another, and its time.
_VERSION_KEYS = ("etag", "ETag", "generation", "md5Hash", "content_md5")
_TIME_KEYS = ("mtime", "updated", "last_modified", "LastModified", "Last-Modified", "created")


class _MissingObjectError(UnusablePlaceError):
    """There is no object under this name."""


@dataclass(frozen=True)
class FsspecPlace(Place):
    """A folder or prefix behind an fsspec file system."""

    def stat(self, path: str) -> Entry | None:
        """The object at `path`, as far as the file system tells."""
        fs, full = self._locate(path)
        with _explaining(self, path, "read"):
            try:
                facts = fs.info(full)
            except (FileNotFoundError, NotADirectoryError) as error:
                if _is_unreachable(self, error):
                    raise
                return None
        # To a web server everything is a file; the page that lists a folder stands for the folder.
        is_listing = not path and facts.get("mimetype") == "text/html"
        if is_listing or facts["type"] == "directory":
            return None
        return _entry(path, facts)

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List folder by folder."""
        fs, root = self._locate("")
        _, top = self._locate(path)
        with _explaining(self, path, "list"):
            fs.invalidate_cache()
            levels = fs.walk(top, maxdepth=None if recursive else 1, detail=True)
            for _, folders, files in levels:
                for facts in files.values():
                    # walk() lists an object that is no folder as a nameless file in itself.
                    if facts["name"] != top:
                        yield self._listed(_below(facts["name"], root), facts)
                if not recursive:
                    for facts in folders.values():
                        yield Entry(_below(facts["name"], root), 0, "", 0.0, "folder")

    def _listed(self, path: str, facts: dict[str, Any]) -> Entry:
        if facts.get("size") is None:  # as in the listing of an HTTP server
            return self.stat(path) or _entry(path, facts)
        return _entry(path, facts)

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        """Read a range; with a version, the object is looked at before and after."""
        entry = self._known(path, version)
        end = entry.size if length is None else min(offset + length, entry.size)
        if offset >= end:
            return b""
        fs, full = self._locate(path)
        with _explaining(self, path, "read"):
            data = cast(bytes, fs.cat_file(full, start=offset, end=end))
        if version is not None:
            self._known(path, version)
        if len(data) == entry.size:  # as from a web server that ignores ranges
            data = data[offset:end]
        if len(data) != end - offset:
            raise StorageError(
                f"Cannot read {self.full(path)}: the store answered with {len(data)} bytes of "
                f"{end - offset}, try again later."
            )
        return data

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        """Open an object for reading by ranges."""
        entry = self._known(path, version)
        return cast(BinaryIO, RangeFile(self, path, entry.size, entry.version))

    def write(self, path: str, data: bytes) -> None:
        """Put an object, where the store shows it as a whole."""
        fs, full = self._locate(path, to_write=True)
        with _explaining(self, path, "write"):
            fs.pipe_file(full, data)

    def put_file(self, local: Path | str, path: str, facts: ObjectFacts = NO_FACTS) -> None:
        """Put a file, where the store shows it as a whole."""
        fs, full = self._locate(path, to_write=True)
        with _explaining(self, path, "write"):
            fs.put_file(str(local), full)

    @contextmanager
    def new_file(self, path: str, facts: ObjectFacts = NO_FACTS) -> Iterator[Path]:
        """A local temporary file, which is uploaded at the end."""
        with local_temporary() as local:
            yield local
            self.put_file(local, path)

    def copy_from(self, origin: Place, origin_path: str, path: str, version: str) -> bool:
        """Have the store copy an object of the same scheme, and look at the original after that."""
        if not isinstance(origin, FsspecPlace) or _scheme(origin.uri) != _scheme(self.uri):
            return False
        origin._known(origin_path, version)
        fs, full = self._locate(path, to_write=True)
        _, original = origin._locate(origin_path)
        try:
            with _explaining(self, path, "write"):
                fs.cp_file(original, full)
        except (StorageError, NotImplementedError):
            return False
        try:
            origin._known(origin_path, version)
        except SourceChangedError:
            self.delete(path)
            raise
        return True

    def create(self, path: str, data: bytes) -> bool:
        """Put an object exclusively, where the file system can."""
        fs, full = self._locate(path, to_write=True)
        if self.exists(path):
            return False
        with _explaining(self, path, "write"):
            try:
                fs.pipe_file(full, data, mode="create")
            except FileExistsError:
                return False
            except NotImplementedError:
                fs.pipe_file(full, data)
        return True

    def delete(self, path: str) -> None:
        """Delete the object."""
        fs, full = self._locate(path, to_write=True)
        with _explaining(self, path, "delete"), suppress(FileNotFoundError):
            fs.rm_file(full)

    def _locate(
        self, path: str, *, to_write: bool = False
    ) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system, which fsspec keeps once a process, and the path as it wants it."""
        scheme = _scheme(self.uri)
        if to_write and scheme not in _WHOLE_OBJECT_SCHEMES:
            raise UnusablePlaceError(
                f"Cannot write {self.full(path)}: {scheme}:// places can only be read, choose "
                "another DST."
            )
        with _explaining(self, path, "open"):
            # A web server has no use for the options of the store that is the other place.
            options = {} if scheme in _WEB_SCHEMES else read_storage_options()
            fs, root = fsspec.core.url_to_fs(self.uri, **options)
        full = f"{root.rstrip('/')}/{path}" if path else root
        return fs, full

    def _known(self, path: str, version: str | None) -> Entry:
        """The object as it is now. Raises where it is not there, or of another version."""
        entry = self.stat(path)
        if version is not None and (entry is None or entry.version != version):
            raise source_changed(self.full(path))
        if entry is None:
            raise _MissingObjectError(f"{self.full(path)} does not exist: check the path.")
        return entry


@contextmanager
def _explaining(place: FsspecPlace, path: str, verb: str) -> Iterator[None]:
    cannot = f"Cannot {verb} {place.full(path)}"
    try:
        yield
    except (DemoireError, FileExistsError, NotImplementedError):
        raise
    except FileNotFoundError as error:
        if _is_unreachable(place, error):
            raise StorageError(
                f"{cannot}: the server cannot be reached, check the URL and the network."
            ) from None
        raise _MissingObjectError(f"{cannot}: it does not exist, check the path.") from None
    # Every file system has errors of its own. Only their names are told: what they say may hold
    # a secret.
    except Exception as error:
        what = type(error).__name__
        refused = isinstance(error, PermissionError) or _status(error) in (401, 403)
        if refused:
            raise UnusablePlaceError(
                f"{cannot}: access denied ({what}), check the credentials."
            ) from None
        raise StorageError(
            f"{cannot}: the store failed ({what}), run the same command again later."
        ) from None


def _is_unreachable(place: FsspecPlace, error: OSError) -> bool:
    """Whether a web server did not answer, which fsspec tells like a page that is not there."""
    return _scheme(place.uri) in _WEB_SCHEMES and isinstance(error.__cause__, OSError)


def open_fsspec(uri: str) -> FsspecPlace:
    """The place that a URL of one of fsspec's schemes names. Touches nothing yet.

    Raises:
        UsageError: fsspec does not know the scheme, or lacks the package for it.
    """
    scheme = uri.partition("://")[0]
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError:
        raise UsageError(
            f"{redact(uri)} is of a kind that is not supported: use a local path or an s3:// URL."
        ) from None
    except ImportError as error:
        raise UsageError(f"{redact(uri)} needs a package that is not installed: {error}.") from None
    return FsspecPlace(uri.rstrip("/"))


def _scheme(uri: str) -> str:
    return uri.partition("://")[0]


def _below(name: str, root: str) -> str:
    return name[len(root) :].strip("/")


def _entry(path: str, facts: dict[str, Any]) -> Entry:
    size = int(facts.get("size") or 0)
    modified = _first(facts, _TIME_KEYS)
    seconds = _timestamp(modified)
    version = _first(facts, _VERSION_KEYS)
    if version is None:
        version = f"{size}-{seconds or modified}"
    return Entry(path, size, str(version).strip('"'), seconds)


def _first(facts: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if facts.get(key):
            return facts[key]
    return None


def _timestamp(value: Any) -> float:
    """Seconds since 1970 of what file systems give as a time; 0 where it is something else."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0


def _status(error: BaseException) -> int | None:
    """The HTTP status of an answer, where the error has one."""
    for name in ("status", "status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            return value
    return None
