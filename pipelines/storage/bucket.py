"""Buckets of any S3-compatible store, through s3fs.

s3fs gives the client, its event loop and its regions. What is own here is what a nightly run needs
on top of it: every answer is checked (version, range, number of bytes) and asked for again when it
does not check out; throttling and broken connections are waited for longer than s3fs does
(`pipelines.storage.s3_client`); every failure becomes one sentence without secrets
(`pipelines.storage.s3_errors`); and creation is exclusive, which s3fs does not offer.

Exclusive creation asks the store for it (`If-None-Match: *`). A store that ignores the header would
overwrite silently, so existence is checked first: that is the last resort there, with a window of
some milliseconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import s3fs
from fsspec.asyn import sync

from demoire.errors import RefusedNameError
from pipelines.paths import path_below
from pipelines.storage.local import local_temporary
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.place import Entry, EntryKind, Place, source_changed
from pipelines.storage.range_file import RangeFile
from pipelines.storage.s3_client import s3_client
from pipelines.storage.s3_copy import CopyRefusedError, OriginChangedError, copy_object
from pipelines.storage.s3_errors import (
    BadAnswerError,
    MissingObjectError,
    PastTheEndError,
)
from pipelines.storage.s3_object import S3Object, etag_in


@dataclass(frozen=True)
class BucketPlace(Place):
    """A prefix in a bucket."""

    keeps_folders: ClassVar[bool] = True

    def stat(self, path: str) -> Entry | None:
        """The object at `path`: one HEAD."""
        wanted = self._object(path)
        if not wanted.key:
            return None
        try:
            head = wanted.head()
        except MissingObjectError:
            return None
        return Entry(path, head["ContentLength"], etag_in(head), head["LastModified"].timestamp())

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List a thousand objects a request, in the store's order."""
        for entry in self.inventory(path, recursive=recursive):
            # Some stores keep an empty object as the marker of a folder.
            if entry.kind != "marker":
                yield entry
            elif entry.size:
                yield replace(entry, kind="file")

    def inventory(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List a thousand objects a request, with the keys that end in '/'."""
        top = self._object(path)
        prefix = f"{top.key}/" if top.key else ""
        yield from _listed(top, prefix, self._own_length, recursive=recursive)

    def list_named(self, path: str, prefix: str) -> Iterator[Entry]:
        """List a thousand objects a request, and only those whose names begin so."""
        top = self._object(path_below(path, prefix))
        for entry in _listed(top, top.key, self._own_length, recursive=False):
            if entry.kind == "file":
                yield entry

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        """Read a range in one GET, and check version, range and length of the answer."""
        if length == 0:
            return b""
        request = self._object(path).address
        if length is not None:
            request["Range"] = f"bytes={offset}-{offset + length - 1}"
        elif offset:
            request["Range"] = f"bytes={offset}-"

        async def get(fs: s3fs.S3FileSystem) -> bytes:
            answer = await fs._call_s3("get_object", **request)
            async with answer["Body"] as body:
                if version is not None and etag_in(answer) != version:
                    raise source_changed(self.full(path))
                data = cast(bytes, await body.read())
            _check_answer(answer, data, offset, request)
            return data

        try:
            answer = s3_client().ask(self.full(path), "read", lambda fs: sync(fs.loop, get, fs))
            return cast(bytes, answer)
        except PastTheEndError:
            return b""
        except MissingObjectError:
            if version is not None:
                raise source_changed(self.full(path)) from None
            raise

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        """Open an object for reading by ranges."""
        entry = self.stat(path)
        if version is not None and (entry is None or entry.version != version):
            raise source_changed(self.full(path))
        if entry is None:
            raise MissingObjectError(f"{self.full(path)} does not exist: check the path.")
        return cast(BinaryIO, RangeFile(self, path, entry.size, entry.version))

    def write(self, path: str, data: bytes) -> None:
        """Put an object; one PUT. Its type is that of its name."""
        self._object(path).put_bytes(data, NO_FACTS)

    def put_file(self, local: Path | str, path: str, facts: ObjectFacts = NO_FACTS) -> None:
        """Put a file; a large one as a multipart upload, which appears as a whole."""
        self._object(path).put_file(local, facts)

    @contextmanager
    def new_file(self, path: str, facts: ObjectFacts = NO_FACTS) -> Iterator[Path]:
        """A local temporary file, which is uploaded at the end."""
        with local_temporary() as local:
            yield local
            self.put_file(local, path, facts)

    def facts(self, path: str) -> ObjectFacts:
        """Headers, user metadata and tags of an object; none where there is no object."""
        try:
            return self._object(path).facts()
        except MissingObjectError:
            return NO_FACTS

    def copy_from(self, origin: Place, origin_path: str, path: str, version: str) -> bool:
        """Have the store copy an object of the same store."""
        if not isinstance(origin, BucketPlace):
            return False
        original = origin._object(origin_path)
        try:
            copy_object(original, self._object(path), version)
        except CopyRefusedError:
            return False
        except OriginChangedError:
            raise source_changed(original.name) from None
        return True

    def create(self, path: str, data: bytes) -> bool:
        """Put an object under `If-None-Match: *`."""
        return not self.exists(path) and self._object(path).create(data)

    def make_folder(self, path: str, data: bytes = b"") -> None:
        """Put an object whose key ends in '/'; a bucket's top folder has none."""
        self._object(path).put_marker(data)

    def refuses(self, path: str) -> bool:
        """Whether the key is too long, no UTF-8, or one that s3fs reads as something else."""
        with suppress(RefusedNameError):
            return self._object(path).is_refused
        return True

    def delete(self, path: str) -> None:
        """Delete the object."""
        with suppress(MissingObjectError):
            self._object(path).call("delete", "delete_object")

    @property
    def _own_length(self) -> int:
        """How many characters of its keys are the place's own: its prefix and a slash."""
        key = self._object("").key
        return len(f"{key}/") if key else 0

    def _object(self, path: str) -> S3Object:
        bucket, _, prefix = self.uri.partition("://")[2].partition("/")
        key = "/".join(part for part in (prefix, path) if part)
        _check_text(key, self.full(path))
        return S3Object(bucket, key, self.full(path))


def _listed(top: S3Object, prefix: str, own_length: int, *, recursive: bool) -> Iterator[Entry]:
    """What lies under the keys that begin with a prefix.

    Args:
        top: What is listed, for messages.
        prefix: How the keys begin.
        own_length: So many characters of each key are the place's own, and no part of the path.
        recursive: Whether keys with a further '/' are listed too, or folders in their place.
    """
    for page in _pages(top, prefix, recursive=recursive):
        for item in page.get("Contents", ()):
            yield _listed_entry(item, own_length)
        for folder in page.get("CommonPrefixes", ()):
            yield Entry(folder["Prefix"][own_length:-1], 0, "", 0.0, "folder")


def _pages(top: S3Object, prefix: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    """The store's answers to a listing."""
    request: dict[str, Any] = {"Prefix": prefix}
    if not recursive:
        request["Delimiter"] = "/"
    while True:
        page = top.call("list", "list_objects_v2", **request)
        yield page
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _listed_entry(item: dict[str, Any], own_length: int) -> Entry:
    """An object of a listing; the first `own_length` characters of its key are the place's own."""
    modified = item["LastModified"].timestamp()
    kind: EntryKind = "marker" if item["Key"].endswith("/") else "file"
    return Entry(item["Key"][own_length:], item["Size"], etag_in(item), modified, kind)


def _check_text(key: str, name: str) -> None:
    if not key.isprintable() and any("\ud800" <= character <= "\udfff" for character in key):
        raise RefusedNameError(f"{name} is not UTF-8, which a bucket's names must be: rename it.")


def _check_answer(
    answer: dict[str, Any], data: bytes, offset: int, request: dict[str, Any]
) -> None:
    """Raise BadAnswerError unless these are the bytes that were asked for.

    A connection may end early without an error, and a proxy may answer with another range of the
    object.
    """
    if len(data) != answer["ContentLength"]:
        raise BadAnswerError
    asked_for = request.get("Range")
    if asked_for is None:
        return
    last = asked_for.rpartition("-")[2]
    if last and len(data) > int(last) + 1 - offset:
        raise BadAnswerError
    if not answer.get("ContentRange", "").startswith(f"bytes {offset}-"):
        raise BadAnswerError
