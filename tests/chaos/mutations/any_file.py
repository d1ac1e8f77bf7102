"""Mutations of any file, whatever its format."""

import struct
from random import Random

from tests.chaos.bricks import PNG_SIGNATURE, png_chunk, small_archive
from tests.chaos.mutations.register import (
    HEADERS,
    NUMBERS,
    Register,
    anywhere,
    flipped,
    span,
)
from tests.chaos.mutations.webp import is_webp
from tests.chaos.parents import parents

MUTATIONS = Register()


@MUTATIONS.add(weight=4)
def bits_in_header(data: bytes, rng: Random) -> bytes:
    return flipped(data, rng, rng.randint(1, 8), rng.choice(HEADERS))


@MUTATIONS.add(weight=4)
def bytes_in_header(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        out[rng.randrange(min(rng.choice(HEADERS), len(out)))] = rng.randrange(256)
    return bytes(out)


@MUTATIONS.add(weight=3)
def numbers_in_header(data: bytes, rng: Random) -> bytes:
    """A 16 or 32-bit number of either byte order, of those that arithmetic stumbles over."""
    form, size = rng.choice((("<H", 2), (">H", 2), ("<I", 4), (">I", 4)))
    out = bytearray(data)
    place = rng.randrange(max(1, min(rng.choice(HEADERS), len(out)) - size))
    struct.pack_into(form, out, place, rng.choice(NUMBERS) % (1 << 8 * size))
    return bytes(out)


@MUTATIONS.add(weight=3)
def bits_anywhere(data: bytes, rng: Random) -> bytes:
    return flipped(data, rng, rng.choice((1, 1, 2, 4, 16, 64)), len(data))


@MUTATIONS.add(weight=2)
def truncated(data: bytes, rng: Random) -> bytes:
    return data[: anywhere(data, rng)]


@MUTATIONS.add(weight=2)
def truncated_with_end(data: bytes, rng: Random) -> bytes:
    """Cut short, but with the end that the format asks for, and with the size in the header set
    right.
    """
    out = bytearray(data[: anywhere(data, rng)])
    if data[:2] == b"\xff\xd8":
        return bytes(out) + b"\xff\xd9"
    if data[:8] == PNG_SIGNATURE:
        return bytes(out) + png_chunk(b"IEND", b"")
    if is_webp(data) and len(out) > 12:
        struct.pack_into("<I", out, 4, len(out) - 8)
    elif data[:2] == b"BM" and len(out) > 6:
        struct.pack_into("<I", out, 2, len(out))
    elif data[:3] == b"GIF":
        return bytes(out) + b"\0;"
    return bytes(out)


@MUTATIONS.add()
def filled_up(data: bytes, rng: Random) -> bytes:
    """Cut short and filled up to its old length, as a broken copy is."""
    kept = anywhere(data, rng)
    return data[:kept] + rng.choice((b"\0", b"\xff", b"\x55")) * (len(data) - kept)


@MUTATIONS.add()
def swapped_extension(data: bytes, rng: Random) -> bytes:
    """The name alone lies."""
    return data


@MUTATIONS.add()
def bytes_deleted(data: bytes, rng: Random) -> bytes:
    start, end = span(data, rng)
    return data[:start] + data[end:]


@MUTATIONS.add()
def bytes_inserted(data: bytes, rng: Random) -> bytes:
    place = anywhere(data, rng)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 4, 16, 512))) + data[place:]


@MUTATIONS.add()
def block_duplicated(data: bytes, rng: Random) -> bytes:
    start, end = span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 3, 50)) + data[end:]


@MUTATIONS.add()
def block_zeroed(data: bytes, rng: Random) -> bytes:
    start, end = span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


@MUTATIONS.add()
def blocks_swapped(data: bytes, rng: Random) -> bytes:
    first, second, third, fourth = sorted(rng.randrange(len(data)) for _ in range(4))
    return (
        data[:first] + data[third:fourth] + data[second:third] + data[first:second] + data[fourth:]
    )


@MUTATIONS.add(weight=2)
def spliced(data: bytes, rng: Random) -> bytes:
    """The beginning of one file and the end of another, of the same format as often as not."""
    others = [
        parent.data for parent in parents() if rng.random() < 0.5 or parent.data[:2] == data[:2]
    ]
    other = rng.choice(others)
    return data[: anywhere(data, rng)] + other[anywhere(other, rng) :]


@MUTATIONS.add()
def trailing_garbage(data: bytes, rng: Random) -> bytes:
    other = rng.choice(parents()).data
    return data + rng.choice(
        (rng.randbytes(rng.randint(1, 5000)), bytes(3000), other, data, small_archive("zip"))
    )


@MUTATIONS.add()
def empty(data: bytes, rng: Random) -> bytes:
    return b""


@MUTATIONS.add(weight=2)
def noise_behind_signature(data: bytes, rng: Random) -> bytes:
    return data[: rng.choice((2, 3, 4, 8, 12, 16, 30))] + rng.randbytes(
        rng.choice((0, 1, 10, 100, 3000))
    )


@MUTATIONS.add()
def archive_under_image_name(data: bytes, rng: Random) -> bytes:
    return small_archive(rng.choice(("zip", "tar", "gzip", "zeros")))
