"""The connection to an S3 store: one client a process, and patience with its stumbles.

Throttling and broken connections are waited for, up to about half a minute in all; much shorter
before the store has answered once, so that a wrong endpoint is told soon.
"""

import os
import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import s3fs
from botocore.exceptions import ConnectionError  # type: ignore[import-untyped]

from demoire.errors import ConfigError
from pipelines.storage.options import STORAGE_OPTIONS, read_storage_options
from pipelines.storage.s3_errors import CHECK_KEYS, STORE_ERRORS, explained, is_transient

T = TypeVar("T")

MOST_ATTEMPTS = 10
LONGEST_PAUSE = 10.0  # seconds


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
        failures = 0
        while True:
            try:
                answer = request(self._fs)
            except STORE_ERRORS as error:
                failures += 1
                if not is_transient(error) or failures >= self._patience(error):
                    # `from None`: what the store says may hold a key, and the endpoint's URL a
                    # password.
                    raise explained(error, name, verb) from None
                longest = min(0.1 * 2**failures, LONGEST_PAUSE)
                time.sleep(longest * random.uniform(0.5, 1))
            else:
                self._has_answered = True
                return answer

    def _patience(self, error: Exception) -> int:
        """How often to try in all.

        An endpoint that never was there is most likely mistyped, and botocore has tried it three
        times by itself.
        """
        if isinstance(error, ConnectionError) and not self._has_answered:
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
    fs.retries = 2
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
