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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import uuid4

import s3fs
from fsspec.asyn import sync

from demoire.errors import UnusablePlaceError
from pipelines.storage.local import local_temporary
from pipelines.storage.place import Entry, Place, source_changed
from pipelines.storage.range_file import RangeFile
from pipelines.storage.s3_client import s3_client
from pipelines.storage.s3_errors import (
    BadAnswerError,
    MissingObjectError,
    NameTakenError,
    NotOfferedError,
    PastTheEndError,
)


@dataclass(frozen=True)
class BucketPlace(Place):
    """A prefix in a bucket."""

    def stat(self, path: str) -> Entry | None:
        """The object at `path`: one HEAD."""
        if not self._key(path):
            return None
        try:
            head = self._call(path, "read", "head_object", self._object(path))
        except MissingObjectError:
            return None
        modified = head["LastModified"].timestamp()
        return Entry(path, head["ContentLength"], _etag(head), modified)

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List a thousand objects a request, in the store's order."""
        own_key = self._key("")
        own_length = len(f"{own_key}/") if own_key else 0
        key = self._key(path)
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": f"{key}/" if key else ""}
        if not recursive:
            request["Delimiter"] = "/"
        while True:
            page = self._call(path, "list", "list_objects_v2", request)
            for item in page.get("Contents", ()):
                # Some stores keep an empty object as the marker of a folder.
                is_folder_marker = item["Key"].endswith("/") and item["Size"] == 0
                if not is_folder_marker:
                    modified = item["LastModified"].timestamp()
                    yield Entry(item["Key"][own_length:], item["Size"], _etag(item), modified)
            for folder in page.get("CommonPrefixes", ()):
                yield Entry(folder["Prefix"][own_length:-1], 0, "", 0.0, "folder")
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        """Read a range in one GET, and check version, range and length of the answer."""
        if length == 0:
            return b""
        request = self._object(path)
        if length is not None:
            request["Range"] = f"bytes={offset}-{offset + length - 1}"
        elif offset:
            request["Range"] = f"bytes={offset}-"

        async def get(fs: s3fs.S3FileSystem) -> bytes:
            answer = await fs._call_s3("get_object", **request)
            async with answer["Body"] as body:
                if version is not None and _etag(answer) != version:
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
        """Put an object; one PUT."""
        address = self._address(path)
        s3_client().ask(self.full(path), "write", lambda fs: fs.pipe_file(address, data))

    def put_file(self, local: Path | str, path: str) -> None:
        """Put a file; a large one as a multipart upload, which appears as a whole."""
        address = self._address(path)
        s3_client().ask(self.full(path), "write", lambda fs: fs.put_file(str(local), address))

    @contextmanager
    def new_file(self, path: str) -> Iterator[Path]:
        """A local temporary file, which is uploaded at the end."""
        with local_temporary() as local:
            yield local
            self.put_file(local, path)

    def create(self, path: str, data: bytes) -> bool:
        """Put an object under `If-None-Match: *`."""
        if self.exists(path):
            return False
        # Where the answer to our request is lost, the client repeats it, and the store says that
        # the name is taken. This tells our own object from another writer's.
        writer = uuid4().hex
        request = {**self._object(path), "Body": data, "Metadata": {"demoire-writer": writer}}
        try:
            self._call(path, "write", "put_object", {**request, "IfNoneMatch": "*"})
        except NameTakenError:
            try:
                head = self._call(path, "read", "head_object", self._object(path))
            except MissingObjectError:  # taken by a write that then failed
                return self.create(path, data)
            return bool(head.get("Metadata", {}).get("demoire-writer") == writer)
        except NotOfferedError:
            self._call(path, "write", "put_object", request)
        return True

    def delete(self, path: str) -> None:
        """Delete the object."""
        try:
            self._call(path, "delete", "delete_object", self._object(path))
        except MissingObjectError:
            return

    def _call(self, path: str, verb: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of one of S3's methods."""
        answer = s3_client().ask(self.full(path), verb, lambda fs: fs.call_s3(method, **request))
        return cast(dict[str, Any], answer)

    @property
    def _bucket(self) -> str:
        return self.uri.split("/")[2]

    def _key(self, path: str) -> str:
        prefix = self.uri.partition("://")[2].partition("/")[2]
        key = "/".join(part for part in (prefix, path) if part)
        if not key.isprintable() and any("\ud800" <= character <= "\udfff" for character in key):
            raise UnusablePlaceError(
                f"{self.full(path)} is not UTF-8, which a bucket's names must be: rename it."
            )
        return key

    def _object(self, path: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._key(path)}

    def _address(self, path: str) -> str:
        key = self._key(path)
        # s3fs would read these as something else than a name.
        if "?versionId=" in key or key.endswith("/"):
            raise UnusablePlaceError(
                f"{self.full(path)} is a name that cannot be written: rename it."
            )
        return f"{self._bucket}/{key}"


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


def _etag(answer: dict[str, Any]) -> str:
    """The etag as both a listing and a head give it; size and time where a store has none."""
    etag = str(answer.get("ETag", "")).strip('"')
    if etag:
        return etag
    size = answer.get("Size", answer.get("ContentLength"))
    return f"{size}-{answer['LastModified'].timestamp():.0f}"
