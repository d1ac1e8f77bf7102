"""What goes wrong between demoire and an S3 store, as one sentence without secrets.

Only codes and class names are quoted: what a store says in full may hold a key, and an exception's
own text the endpoint's URL with a password.
"""

import asyncio
import os
from dataclasses import dataclass

import aiohttp
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]
from fsspec.exceptions import FSTimeoutError

from demoire.errors import RefusedNameError, StorageError, UnusablePlaceError
from pipelines.names import redact, shown

CHECK_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)"

_TRANSIENT_CODES = {
    "ConditionalRequestConflict",  # somebody else writes under the name at this moment
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
_PAST_THE_END_CODES = {"InvalidRange", "416"}
_TAKEN_CODES = {"PreconditionFailed", "412", "409"}
_REFUSED_NAME_CODES = {
    "KeyTooLongError",
    "InvalidURI",
    "InvalidObjectName",
    "XMinioInvalidObjectName",
}
_NOT_OFFERED_CODES = {"NotImplemented", "501"}
_WRONG_KEY_CODES = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "AuthorizationHeaderMalformed",
}


class BadAnswerError(Exception):
    """The store answered, but not with the bytes it was asked for."""


class MissingObjectError(UnusablePlaceError):
    """There is no object under this name."""


class PastTheEndError(StorageError):
    """The range begins behind the object's last byte."""


class NameTakenError(StorageError):
    """An exclusive creation found an object under the name."""


class NotOfferedError(UnusablePlaceError):
    """The store lacks what it was asked for, such as conditional writes."""


_BROKEN_CONNECTIONS = (
    ConnectionError,
    HTTPClientError,
    ResponseParserError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    asyncio.IncompleteReadError,
    FSTimeoutError,
)

# All that a request through s3fs may raise because of the store or the network.
STORE_ERRORS = (OSError, ClientError, BotoCoreError, BadAnswerError, *_BROKEN_CONNECTIONS)


@dataclass(frozen=True)
class Refusal:
    """The store's own answer that it will not do what it was asked to."""

    code: str
    status: int  # of HTTP

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed in a moment."""
        return self.code in _TRANSIENT_CODES or (self.status >= 500 and self.status != 501)


def refusal_in(error: BaseException) -> Refusal | None:
    """The store's refusal, if this is one; s3fs wraps it in an OSError."""
    for candidate in (error, error.__cause__):
        if not isinstance(candidate, ClientError):
            continue
        code = str(candidate.response.get("Error", {}).get("Code", ""))
        status = int(candidate.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code or status:
            return Refusal(code, status)
    return None


def is_transient(error: BaseException) -> bool:
    """Whether it is worth asking again."""
    refusal = refusal_in(error)
    if refusal is not None:
        return refusal.is_transient
    if isinstance(error, (BadAnswerError, *_BROKEN_CONNECTIONS)):
        return True
    # s3fs raises a bare OSError for a store that broke off; its subclasses say something definite.
    return type(error) in (OSError, ConnectionResetError)


def short_name(error: BaseException) -> str:
    """What went wrong in a word that holds no secret: the store's code, or the error's class."""
    refusal = refusal_in(error)
    if refusal is not None:
        return refusal.code or str(refusal.status)
    return type(error).__name__


def explained(error: BaseException, name: str, verb: str) -> StorageError:
    """The error for the user: an UnusablePlaceError where the user has to put something right.

    Args:
        error: One of STORE_ERRORS.
        name: The object or place, as it may be shown.
        verb: What could not be done with it.
    """
    cannot = f"Cannot {verb} {name}"
    refusal = refusal_in(error)
    if refusal is not None:
        return _refused(refusal, short_name(error), cannot)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return UnusablePlaceError(
            f"{cannot}: no AWS credentials found, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or read a public bucket anonymously by --storage-option anon=true."
        )
    if isinstance(error, PermissionError):
        return UnusablePlaceError(
            f"{cannot}: access denied, {CHECK_KEYS} and what they may do there."
        )
    if isinstance(error, ConnectionError):
        # A mistyped endpoint looks like a store that is down. So this may pass, too.
        endpoint = shown(redact(os.environ.get("AWS_ENDPOINT_URL", "the store")))
        return StorageError(
            f"{cannot}: {endpoint} cannot be reached, check AWS_ENDPOINT_URL and the network."
        )
    if isinstance(error, BadAnswerError):
        return StorageError(
            f"{cannot}: the store keeps answering with other bytes than asked for, try again later."
        )
    what = short_name(error)
    if isinstance(error, BotoCoreError) and not is_transient(error):
        return UnusablePlaceError(f"{cannot}: it cannot be asked for ({what}), check its name.")
    return _failed(cannot, what)


def _refused(refusal: Refusal, what: str, cannot: str) -> StorageError:
    known = _missing_or_taken(refusal.code, cannot)
    if known is not None:
        return known
    if refusal.code in _NOT_OFFERED_CODES:
        return NotOfferedError(
            f"{cannot}: the store does not offer this ({what}), use another store."
        )
    if refusal.code in _REFUSED_NAME_CODES:
        return RefusedNameError(f"{cannot}: the store refuses the name ({what}), rename it.")
    if refusal.code in _WRONG_KEY_CODES:
        return UnusablePlaceError(
            f"{cannot}: the store refused the credentials ({what}), {CHECK_KEYS}."
        )
    if refusal.status in (401, 403):
        return UnusablePlaceError(
            f"{cannot}: access denied ({what}), {CHECK_KEYS} and what they may do there, or, if it "
            "lies in SRC, give SRC as a glob that leaves it out."
        )
    if refusal.is_transient:
        return _failed(cannot, what)
    return UnusablePlaceError(
        f"{cannot}: the store refused the request ({what}), check the name and the store's "
        "settings."
    )


def _failed(cannot: str, what: str) -> StorageError:
    return StorageError(
        f"{cannot}: the store failed ({what}), run the same command again later, and look into the "
        "store's own log if that fails too."
    )


def _missing_or_taken(code: str, cannot: str) -> StorageError | None:
    if code == "NoSuchBucket":
        return UnusablePlaceError(
            f"{cannot}: there is no such bucket, check its name or create it."
        )
    if code in _MISSING_CODES:
        return MissingObjectError(f"{cannot}: it does not exist, check the path.")
    if code in _PAST_THE_END_CODES:
        return PastTheEndError(f"{cannot}: it is shorter than it was, run the same command again.")
    if code in _TAKEN_CODES:
        return NameTakenError(f"{cannot}: it exists already.")
    return None
