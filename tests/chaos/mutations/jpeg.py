"""Mutated JPEG files: frames, tables, segments, scans."""

import re
import struct
from random import Random

from tests.chaos.mutations.register import (
    SIZES,
    Register,
)

MUTATIONS = Register()


def is_jpeg(data: bytes) -> bool:
    return data[:3] == b"\xff\xd8\xff" and _frame(data) is not None


def is_progressive(data: bytes) -> bool:
    return is_jpeg(data) and b"\xff\xc2\0" in data


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """(marker, beginning, end) of each segment up to the first start of scan, that one too."""
    found, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        end = place + 2 + int(struct.unpack_from(">H", data, place + 2)[0])
        found.append((data[place + 1], place, end))
        if data[place + 1] == 0xDA:
            break
        place = end
    return found


def _frame(data: bytes) -> int | None:
    """Where the start of frame begins."""
    return next((start for marker, start, _ in _jpeg_segments(data) if marker in _FRAMES), None)


def _with_jpeg_size(data: bytes, width: int, height: int) -> bytearray:
    out, frame = bytearray(data), _frame(data)
    assert frame is not None
    struct.pack_into(">2H", out, frame + 5, min(height, 0xFFFF), min(width, 0xFFFF))
    return out


@MUTATIONS.add(is_jpeg, weight=2)
def jpeg_sizes(data: bytes, rng: Random) -> bytes:
    return bytes(_with_jpeg_size(data, *rng.choice(SIZES)))


@MUTATIONS.add(is_jpeg, weight=2)
def jpeg_frame(data: bytes, rng: Random) -> bytes:
    """Another process, precision, number of components or sampling, at times with another size."""
    out = _with_jpeg_size(data, *rng.choice(SIZES)) if rng.random() < 0.3 else bytearray(data)
    frame = _frame(data) or 0
    what = rng.randrange(4)
    if what == 0:
        out[frame + 1] = rng.choice(sorted(_FRAMES))
    elif what == 1:
        out[frame + 4] = rng.choice((0, 1, 2, 12, 16, 255))
    elif what == 2:
        out[frame + 9] = rng.choice((0, 1, 2, 3, 4, 5, 10, 255))
    else:
        for component in range(data[frame + 9]):
            out[(frame + 11 + 3 * component) % len(out)] = rng.choice(
                (0x00, 0x11, 0x21, 0x22, 0x41, 0x44, 0xFF)
            )
    return bytes(out)


@MUTATIONS.add(is_jpeg, weight=2)
def jpeg_tables(data: bytes, rng: Random) -> bytes:
    """Quantisation and Huffman tables, restart interval, and the header of the first scan."""
    out = bytearray(data)
    spans = [
        (start, end)
        for marker, start, end in _jpeg_segments(data)
        if marker in (0xC4, 0xDA, 0xDB, 0xDD)
    ]
    for _ in range(rng.choice((1, 2, 6))):
        start, end = rng.choice(spans)
        out[rng.randrange(start + 4, max(start + 5, min(end, len(out))))] = rng.choice(
            (0, 1, 255, rng.randrange(256))
        )
    return bytes(out)


@MUTATIONS.add(is_jpeg, weight=2)
def jpeg_segment_lengths(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    _, start, _ = rng.choice(_jpeg_segments(data))
    struct.pack_into(">H", out, start + 2, rng.choice((0, 1, 2, 3, 8, 255, 0x7FFF, 0xFFFE, 0xFFFF)))
    return bytes(out)


@MUTATIONS.add(is_jpeg)
def jpeg_segment_order(data: bytes, rng: Random) -> bytes:
    segments = _jpeg_segments(data)
    order = (
        rng.sample(segments, len(segments))
        if rng.random() < 0.5
        else [*segments, rng.choice(segments)]
    )
    if rng.random() < 0.3:
        order.remove(rng.choice(segments))
    return data[:2] + b"".join(data[start:end] for _, start, end in order) + data[segments[-1][2] :]


@MUTATIONS.add(is_jpeg)
def jpeg_markers_in_scan(data: bytes, rng: Random) -> bytes:
    """Markers where coded data is: ends, further frames and tables, restarts out of turn."""
    start = _jpeg_segments(data)[-1][2]
    for _ in range(rng.choice((1, 2, 20))):
        place = rng.randrange(min(start, len(data)), len(data) + 1)
        marker = rng.choice(b"\xd8\xd9\xda\xc0\xc2\xc4\xdb\xdc\xdd\xe0\xd0\xd3\xd7\x01")
        data = data[:place] + bytes((0xFF, marker)) + rng.choice((b"", b"\0\4\0\0")) + data[place:]
    return data


@MUTATIONS.add(is_progressive)
def jpeg_many_scans(data: bytes, rng: Random) -> bytes:
    """Up to two thousand scans, each of which costs a pass over the picture; seldom of a large
    picture.
    """
    starts = [match.start() for match in re.finditer(b"\xff\xda", data)]
    end = data.rindex(b"\xff\xd9")
    number = rng.randrange(len(starts))
    scan = data[starts[number] : [*starts, end][number + 1]]
    large = rng.random() < 0.05
    scans = scan * rng.choice((60, 300) if large else (20, 49, 60, 300, 1000, 2000))
    return bytes(_with_jpeg_size(data, 5000, 5000) if large else data)[:end] + scans + b"\xff\xd9"
