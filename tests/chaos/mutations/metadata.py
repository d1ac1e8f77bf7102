"""Mutated profiles and Exif inside files that are whole otherwise."""

import struct
import zlib
from random import Random

from tests.chaos.bricks import png_of
from tests.chaos.mutations.png import is_png, png_chunks
from tests.chaos.mutations.register import (
    Register,
    mutated_block,
)
from tests.chaos.parents import exif

MUTATIONS = Register()


def _profile_span(data: bytes) -> tuple[int, int] | None:
    """Where an ICC profile lies; PNG has it deflated."""
    sign = data.find(b"acsp")
    if sign < 36:
        return None
    (size,) = struct.unpack_from(">I", data, sign - 36)
    return sign - 36, min(len(data), sign - 36 + size)


def _has_profile(data: bytes) -> bool:
    if is_png(data):
        return any(kind == b"iCCP" for kind, _ in png_chunks(data))
    return _profile_span(data) is not None


@MUTATIONS.add(_has_profile, weight=4)
def profile_bytes(data: bytes, rng: Random) -> bytes:
    """Bits of the colour profile: of its header and table of tags most of all, which its reader
    trusts.
    """
    if is_png(data):
        chunks = [
            (kind, _mutated_iccp(body, rng) if kind == b"iCCP" else body)
            for kind, body in png_chunks(data)
        ]
        return png_of(chunks)
    start, end = _profile_span(data) or (0, len(data))
    return data[:start] + mutated_block(data[start:end], rng) + data[end:]


def _mutated_iccp(body: bytes, rng: Random) -> bytes:
    name, _, packed = body.partition(b"\0")
    try:
        profile = zlib.decompress(packed[1:])
    except zlib.error:
        return body
    return name + b"\0\0" + zlib.compress(mutated_block(profile, rng))


def _exif_span(data: bytes) -> tuple[int, int] | None:
    """Where the Exif block lies: behind 'Exif' in a JPEG, in the chunk of that name elsewhere."""
    for sign, skip in ((b"Exif\0\0", 6), (b"eXIf", 4), (b"EXIF", 8)):
        if (place := data.find(sign)) > 0:
            end = place + skip + len(exif()) - (6 if exif()[:6] == b"Exif\0\0" else 0)
            return place + skip, min(len(data), end)
    return None


def _has_exif(data: bytes) -> bool:
    return _exif_span(data) is not None


@MUTATIONS.add(_has_exif, weight=3)
def exif_bytes(data: bytes, rng: Random) -> bytes:
    start, end = _exif_span(data) or (0, len(data))
    mutated = data[:start] + mutated_block(data[start:end], rng) + data[end:]
    return png_of(png_chunks(mutated)) if is_png(data) else mutated
