"""Places: a local folder or an `s3://` prefix, behind one small set of calls.

Everything that demoire keeps is a whole object, so a `Place` can do little: list, read a range,
write a whole object in one step, create one exclusively, delete. That little is what both a file
system and an object store can promise:

- `write`, `put_file`, `new_file` show the whole object or nothing. Locally: a temporary file in the
  same folder, fsync, rename, fsync of the folder. On S3 a PUT (or a multipart upload) is atomic by
  itself.
- `create` lets one of many writers win. Locally a hard link of the finished file; on S3
  `If-None-Match: *`.
- `read` may be given the version that was planned, and raises SourceChangedError when the object is
  another by now, or gone.

A place is only its URI: it pickles in a few bytes and opens nothing until used. The S3 client is
made at first use, once a process (0.3 to 0.5 s of CPU), and never crosses a fork. Credentials come
from the environment, never the URI. Every failure is a StorageError of one sentence that names the
place (without any secret) and the way out.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from demoire.errors import SourceChangedError
from pipelines.names import shown

EntryKind = Literal["file", "folder", "link", "special"]


@dataclass(frozen=True)
class Entry:
    """One thing in a place. `link` is a symbolic link that leaves its folder; `special` is a
    device, pipe or socket.
    """

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
    """A folder, local or in a bucket. Paths are relative to it and '/'-separated; '' is the place
    itself.
    """

    uri: str  # absolute local path or s3://bucket/prefix, without a slash at the end

    def child(self, path: str) -> "Place":
        return (
            replace(self, uri=f"{self.uri.rstrip('/')}/{path.strip('/')}")
            if path.strip("/")
            else self
        )

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

        Recursive: files, links and specials at any depth. Otherwise those directly in it, and its
        folders. Order is by name locally, and the store's own on S3. Links to folders are never
        followed.
        """

    @abstractmethod
    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        """The bytes from `offset` on; fewer than `length` only at the object's end."""

    @abstractmethod
    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        """A seekable file for reading. On S3 it reads by ranges, small ones when jumping, growing
        when sequential.
        """

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Put the whole object in one step, over whatever is there."""

    @abstractmethod
    def put_file(self, local: Path | str, path: str) -> None:
        """Put a local file's content in one step, over whatever is there. The local file stays."""

    @abstractmethod
    def new_file(self, path: str) -> AbstractContextManager[Path]:
        """`with place.new_file(path) as local:` write the local file; at the end of the block it is
        the object.

        Costs no second copy on a local place. If the block raises, nothing appears.
        """

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Put the object only if there is none; False if there is. Of many callers at once one gets
        True.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove the object; it may be gone already."""

    def leftovers(self, path: str = "") -> Iterator[Entry]:
        """Temporary files that a killed writer left behind. Deleting those older than a run is
        safe.
        """
        return iter(())


def changed(place: str) -> SourceChangedError:
    """The error for an object that is no longer the one that was planned."""
    return SourceChangedError(
        f"{place} changed since it was planned: run the same command again to plan it anew."
    )
