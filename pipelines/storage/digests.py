"""Digests of files that may lie in a store."""

import hashlib
import os
from typing import BinaryIO

_BLOCK = 1 << 20  # bytes


def digest_of_file(file: BinaryIO, algorithm: str = "sha256") -> str:
    """The digest of a file from where it stands, in hexadecimal; a megabyte in memory.

    `hashlib.file_digest` would ask for a quarter of a megabyte at a time, which of a store costs
    several requests where this costs one.

    Args:
        file: Open for reading.
        algorithm: As hashlib names it.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def digest_of_link(target: str) -> str:
    """The sha256 of what a symbolic link says, in hexadecimal."""
    return hashlib.sha256(os.fsencode(target)).hexdigest()
