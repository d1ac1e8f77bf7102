"""The S3 half of `pipelines.storage.place`: buckets of any S3-compatible store, through s3fs.

s3fs gives the client, its event loop and its regions; this module gives what a nightly run needs on
top: every answer is checked (version, range, number of bytes) and asked for again when it does not
check out, throttling and broken connections are waited for (up to about half a minute; much shorter
before the store has answered once, so that a wrong endpoint is told soon), and every failure
becomes one sentence without secrets.

Exclusive creation asks the store for it (`If-None-Match: *`). A store that ignores the header would
overwrite silently, so existence is checked first: that is the last resort there, with a window of
some milliseconds.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

import aiohttp
import s3fs
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError

from demoire.errors import ConfigError, SourceChangedError, StorageError
from pipelines.names import redact, shown
from pipelines.storage.local import local_temporary
from pipelines.storage.options import STORAGE_OPTIONS, read_storage_options
from pipelines.storage.place import Entry, Place, changed
from pipelines.storage.range_file import RangeFile

T = TypeVar("T")

_ATTEMPTS, _LONGEST_PAUSE = 10, 10.0
_TRANSIENT_CODES = {
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_TRANSIENT_ERRORS = (
    ConnectionError,
    HTTPClientError,
    ResponseParserError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    asyncio.IncompleteReadError,
    FSTimeoutError,
)
_MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
_WRONG_KEYS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "AuthorizationHeaderMalformed",
}
_CHECK_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)"


class _BadAnswerError(Exception):
    """The store answered, but not with the bytes it was asked for."""


@dataclass
class _Client:
    fs: s3fs.S3FileSystem
    answered: bool = False


@dataclass(frozen=True)
class BucketPlace(Place):
    """A prefix in a bucket."""

    def stat(self, path: str) -> Entry | None:
        if not self._key(path):
            return None
        try:
            head = self._ask(
                path, "read", lambda fs: fs.call_s3("head_object", **self._object(path))
            )
        except _MissingError:
            return None
        return Entry(path, head["ContentLength"], _etag(head), head["LastModified"].timestamp())

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        prefix = f"{self._key(path)}/" if self._key(path) else ""
        inside = len(f"{self._key('')}/") if self._key("") else 0
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        if not recursive:
            request["Delimiter"] = "/"
        while True:
            page = self._ask(path, "list", lambda fs: fs.call_s3("list_objects_v2", **request))
            for found in page.get("Contents", ()):
                # a store's marker for a folder
                if not (found["Key"].endswith("/") and found["Size"] == 0):
                    modified = found["LastModified"].timestamp()
                    yield Entry(found["Key"][inside:], found["Size"], _etag(found), modified)
            for folder in page.get("CommonPrefixes", ()):
                yield Entry(folder["Prefix"][inside:-1], 0, "", 0.0, "folder")
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> bytes:
        if length == 0:
            return b""

        async def get(fs: s3fs.S3FileSystem) -> bytes:
            request = self._object(path)
            if offset or length is not None:
                request["Range"] = f"bytes={offset}-" + (
                    "" if length is None else str(offset + length - 1)
                )
            answer = await fs._call_s3("get_object", **request)
            async with answer["Body"] as body:
                if version is not None and _etag(answer) != version:
                    raise changed(self.full(path))
                data = cast(bytes, await body.read())
            if len(data) != answer["ContentLength"] or (length is not None and len(data) > length):
                raise _BadAnswerError
            if "Range" in request and not answer.get("ContentRange", "").startswith(
                f"bytes {offset}-"
            ):
                raise _BadAnswerError
            return data

        try:
            return self._ask(path, "read", lambda fs: sync(fs.loop, get, fs))
        except _PastTheEndError:
            return b""
        except _MissingError:
            if version is not None:
                raise changed(self.full(path)) from None
            raise

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        entry = self.stat(path)
        if version is not None and (entry is None or entry.version != version):
            raise changed(self.full(path))
        if entry is None:
            raise _MissingError(f"{self.full(path)} does not exist: check the path.")
        return cast(BinaryIO, RangeFile(self, path, entry.size, entry.version))

    def write(self, path: str, data: bytes) -> None:
        self._ask(path, "write", lambda fs: fs.pipe_file(self._address(path), data))

    def put_file(self, local: Path | str, path: str) -> None:
        self._ask(path, "write", lambda fs: fs.put_file(str(local), self._address(path)))

    @contextmanager
    def new_file(self, path: str) -> Iterator[Path]:
        with local_temporary() as local:
            yield local
            self.put_file(local, path)

    def create(self, path: str, data: bytes) -> bool:
        if self.exists(path):
            return False
        # tells a repeated request of ours, whose first answer was lost, from another's
        writer = uuid4().hex
        request = {**self._object(path), "Body": data, "Metadata": {"demoire-writer": writer}}
        try:
            self._ask(
                path, "write", lambda fs: fs.call_s3("put_object", IfNoneMatch="*", **request)
            )
        except _TakenError:
            try:
                head = self._ask(
                    path, "read", lambda fs: fs.call_s3("head_object", **self._object(path))
                )
            except _MissingError:  # taken by a write that then failed
                return self.create(path, data)
            return bool(head.get("Metadata", {}).get("demoire-writer") == writer)
        except _NotOfferedError:
            self._ask(path, "write", lambda fs: fs.call_s3("put_object", **request))
        return True

    def delete(self, path: str) -> None:
        try:
            self._ask(path, "delete", lambda fs: fs.call_s3("delete_object", **self._object(path)))
        except _MissingError:
            return

    @property
    def _bucket(self) -> str:
        return self.uri.split("/")[2]

    def _key(self, path: str) -> str:
        key = "/".join(
            part for part in (self.uri.partition("://")[2].partition("/")[2], path) if part
        )
        if not key.isprintable() and any("\ud800" <= character <= "\udfff" for character in key):
            raise StorageError(
                f"{self.full(path)} is not UTF-8, which a bucket's names must be: rename it."
            )
        return key

    def _object(self, path: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._key(path)}

    def _address(self, path: str) -> str:
        key = self._key(path)
        # s3fs would take these for something else than a name
        if "?versionId=" in key or key.endswith("/"):
            raise StorageError(f"{self.full(path)} is a name that cannot be written: rename it.")
        return f"{self._bucket}/{key}"

    def _ask(self, path: str, verb: str, request: Callable[[s3fs.S3FileSystem], T]) -> T:
        """The answer to `request`, patiently; else a StorageError of one sentence."""
        client = _client()
        attempt = 0
        while True:
            try:
                answer = request(client.fs)
            except (SourceChangedError, StorageError):
                raise
            except (
                OSError,
                ClientError,
                BotoCoreError,
                *_TRANSIENT_ERRORS,
                _BadAnswerError,
            ) as error:
                attempt += 1
                # An endpoint that never was there is most likely mistyped; botocore has tried it
                # three times by itself.
                patience = (
                    1 if isinstance(error, ConnectionError) and not client.answered else _ATTEMPTS
                )
                if not _is_transient(error) or attempt >= patience:
                    # `from None`: what the store says may hold a key, and the endpoint's URL a
                    # password.
                    raise _explained(error, self.full(path), verb) from None
                time.sleep(min(0.1 * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.5, 1))
            else:
                client.answered = True
                return answer


class _MissingError(StorageError):
    pass


class _PastTheEndError(StorageError):
    pass


class _TakenError(StorageError):
    pass


class _NotOfferedError(StorageError):
    pass


def _client() -> _Client:
    aws = tuple(
        sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    )
    return _connect(os.getpid(), os.environ.get(STORAGE_OPTIONS, ""), aws)


@lru_cache(maxsize=4)
def _connect(process: int, options: str, aws: tuple[tuple[str, str], ...]) -> _Client:
    """One client a process and set of credentials: a forked child must not use its parent's event
    loop.
    """
    named = {name for name, _ in aws}
    config: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "read_timeout": 60,
    }
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        # the default asks clones of S3 for what they do not have
        if f"AWS_{name.upper()}" not in named:
            config[name] = "when_required"
    chosen = read_storage_options()
    named_endpoints = (
        chosen.get("endpoint_url"),
        chosen.get("client_kwargs", {}).get("endpoint_url"),
        *(os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
    )
    for endpoint in filter(None, named_endpoints):
        if "@" in endpoint:
            shortened = endpoint.rpartition("@")[2]
            raise ConfigError(
                f"The endpoint at {shortened} carries credentials: take them out, {_CHECK_KEYS}."
            )
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(
                f"The endpoint {endpoint} is no URL: write it like https://{endpoint}."
            )
    config |= chosen.pop("config_kwargs", {})
    fs = s3fs.S3FileSystem(
        **chosen, config_kwargs=config, use_listings_cache=False, skip_instance_cache=True
    )
    fs.retries = 2
    return _Client(fs)


def _etag(answer: dict[str, Any]) -> str:
    """The etag as it stands in both a listing and a head; size and time where a store has none."""
    if etag := answer.get("ETag", "").strip('"'):
        return str(etag)
    return f"{answer.get('Size', answer.get('ContentLength'))}-{answer['LastModified'].timestamp():.0f}"


def _refusal(error: BaseException) -> tuple[str, int]:
    """Code and HTTP status of the store's refusal; s3fs wraps it in an OSError."""
    for candidate in (error, error.__cause__):
        if isinstance(candidate, ClientError):
            code = candidate.response.get("Error", {}).get("Code", "")
            return code, candidate.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return "", 0


def _is_transient(error: BaseException) -> bool:
    code, status = _refusal(error)
    if code or status:
        return code in _TRANSIENT_CODES or (status >= 500 and status != 501)
    return isinstance(error, (_BadAnswerError, *_TRANSIENT_ERRORS)) or type(error) in (
        OSError,
        ConnectionResetError,
    )


def _explained(error: BaseException, place: str, verb: str) -> StorageError:
    code, status = _refusal(error)
    cannot = f"Cannot {verb} {place}"
    if code == "NoSuchBucket":
        return StorageError(f"{cannot}: there is no such bucket, check its name or create it.")
    if code in _MISSING_CODES:
        return _MissingError(f"{cannot}: it does not exist, check the path.")
    if code in ("InvalidRange", "416"):
        return _PastTheEndError(f"{cannot}: it is shorter than it was, run the same command again.")
    if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
        return _TakenError(f"{cannot}: it exists already.")
    if code in ("NotImplemented", "501"):
        return _NotOfferedError(
            f"{cannot}: the store does not offer this ({code}), use another store."
        )
    if code in _WRONG_KEYS:
        return StorageError(f"{cannot}: the store refused the credentials ({code}), {_CHECK_KEYS}.")
    if isinstance(error, PermissionError) or status in (401, 403):
        return StorageError(
            f"{cannot}: access denied ({code or status}), {_CHECK_KEYS} and what they may do there."
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageError(
            f"{cannot}: no AWS credentials found, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if isinstance(error, ConnectionError):
        endpoint = shown(redact(os.environ.get("AWS_ENDPOINT_URL", "the store")))
        return StorageError(
            f"{cannot}: {endpoint} cannot be reached, check AWS_ENDPOINT_URL and the network."
        )
    if isinstance(error, _BadAnswerError):
        return StorageError(
            f"{cannot}: the store keeps answering with other bytes than asked for, try again later."
        )
    what = code or type(error).__name__
    return StorageError(f"{cannot}: the store failed ({what}), run the same command again later.")
