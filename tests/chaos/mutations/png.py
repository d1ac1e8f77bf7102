"""Mutated PNG files: sizes, chunks, rows, bombs."""

import struct
import zlib
from random import Random

from tests.chaos.bricks import PNG_SIGNATURE, deflated_zeros, png_bomb_of, png_of
from tests.chaos.mutations.register import (
    SIZES,
    Register,
    flipped,
    mutated_block,
)

MUTATIONS = Register()


def is_png(data: bytes) -> bool:
    return data[:8] == PNG_SIGNATURE and data[12:16] == b"IHDR" and len(png_chunks(data)) > 2


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if place + 12 + length > len(data):
            break
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


@MUTATIONS.add(is_png, weight=2)
def png_sizes(data: bytes, rng: Random) -> bytes:
    (_, header), *rest = png_chunks(data)
    return png_of([(b"IHDR", struct.pack(">2I", *rng.choice(SIZES)) + header[8:]), *rest])


@MUTATIONS.add(is_png)
def png_header_fields(data: bytes, rng: Random) -> bytes:
    """Depth, type of colour, compression, filter, interlacing."""
    (_, header), *rest = png_chunks(data)
    fields = bytearray(header)
    for _ in range(rng.choice((1, 2))):
        fields[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 255))
    return png_of([(b"IHDR", bytes(fields)), *rest])


@MUTATIONS.add(is_png, weight=2)
def png_chunk_lengths(data: bytes, rng: Random) -> bytes:
    places, place = [], 8
    for _, body in png_chunks(data):
        places.append(place)
        place += 12 + len(body)
    out = bytearray(data)
    lengths = (0, 1, 3, 4, 12, 13, 255, 65536, len(data), 2**31 - 1, 2**31, 2**32 - 13, 2**32 - 1)
    struct.pack_into(">I", out, rng.choice(places), rng.choice(lengths))
    return bytes(out)


@MUTATIONS.add(is_png, weight=3)
def png_chunk_bytes(data: bytes, rng: Random) -> bytes:
    """Damage that no checksum tells of."""
    chunks = png_chunks(data)
    number = rng.choice([i for i, (_, body) in enumerate(chunks) if body])
    kind, body = chunks[number]
    body = mutated_block(body, rng) if rng.random() < 0.7 else body[: rng.randrange(len(body))]
    return png_of([*chunks[:number], (kind, body), *chunks[number + 1 :]])


@MUTATIONS.add(is_png)
def png_chunk_order(data: bytes, rng: Random) -> bytes:
    chunks = png_chunks(data)
    what = rng.randrange(4)
    if what == 0:
        chunks = rng.sample(chunks, len(chunks))
    elif what == 1:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    elif what == 2:
        chunks.remove(rng.choice(chunks))
    else:
        chunks.insert(
            rng.randrange(len(chunks)), (rng.randbytes(4), rng.randbytes(rng.randrange(100)))
        )
    return png_of(chunks)


def _has_rows(data: bytes) -> bool:
    return is_png(data) and len(_png_rows(data)) > 0


def _png_rows(data: bytes) -> bytes:
    """The image data as it inflates; none where it does not, as in an extra parent that is broken
    already.
    """
    try:
        return zlib.decompressobj().decompress(
            b"".join(body for kind, body in png_chunks(data) if kind == b"IDAT")
        )
    except zlib.error:
        return b""


@MUTATIONS.add(_has_rows, weight=2)
def png_rows(data: bytes, rng: Random) -> bytes:
    """Filter types that there are none of, too few rows or too many, in image data that inflates
    and checks out.
    """
    chunks = png_chunks(data)
    rows = bytearray(_png_rows(data))
    what = rng.randrange(3)
    if what == 0:
        rows = bytearray(flipped(bytes(rows), rng, 20, len(rows)))
        rows[0] = rng.randrange(256)
    elif what == 1:
        rows = rows[: rng.randrange(len(rows))]
    else:
        rows += rng.randbytes(rng.choice((1, 100, 10_000)))
    first = next(i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    others = [chunk for chunk in chunks[first:] if chunk[0] != b"IDAT"]
    return png_of([*chunks[:first], (b"IDAT", zlib.compress(bytes(rows), 1)), *others])


@MUTATIONS.add(is_png)
def png_metadata_bomb(data: bytes, rng: Random) -> bytes:
    """Text or a profile that inflates to many megabytes, or thousands of small texts."""
    header, *rest = png_chunks(data)
    packed = deflated_zeros(rng.choice((900_000, 5_000_000, 30_000_000)))
    bombs = (
        [(b"zTXt", b"a\0\0" + packed)],
        [(b"iTXt", b"a\0\1\0\0\0" + packed)],
        [(b"iCCP", b"a\0\0" + packed)],
        [(b"zTXt", b"%d\0\0" % i + packed) for i in range(80)],
        [(b"tEXt", b"%d\0b" % i) for i in range(5000)],
    )
    return png_of([header, *rng.choice(bombs), *rest])


@MUTATIONS.add(is_png, weight=0)
def png_bomb(data: bytes, rng: Random) -> bytes:
    """A whole picture of one colour, a thousand times as large in memory as in the file."""
    width, height = rng.choice(((12000, 12000), (11000, 11000), (30000, 4000)))
    return png_bomb_of(width, height, rng.choice(((8, 0), (8, 0), (8, 2), (1, 0))))
