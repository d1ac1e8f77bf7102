"""Mutated BMP files: sizes and header fields."""

import struct
from random import Random

from tests.chaos.mutations.register import (
    NUMBERS,
    SIZES,
    Register,
)

MUTATIONS = Register()


def is_bmp(data: bytes) -> bool:
    return data[:2] == b"BM" and len(data) > 64


@MUTATIONS.add(is_bmp, weight=2)
def bmp_sizes(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    width, height = rng.choice(SIZES)
    if data[14] == 12:
        struct.pack_into("<2H", out, 18, width & 0xFFFF, height & 0xFFFF)
    else:
        sign = rng.choice((1, 1, -1))
        struct.pack_into("<2I", out, 18, width % (1 << 32), sign * height % (1 << 32))
    return bytes(out)


@MUTATIONS.add(is_bmp, weight=2)
def bmp_fields(data: bytes, rng: Random) -> bytes:
    """Where the pixels begin, the header's size, planes, bits, compression, size of the data,
    colours.
    """
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 3))):
        form, place = rng.choice(
            (("<I", 10), ("<I", 14), ("<H", 26), ("<H", 28), ("<I", 30), ("<I", 34), ("<I", 46))
        )
        size = struct.calcsize(form)
        values = (4, 5, 6, 12, 24, 32, 40, 52, 54, 64, 108, 124, *NUMBERS)
        struct.pack_into(form, out, place, rng.choice(values) % (1 << 8 * size))
    return bytes(out)
