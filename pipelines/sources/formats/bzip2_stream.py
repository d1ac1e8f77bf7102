"""Bzip2 streams. The format was never written down by its author; `bzip2` is what defines it.

A stream begins with 'BZh' and a digit: blocks of so many times 100,000 bytes were sorted. That is
all that the levels 1 to 9 differ in, so what is written is of the original's level for certain.
Parallel packers write a stream a block; what is written here is one stream.
"""

import bz2
from typing import BinaryIO

from pipelines.sources.formats.streams import Packer, Unpacker

BROKEN: tuple[type[Exception], ...] = (OSError,)


def unpacker() -> Unpacker:
    """An unpacker for one stream."""
    return bz2.BZ2Decompressor()


def packer_like(source: BinaryIO) -> Packer:
    """A packer of the level that the source's first stream has."""
    level = source.read(4)[3:]
    return bz2.BZ2Compressor(int(level))
