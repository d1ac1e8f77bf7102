"""Mutated WebP files: sizes and chunks."""

import struct
from collections.abc import Sequence
from random import Random

from tests.chaos.mutations.register import (
    SIZES,
    Register,
)

MUTATIONS = Register()


def is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 12
    while place + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, place + 4)
        found.append((data[place : place + 4], data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return found


def _webp(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(
        kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for kind, part in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _with_webp_size(kind: bytes, body: bytes, width: int, height: int) -> bytes:
    """A chunk of the three that know a size, with this one."""
    out = bytearray(body)
    if kind == b"VP8X" and len(out) >= 10:
        out[4:10] = b"".join(max(0, side - 1).to_bytes(8, "little")[:3] for side in (width, height))
    elif kind == b"VP8L" and len(out) >= 5:
        sides = (max(0, width - 1) & 0x3FFF) | (max(0, height - 1) & 0x3FFF) << 14
        out[1:5] = struct.pack("<I", sides | struct.unpack_from("<I", out, 1)[0] & 0xF0000000)
    elif kind == b"VP8 " and len(out) >= 10:
        out[6:10] = struct.pack("<2H", width & 0x3FFF, height & 0x3FFF)
    return bytes(out)


@MUTATIONS.add(is_webp, weight=2)
def webp_sizes(data: bytes, rng: Random) -> bytes:
    """In all chunks that know one, or in a single one, so that they disagree."""
    size = rng.choice(SIZES)
    chunks = _webp_chunks(data)
    some = rng.randrange(len(chunks)) if rng.random() < 0.4 else None
    return _webp(
        [
            (k, _with_webp_size(k, body, *size) if some in (None, i) else body)
            for i, (k, body) in enumerate(chunks)
        ]
    )


@MUTATIONS.add(is_webp, weight=2)
def webp_chunk_lengths(data: bytes, rng: Random) -> bytes:
    places, place = [4], 12
    for _, body in _webp_chunks(data):
        places.append(place + 4)
        place += 8 + len(body) + len(body) % 2
    out = bytearray(data)
    lengths = (
        0,
        1,
        4,
        7,
        10,
        255,
        len(data),
        len(data) + 8,
        2**31 - 1,
        2**31,
        2**32 - 10,
        2**32 - 1,
    )
    struct.pack_into("<I", out, min(rng.choice(places), len(out) - 4), rng.choice(lengths))
    return bytes(out)


@MUTATIONS.add(is_webp, weight=2)
def webp_chunk_bytes(data: bytes, rng: Random) -> bytes:
    """Flags and sizes of the extended header, of frames, of the codec's own."""
    chunks = _webp_chunks(data)
    number = rng.choice([i for i, (_, body) in enumerate(chunks) if body])
    kind, body = chunks[number]
    out = bytearray(body)
    for _ in range(rng.choice((1, 2, 8))):
        out[rng.randrange(rng.choice((len(out), min(len(out), 24))))] = rng.randrange(256)
    return _webp([*chunks[:number], (kind, bytes(out)), *chunks[number + 1 :]])


@MUTATIONS.add(is_webp)
def webp_chunk_order(data: bytes, rng: Random) -> bytes:
    chunks = _webp_chunks(data)
    what = rng.randrange(4)
    if what == 0:
        chunks = rng.sample(chunks, len(chunks))
    elif what == 1:
        chunks += [rng.choice(chunks)] * rng.choice((1, 5, 500))
    elif what == 2:
        chunks.remove(rng.choice(chunks))
    else:
        chunks.insert(0, (b"VP8X", struct.pack("<B9x", rng.randrange(256))))
    return _webp(chunks)
