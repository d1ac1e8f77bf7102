"""Places: a local folder or a prefix of an object store, behind one small set of calls.

Everything that demoire keeps is a whole object, so a `Place` can do little: list, read a range,
write a whole object in one step, create one exclusively, delete. Both a file system and an object
store can promise that little:

- `write`, `put_file` and `new_file` show the whole object or nothing. Locally that takes a
  temporary file in the same folder, fsync, rename, and fsync of the folder. On S3 a PUT (or a
  multipart upload) is atomic by itself.
- `create` lets one of many writers win. Locally it is a hard link to the finished file; on S3
  `If-None-Match: *`.
- `read` may be given the version that was planned, and raises SourceChangedError when the object
  is another by now, or gone.

A place is only its URI: it pickles in a few bytes and opens nothing until used. The S3 client is
made at first use, once a process (0.3 to 0.5 s of CPU), and never crosses a fork. Credentials come
from the environment, never from the URI. Every failure is a StorageError of one sentence that names
the place (without any secret) and the way out: an UnusablePlaceError where the user has to put
something right, a plain StorageError where the store failed for the moment.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, Self

from demoire.errors import RefusedNameError, SourceChangedError
from demoire.file_bytes import LARGE_BYTES, FileBytes, read_part, write_file
from pipelines.names import shown
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts

EntryKind = Literal["file", "folder", "link", "special", "closed", "marker"]

REQUESTS_AT_ONCE = 16  # small ones, of which each mostly waits for the store


@dataclass(frozen=True)
class Entry:
    """One thing in a place.

    A `link` is a symbolic link, and a `special` a device, pipe or socket. What is `closed` is a
    file or folder that this program may not read. A `marker` stands for a folder itself: an empty
    folder locally, a key that ends in '/' in a bucket. Its path ends in '/', or is '' for the place
    itself.
    """

    path: str  # relative to the place, '/'-separated
    size: int  # bytes
    version: str  # etag, else 'size-mtime_ns'; differs when the content does
    mtime: float  # seconds since 1970, UTC
    kind: EntryKind = "file"
    target: str = ""  # of a link: the real path it leads to, whether or not that exists

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Place(ABC):
    """A folder, local or in an object store.

    Paths are relative to it and '/'-separated; '' is the place itself.
    """

    uri: str  # absolute local path, or a URL such as s3://bucket/prefix, without a slash at the end

    # Whether folders and links are things of their own, as in a file system: no file can have the
    # name of a folder.
    is_file_system: ClassVar[bool] = False
    keeps_folders: ClassVar[bool] = False  # without files in them

    def child(self, path: str) -> Self:
        """The place one or more folders further down."""
        below = path.strip("/")
        if not below:
            return self
        return replace(self, uri=f"{self.uri.rstrip('/')}/{below}")

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
        """List what lies under `path`; nothing if there is no such folder.

        Args:
            path: The folder to list.
            recursive: List files, links and specials at any depth. Otherwise those directly in the
                folder, and its folders.

        Returns:
            The entries: by name locally, in the store's own order elsewhere. Links to folders are
            never followed.
        """

    def list_named(self, path: str, prefix: str) -> Iterator[Entry]:
        """List the files directly in a folder whose names begin so; a store lists no others."""
        for entry in self.list(path, recursive=False):
            if entry.kind == "file" and entry.name.startswith(prefix):
                yield entry

    def inventory(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List as `list` does, and besides what that leaves out: markers, unfinished files."""
        return self.list(path, recursive=recursive)

    def refuses(self, path: str) -> bool:
        """Whether no object can have this path here: too long, not allowed, or a temporary file's.

        It is asked before any work. What it misses is found when the object is written, which
        raises RefusedNameError.
        """
        return False

    @abstractmethod
    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        """Read the bytes from `offset` on; fewer than `length` only at the object's end.

        Raises:
            SourceChangedError: The object is no longer of this version, or gone.
        """

    @abstractmethod
    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        """Open an object as a seekable file for reading.

        Away from this machine it reads by ranges: small ones when jumping, growing ones when
        reading on.

        Raises:
            SourceChangedError: The object is no longer of this version, or gone. So do later reads.
        """

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Put the whole object in one step, over whatever is there."""

    @abstractmethod
    def put_file(self, local: Path | str, path: str, facts: ObjectFacts = NO_FACTS) -> None:
        """Put a local file's content in one step, over whatever is there. The local file stays.

        `facts`: What the store is to keep of the object, where it keeps such things.
        """

    @abstractmethod
    def new_file(self, path: str, facts: ObjectFacts = NO_FACTS) -> AbstractContextManager[Path]:
        """`with place.new_file(path) as local:` write the local file.

        At the end of the block it is the object; a local place needs no second copy for that. If
        the block raises, nothing appears.
        """

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Put the object only if there is none; False if there is.

        Of many callers at once, one gets True.
        """

    def make_folder(self, path: str, data: bytes = b"") -> None:
        """Make a folder that may stay empty; only a bucket's marker can hold `data`.

        Raises:
            RefusedNameError: There are no such folders here, or something else has the name.
        """
        raise RefusedNameError(f"Cannot make {self.full(path)}: folders cannot be kept there.")

    def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link in one step, over a file or link; `target` is what it says.

        Raises:
            RefusedNameError: There are no links here, or a folder has the name.
        """
        raise RefusedNameError(f"Cannot make {self.full(path)}: links cannot be kept there.")

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove the object; it may be gone already."""

    def facts(self, path: str) -> ObjectFacts:
        """What the store keeps of the object at `path` besides its bytes; nothing here."""
        return NO_FACTS

    def copy_from(self, origin: "Place", origin_path: str, path: str, version: str) -> bool:
        """Have the store itself copy an object of this version from there, with all its facts.

        Returns:
            Whether it did. False where the two are not on one store, or it does not copy: then the
            object has to be read and written.

        Raises:
            SourceChangedError: The object is no longer of this version, or gone.
        """
        return False

    def leftovers(self) -> Iterator[Entry]:
        """Temporary files that a killed writer left behind; those older than a run may go."""
        return iter(())


def read_object(
    place: Place, path: str, offset: int, length: int | None, *, version: str | None = None
) -> FileBytes:
    """Read so many bytes, or all, as `Place.read` does; many of them are mapped.

    Raises:
        SourceChangedError: The object is no longer of this version, or gone.
    """
    if length is None or length < LARGE_BYTES:
        return place.read(path, offset, length, version=version)
    with place.open(path, version=version) as file:
        return read_part(file, offset, length)


def write_object(place: Place, path: str, data: FileBytes) -> None:
    """Put the whole object in one step, over whatever is there; a mapped one stays on disk."""
    if isinstance(data, bytes):
        place.write(path, data)
        return
    with place.new_file(path) as local:
        write_file(local, data)


def write_side_by_side(place: Place, objects: Mapping[str, FileBytes]) -> None:
    """Put several objects, by their paths, each in one step.

    The disk or the store takes the time, so together they take hardly longer than one.
    """
    with ThreadPoolExecutor(len(objects), thread_name_prefix="write") as pool:
        list(pool.map(partial(write_object, place), objects.keys(), objects.values()))


def source_changed(name: str) -> SourceChangedError:
    """The error for an object that is no longer the one that was planned."""
    return SourceChangedError(
        f"{name} changed since it was planned: run the same command again to plan it anew."
    )
