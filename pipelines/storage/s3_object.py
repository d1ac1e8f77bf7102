"""One object of an S3 store: the requests that concern it alone.

An object is more than its bytes. `facts` reads the headers, metadata and tags that a store keeps of
it, and `put_bytes` and `put_file` write them.

Tags need permissions of their own (`s3:GetObjectTagging`, `s3:PutObjectTagging`), and not every
store has them. An object whose tags cannot be read or written goes without.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode
from uuid import uuid4

import s3fs

from demoire.errors import RefusedNameError, StorageError, UnusablePlaceError
from pipelines.storage.object_facts import ObjectFacts, Pairs, content_type_of
from pipelines.storage.s3_client import MOST_ATTEMPTS, s3_client
from pipelines.storage.s3_errors import MissingObjectError, NameTakenError, NotOfferedError

_HEADERS = {
    "ContentType": "content_type",
    "CacheControl": "cache_control",
    "ContentEncoding": "content_encoding",
    "ContentDisposition": "content_disposition",
    "ContentLanguage": "content_language",
    "Expires": "expires",
}

_LONGEST_KEY = 1024  # bytes


@dataclass(frozen=True)
class S3Object:
    """An object, which need not exist yet."""

    bucket: str
    key: str
    name: str  # as it may be shown

    @property
    def address(self) -> dict[str, Any]:
        """The object as S3's methods name it."""
        return {"Bucket": self.bucket, "Key": self.key}

    def call(self, verb: str, method: str, **request: Any) -> dict[str, Any]:
        """The answer of one of S3's methods."""
        full = {**self.address, **request}
        answer = s3_client().ask(self.name, verb, lambda fs: fs.call_s3(method, **full))
        return cast(dict[str, Any], answer)

    def head(self) -> dict[str, Any]:
        """What the store says of the object.

        Raises:
            MissingObjectError: There is none.
        """
        return self.call("read", "head_object")

    def facts(self) -> ObjectFacts:
        """Headers, user metadata and tags: one HEAD, and one request more where there are tags.

        Raises:
            MissingObjectError: There is no object.
        """
        return self.facts_in(self.head())

    def put_bytes(self, data: bytes, facts: ObjectFacts) -> None:
        """Write the object; one PUT."""
        address = self._s3fs_path()
        self._put(facts, lambda fs, options: fs.pipe_file(address, data, **options))

    def put_file(self, local: Path | str, facts: ObjectFacts) -> None:
        """Write the object; a large one as a multipart upload, which appears as a whole."""
        address = self._s3fs_path()
        self._put(facts, lambda fs, options: fs.put_file(str(local), address, **options))

    def create(self, data: bytes) -> bool:
        """Write the object under `If-None-Match: *`; False where there is one already.

        A store without such conditions writes it in any case.

        Raises:
            StorageError: The store failed, or cannot say whether there is one.
        """
        for _ in range(MOST_ATTEMPTS):
            is_ours = self._created(data)
            if is_ours is not None:
                return is_ours
        raise StorageError(
            f"Cannot write {self.name}: the store says by turns that it exists and that it does "
            "not, run the same command again later."
        )

    def _created(self, data: bytes) -> bool | None:
        """Whether the object was written; None where the name was taken and is free again."""
        # Where the answer to our request is lost, the client repeats it, and the store says that
        # the name is taken. This tells our own object from another writer's.
        writer = uuid4().hex
        request = put_options(ObjectFacts(metadata=(("demoire-writer", writer),)), self.key)
        try:
            self.call("write", "put_object", Body=data, IfNoneMatch="*", **request)
        except NameTakenError:
            try:
                head = self.head()
            except MissingObjectError:  # taken by a write that then failed
                return None
            return bool(head.get("Metadata", {}).get("demoire-writer") == writer)
        except NotOfferedError:
            self.call("write", "put_object", Body=data, **request)
        return True

    def _put(
        self, facts: ObjectFacts, send: Callable[[s3fs.S3FileSystem, dict[str, Any]], None]
    ) -> None:
        """Send the object with its facts; without the tags where they are refused."""
        options = put_options(facts, self.key)
        try:
            s3_client().ask(self.name, "write", lambda fs: send(fs, options))
        except UnusablePlaceError:
            if "Tagging" not in options:
                raise
            del options["Tagging"]
            s3_client().ask(self.name, "write", lambda fs: send(fs, options))

    def facts_in(self, head: dict[str, Any]) -> ObjectFacts:
        """The facts in the answer to a HEAD; where it has tags, they are a request more."""
        headers = {}
        for header, field in _HEADERS.items():
            if head.get(header):
                headers[field] = head[header]
        tags: Pairs = ()
        if head.get("TagCount"):
            tags = self._tags()
        return ObjectFacts(**headers, metadata=tuple(head.get("Metadata", {}).items()), tags=tags)

    def _tags(self) -> Pairs:
        """The object's tags; none where this user may not read them."""
        try:
            answer = self.call("read", "get_object_tagging")
        except UnusablePlaceError:
            return ()
        return tuple((tag["Key"], tag["Value"]) for tag in answer.get("TagSet", ()))

    def put_marker(self, data: bytes) -> None:
        """Write what stands for a folder: its key ends in '/'. A bucket's top folder has none."""
        if self.key:
            self.call("write", "put_object", Key=f"{self.key}/", Body=data)

    @property
    def is_refused(self) -> bool:
        """Whether the key is too long, or one that s3fs reads as something else than a name."""
        is_too_long = len(self.key.encode()) > _LONGEST_KEY
        return is_too_long or "?versionId=" in self.key or self.key.endswith("/")

    def _s3fs_path(self) -> str:
        if self.is_refused:
            raise RefusedNameError(f"{self.name} is a name that cannot be written: rename it.")
        return f"{self.bucket}/{self.key}"


def put_options(facts: ObjectFacts, key: str) -> dict[str, Any]:
    """The facts as S3 takes them with a new object; its type by the key where they do not say."""
    options: dict[str, Any] = {}
    for header, field in _HEADERS.items():
        value = getattr(facts, field)
        if value:
            options[header] = value
    guessed = content_type_of(key)
    if guessed:
        options.setdefault("ContentType", guessed)
    # Headers are ASCII. A store gives other text encoded, and what it gave otherwise cannot be sent
    # back.
    metadata = {name: value for name, value in facts.metadata if f"{name}{value}".isascii()}
    if metadata:
        options["Metadata"] = metadata
    if facts.tags:
        options["Tagging"] = urlencode(facts.tags)
    return options


def etag_in(answer: dict[str, Any]) -> str:
    """The etag as a listing, a head or a copy gives it; size and time where a store has none."""
    etag = str(answer.get("ETag", "")).strip('"')
    if etag or "LastModified" not in answer:
        return etag
    size = answer.get("Size", answer.get("ContentLength"))
    return f"{size}-{answer['LastModified'].timestamp():.0f}"
