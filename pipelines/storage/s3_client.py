"""The connection to an S3 store: one client a process, and patience with its stumbles.

Throttling and broken connections are waited for: up to ten requests, and no new one later than
LONGEST_PATIENCE after the first that failed. Each that the user might wait for is told in the log.
Before the store has answered once patience is much shorter, so that a wrong endpoint is told soon.
"""

import logging
import math
import os
import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import s3fs
from botocore.exceptions import (  # type: ignore[import-untyped]
    ConnectionError,
    ReadTimeoutError,
)

from demoire.errors import ConfigError
from pipelines.storage.options import STORAGE_OPTIONS, read_storage_options
from pipelines.storage.s3_errors import (
    CHECK_KEYS,
    STORE_ERRORS,
    explained,
    is_transient,
    short_name,
)
from pipelines.storage.s3_session import BoundedSession

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

MOST_ATTEMPTS = 10
LONGEST_PAUSE = 10.0  # seconds
LONGEST_PATIENCE = 120.0  # seconds after the first failure
_UNNOTICED = 5.0  # seconds: nobody is told of a store that has recovered by then


class S3Client:
    """An s3fs file system that is asked again where the store stumbles."""

    def __init__(self, fs: s3fs.S3FileSystem) -> None:
        self._fs = fs
        self._has_answered = False

    def ask(self, name: str, verb: str, request: Callable[[s3fs.S3FileSystem], T]) -> T:
        """Return the answer to a request, patiently.

        Args:
            name: The object or place, as it may be shown in an error.
            verb: What is done with it: "read", "write" ...
            request: Sends the request and returns the answer.

        Raises:
            StorageError: The store failed to the end; UnusablePlaceError where the user has to put
                something right.
        """
        began = time.monotonic()
        give_up = math.inf
        failures = 0
        while True:
            try:
                answer = request(self._fs)
            except STORE_ERRORS as error:
                failures += 1
                now = time.monotonic()
                give_up = min(give_up, now + LONGEST_PATIENCE)
                is_last = failures >= self._most_attempts(error) or now > give_up
                if is_last or not is_transient(error):
                    # `from None`: what the store says may hold a key, and the endpoint's URL a
                    # password.
                    raise explained(error, name, verb) from None
                if now - began > _UNNOTICED:
                    _LOG.warning(
                        "cannot %s %s yet: the store failed (%s), asked again (%d of at most %d)",
                        verb,
                        name,
                        short_name(error),
                        failures + 1,
                        MOST_ATTEMPTS,
                    )
                longest = min(0.1 * 2**failures, LONGEST_PAUSE)
                time.sleep(longest * random.uniform(0.5, 1))
            else:
                self._has_answered = True
                return answer

    def _most_attempts(self, error: Exception) -> int:
        """How often to try in all.

        An endpoint that never was there is most likely mistyped, and botocore has tried it three
        times by itself.
        """
        if isinstance(error, ConnectionError | ReadTimeoutError) and not self._has_answered:
            return 1
        return MOST_ATTEMPTS


def s3_client() -> S3Client:
    """The client for the environment as it stands.

    Raises:
        ConfigError: The endpoint is no URL, or carries credentials.
    """
    aws = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    return _connect(os.getpid(), os.environ.get(STORAGE_OPTIONS, ""), tuple(aws))


@lru_cache(maxsize=4)
def _connect(process: int, options: str, aws: tuple[tuple[str, str], ...]) -> S3Client:
    """One client a process and set of credentials.

    The arguments are the key of the cache. A forked child gets a client of its own, because it must
    not use its parent's event loop.
    """
    chosen = read_storage_options()
    _check_endpoints(chosen)
    config: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "read_timeout": 60,
        "http_session_cls": BoundedSession,
    }
    variables = dict(aws)
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        # botocore's default asks clones of S3 for checksums that they do not have.
        if f"AWS_{name.upper()}" not in variables:
            config[name] = "when_required"
    config |= chosen.pop("config_kwargs", {})
    fs = s3fs.S3FileSystem(
        **chosen, config_kwargs=config, use_listings_cache=False, skip_instance_cache=True
    )
    fs.retries = 1  # the client asks again by itself
    return S3Client(fs)


def _check_endpoints(options: dict[str, Any]) -> None:
    endpoints = (
        options.get("endpoint_url"),
        options.get("client_kwargs", {}).get("endpoint_url"),
        os.environ.get("AWS_ENDPOINT_URL_S3"),
        os.environ.get("AWS_ENDPOINT_URL"),
    )
    for endpoint in endpoints:
        if not endpoint:
            continue
        if "@" in endpoint:
            host = endpoint.rpartition("@")[2]
            raise ConfigError(
                f"The endpoint at {host} carries credentials: take them out, {CHECK_KEYS}."
            )
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(
                f"The endpoint {endpoint} is no URL: write it like https://{endpoint}."
            )
