"""Digests of files that may lie in a store."""

import hashlib
import os
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

_BLOCK = 1 << 20  # bytes


class Digest(Protocol):
    """A digest in the making; those of hashlib are such."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        ...

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in hexadecimal."""
        ...


class _Checksum:
    """A checksum of 32 bits, which hashlib does not have."""

    def __init__(self, function: Callable[[bytes, int], int], start: int) -> None:
        self._function = function
        self._value = start

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def new_digest(algorithm: str) -> Digest:
    """A digest of no bytes yet.

    Args:
        algorithm: As hashlib names it, or "crc32" or "adler32".
    """
    if algorithm == "crc32":
        return _Checksum(zlib.crc32, 0)
    if algorithm == "adler32":
        return _Checksum(zlib.adler32, 1)
    return hashlib.new(algorithm, usedforsecurity=False)


def digest_of_file(file: BinaryIO, algorithm: str = "sha256") -> str:
    """The digest of a file from where it stands, in hexadecimal; a megabyte in memory.

    `hashlib.file_digest` would ask for a quarter of a megabyte at a time, which of a store costs
    several requests where this costs one.

    Args:
        file: Open for reading.
        algorithm: As `new_digest` takes it.
    """
    digest = new_digest(algorithm)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def digest_of_link(target: str) -> str:
    """The sha256 of what a symbolic link says, in hexadecimal."""
    return hashlib.sha256(os.fsencode(target)).hexdigest()
