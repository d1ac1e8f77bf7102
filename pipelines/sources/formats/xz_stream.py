"""Xz streams. The format: "The .xz File Format", version 1.2.1 (https://tukaani.org/xz/).

A stream begins like this; numbers in brackets are clauses:

    offset  length  field
         0       6  FD '7zXZ' 00
         6       2  flags, of which the low half of the second byte is the kind of check (2.1.1.2)
         8       4  checksum of the flags
        12       1  size of the first block's header; 0 where the index follows, without any block
        13       1  block flags (3.1.2): low two bits, filters - 1; 40, 80: sizes are stated
        14          packed size and size, those that are stated (3.1.3, 3.1.4), then the filters

A filter is an id, the length of its properties, and the properties (5.3). Numbers of variable
length have seven bits a byte, low ones first, and bit 80 in all bytes but the last (1.2).

The level is not stated, but the size of the dictionary is (5.3.1), and each level has its own, or
shares it with one neighbour. What is written has the same check and dictionary, in one block; other
filters than LZMA2 are left out, since they do nothing for pictures.

A forged header may ask for a dictionary of 4 GB, so memory is bounded.
"""

import lzma
from typing import BinaryIO

from pipelines.sources.formats.streams import LARGEST_WINDOW, Packer, Unpacker

BROKEN: tuple[type[Exception], ...] = (lzma.LZMAError,)

_STREAM_HEADER_SIZE = 12  # bytes
_LARGEST_BLOCK_HEADER = 1024
_LZMA2 = 0x21
_DEFAULT_LEVEL = 6

# The level by the size of the dictionary, MB; the default where two share it, else the higher one.
_LEVELS = {0.25: 0, 1: 1, 2: 2, 4: 4, 8: 6, 16: 7, 32: 8, 64: 9}


def unpacker() -> Unpacker:
    """An unpacker for one stream."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LARGEST_WINDOW)


def packer_like(source: BinaryIO) -> Packer:
    """A packer with the check and the dictionary of the source's first stream."""
    header = source.read(_STREAM_HEADER_SIZE)
    dictionary = _dictionary_size(source.read(_LARGEST_BLOCK_HEADER))
    filters: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA2, "preset": _DEFAULT_LEVEL}]
    if dictionary is not None:
        level = _LEVELS.get(dictionary / (1 << 20), _DEFAULT_LEVEL)
        filters[0] |= {"preset": level, "dict_size": dictionary}
    return lzma.LZMACompressor(lzma.FORMAT_XZ, check=header[7] & 0xF, filters=filters)


def _dictionary_size(block: bytes) -> int | None:
    """Bytes of the dictionary of a block, by its header; None where there is no block."""
    if not block or block[0] == 0:
        return None
    position = 2
    for is_stated in (block[1] & 0x40, block[1] & 0x80):
        if is_stated:
            _, position = _variable_number(block, position)
    for _ in range(1 + (block[1] & 3)):
        filter_id, position = _variable_number(block, position)
        length, position = _variable_number(block, position)
        if filter_id == _LZMA2:
            return _size_by_code(block[position])
        position += length
    return None


def _size_by_code(code: int) -> int:
    """2, 3, 4, 6, 8, 12, ... times 2 KB: a power of two, or half as much more (5.3.1)."""
    return (2 | (code & 1)) << (code // 2 + 11)


def _variable_number(data: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and the position behind it."""
    number = 0
    shift = 0
    while True:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return number, position
