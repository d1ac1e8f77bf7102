"""Zstandard streams: RFC 8878.

A frame begins like this (3.1.1); numbers are little-endian:

    offset  length  field
         0       4  28 B5 2F FD
         4       1  descriptor: 20 the window is the whole content, 04 a checksum follows
         5       1  window, where the descriptor does not say 20: its high five bits, plus 10, are
                    the exponent of its size

Skippable frames (3.1.2) may come before and between: 5? 2A 4D 18 and a length. Parallel and
seekable packers keep the lengths of their frames there. What is written is one frame without any.

The level is not stated, but the levels differ in the window that they take for a long content. What
is written has the same window and the same checksum or none, at the lowest level with that window:
1, 2, 3 (which is the default), 9 or 19. Small contents show no window; they get the default.

A frame that needs a dictionary of its own, or a window of more than 128 MB (as `--ultra -22` and
`--long=28` make them), is not read.
"""

import sys
from typing import BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from pipelines.sources.formats.streams import LARGEST_WINDOW, Packer, Unpacker

BROKEN: tuple[type[Exception], ...] = (zstd.ZstdError,)

_SKIPPABLE = 0x184D2A50  # and the fifteen numbers behind it
_IS_ONE_SEGMENT = 0x20
_HAS_CHECKSUM = 0x04

# The lowest level with a window of so many bits, for contents of unknown size.
_LEVELS = {19: 1, 20: 2, 21: 3, 22: 9}
_HIGHEST_COMMON_LEVEL = 19  # that of larger windows; what is above needs `--ultra`


def unpacker() -> Unpacker:
    """An unpacker for one frame."""
    window_bits = LARGEST_WINDOW.bit_length() - 1
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window_bits})


def packer_like(source: BinaryIO) -> Packer:
    """A packer with the window and the checksum of the source's first frame."""
    magic = _number(source)
    while _SKIPPABLE <= magic < _SKIPPABLE + 16:
        length = _number(source)
        source.seek(length, 1)
        magic = _number(source)
    descriptor, window = source.read(2)
    options: dict[int, int] = {
        zstd.CompressionParameter.checksum_flag: int(bool(descriptor & _HAS_CHECKSUM))
    }
    if descriptor & _IS_ONE_SEGMENT:
        options[zstd.CompressionParameter.compression_level] = zstd.COMPRESSION_LEVEL_DEFAULT
    else:
        bits = 10 + (window >> 3)
        level = _LEVELS.get(bits, 1 if bits < min(_LEVELS) else _HIGHEST_COMMON_LEVEL)
        options[zstd.CompressionParameter.compression_level] = level
        options[zstd.CompressionParameter.window_log] = bits
    return zstd.ZstdCompressor(options=options)


def _number(source: BinaryIO) -> int:
    return int.from_bytes(source.read(4), "little")
