"""Mutated images by the ten thousand, by a seed.

The n-th depends on the seed, on n and on the parents alone, not on how many are made: a finding is
made again by its number, which its name begins with. 10,000 take about ten seconds of one core.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.parents import (
    PNG_SIGNATURE,
    deflated_zeros,
    exif,
    parents,
    png_bomb_of,
    png_chunk,
    png_of,
    read_parents,
    small_archive,
)

Mutate = Callable[[bytes, Random], bytes]

# Sizes (width, height) that a header may claim; each format takes of them what its fields can hold.
SIZES = (
    (65535, 65535),
    (20000, 20000),
    (10000, 10000),
    (16383, 16383),
    (2**31 - 1, 2**31 - 1),
    (2**32 - 1, 2**32 - 1),
    (0, 0),
    (0, 100),
    (1, 2**31 - 1),
    (2**31 - 1, 1),
    (1, 65535),
    (65535, 1),
    (100_000, 5000),
    (1, 1),
)
_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    16,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
_HEADERS = (64, 128, 256, 512)  # bytes that count as the header

_OTHER_SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".bmp", ".gif", ".JPEG", ".psd", ".svg")

# One picture in so many is a bomb: to decode one costs as much as to decode ten thousand others.
_BOMB_EVERY, _FIRST_BOMB = 2500, 40


def mutated_images(
    count: int, seed: int, extra_parents: Path | None = None
) -> Iterator[tuple[str, str, bytes]]:
    """(name, kind of mutation, bytes) of so many files. `extra_parents`: a folder whose files are
    mutated, too.
    """
    all_parents = [*parents(), *(read_parents(extra_parents) if extra_parents else ())]
    suited = {
        kind: [p for p in all_parents if mutation.suits(p.data)]
        for kind, mutation in _MUTATIONS.items()
    }
    schedule = [kind for kind, mutation in _MUTATIONS.items() for _ in range(mutation.weight)]
    for number in range(count):
        is_bomb = number % _BOMB_EVERY == _FIRST_BOMB
        kind = png_bomb.__name__ if is_bomb else schedule[number % len(schedule)]
        rng = Random(f"{seed}/{number}")
        parent = rng.choice(suited[kind])
        suffix = (
            rng.choice(_OTHER_SUFFIXES) if kind == swapped_extension.__name__ else parent.suffix
        )
        yield (
            f"{number:06}-{kind}-{parent.label}{suffix}",
            kind,
            _MUTATIONS[kind].mutate(parent.data, rng),
        )


# The register of mutations


@dataclass(frozen=True)
class _Mutation:
    mutate: Mutate
    suits: Callable[[bytes], bool]  # whether a parent can be mutated so
    weight: int  # how often it comes in each round


_MUTATIONS: dict[str, _Mutation] = {}


def _is_any(data: bytes) -> bool:
    return True


def _is_jpeg(data: bytes) -> bool:
    return data[:3] == b"\xff\xd8\xff" and _frame(data) is not None


def _is_progressive(data: bytes) -> bool:
    return _is_jpeg(data) and b"\xff\xc2\0" in data


def _is_png(data: bytes) -> bool:
    return data[:8] == PNG_SIGNATURE and data[12:16] == b"IHDR" and len(_png_chunks(data)) > 2


def _is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and len(_directories(data).tags) > 3


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _is_bmp(data: bytes) -> bool:
    return data[:2] == b"BM" and len(data) > 64


def _mutation(
    suits: Callable[[bytes], bool] = _is_any, weight: int = 1
) -> Callable[[Mutate], Mutate]:
    """Register a function as the kind of mutation that its name says."""

    def register(mutate: Mutate) -> Mutate:
        _MUTATIONS[mutate.__name__] = _Mutation(mutate, suits, weight)
        return mutate

    return register


# Mutations of any file


def _place(data: bytes, rng: Random) -> int:
    """Anywhere, at times near the beginning or the end: that is where it matters most."""
    if rng.random() < 0.3:
        near = min(len(data), 64)
        return rng.choice((rng.randrange(near), len(data) - 1 - rng.randrange(near)))
    return rng.randrange(len(data))


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    """Beginning and end of a block of up to 4 KB."""
    start = _place(data, rng)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 100, 512, 4096)))


def _flipped(data: bytes, rng: Random, bits: int, end: int) -> bytes:
    out = bytearray(data)
    for _ in range(bits):
        out[rng.randrange(min(end, len(out)))] ^= 1 << rng.randrange(8)
    return bytes(out)


@_mutation(weight=4)
def bits_in_header(data: bytes, rng: Random) -> bytes:
    return _flipped(data, rng, rng.randint(1, 8), rng.choice(_HEADERS))


@_mutation(weight=4)
def bytes_in_header(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        out[rng.randrange(min(rng.choice(_HEADERS), len(out)))] = rng.randrange(256)
    return bytes(out)


@_mutation(weight=3)
def numbers_in_header(data: bytes, rng: Random) -> bytes:
    """A 16 or 32-bit number of either byte order, of those that arithmetic stumbles over."""
    form, size = rng.choice((("<H", 2), (">H", 2), ("<I", 4), (">I", 4)))
    out = bytearray(data)
    place = rng.randrange(max(1, min(rng.choice(_HEADERS), len(out)) - size))
    struct.pack_into(form, out, place, rng.choice(_NUMBERS) % (1 << 8 * size))
    return bytes(out)


@_mutation(weight=3)
def bits_anywhere(data: bytes, rng: Random) -> bytes:
    return _flipped(data, rng, rng.choice((1, 1, 2, 4, 16, 64)), len(data))


@_mutation(weight=2)
def truncated(data: bytes, rng: Random) -> bytes:
    return data[: _place(data, rng)]


@_mutation(weight=2)
def truncated_with_end(data: bytes, rng: Random) -> bytes:
    """Cut short, but with the end that the format asks for, and with the size in the header set
    right.
    """
    out = bytearray(data[: _place(data, rng)])
    if data[:2] == b"\xff\xd8":
        return bytes(out) + b"\xff\xd9"
    if data[:8] == PNG_SIGNATURE:
        return bytes(out) + png_chunk(b"IEND", b"")
    if _is_webp(data) and len(out) > 12:
        struct.pack_into("<I", out, 4, len(out) - 8)
    elif data[:2] == b"BM" and len(out) > 6:
        struct.pack_into("<I", out, 2, len(out))
    elif data[:3] == b"GIF":
        return bytes(out) + b"\0;"
    return bytes(out)


@_mutation()
def filled_up(data: bytes, rng: Random) -> bytes:
    """Cut short and filled up to its old length, as a broken copy is."""
    kept = _place(data, rng)
    return data[:kept] + rng.choice((b"\0", b"\xff", b"\x55")) * (len(data) - kept)


@_mutation()
def swapped_extension(data: bytes, rng: Random) -> bytes:
    """The name alone lies."""
    return data


@_mutation()
def bytes_deleted(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


@_mutation()
def bytes_inserted(data: bytes, rng: Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 4, 16, 512))) + data[place:]


@_mutation()
def block_duplicated(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 3, 50)) + data[end:]


@_mutation()
def block_zeroed(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


@_mutation()
def blocks_swapped(data: bytes, rng: Random) -> bytes:
    first, second, third, fourth = sorted(rng.randrange(len(data)) for _ in range(4))
    return (
        data[:first] + data[third:fourth] + data[second:third] + data[first:second] + data[fourth:]
    )


@_mutation(weight=2)
def spliced(data: bytes, rng: Random) -> bytes:
    """The beginning of one file and the end of another, of the same format as often as not."""
    others = [
        parent.data for parent in parents() if rng.random() < 0.5 or parent.data[:2] == data[:2]
    ]
    other = rng.choice(others)
    return data[: _place(data, rng)] + other[_place(other, rng) :]


@_mutation()
def trailing_garbage(data: bytes, rng: Random) -> bytes:
    other = rng.choice(parents()).data
    return data + rng.choice(
        (rng.randbytes(rng.randint(1, 5000)), bytes(3000), other, data, small_archive("zip"))
    )


@_mutation()
def empty(data: bytes, rng: Random) -> bytes:
    return b""


@_mutation(weight=2)
def noise_behind_signature(data: bytes, rng: Random) -> bytes:
    return data[: rng.choice((2, 3, 4, 8, 12, 16, 30))] + rng.randbytes(
        rng.choice((0, 1, 10, 100, 3000))
    )


@_mutation()
def archive_under_image_name(data: bytes, rng: Random) -> bytes:
    return small_archive(rng.choice(("zip", "tar", "gzip", "zeros")))


# Profiles and Exif inside files that are whole otherwise


def _profile_span(data: bytes) -> tuple[int, int] | None:
    """Where an ICC profile lies; PNG has it deflated."""
    sign = data.find(b"acsp")
    if sign < 36:
        return None
    (size,) = struct.unpack_from(">I", data, sign - 36)
    return sign - 36, min(len(data), sign - 36 + size)


def _has_profile(data: bytes) -> bool:
    if _is_png(data):
        return any(kind == b"iCCP" for kind, _ in _png_chunks(data))
    return _profile_span(data) is not None


@_mutation(_has_profile, weight=4)
def profile_bytes(data: bytes, rng: Random) -> bytes:
    """Bits of the colour profile: of its header and table of tags most of all, which its reader
    trusts.
    """
    if _is_png(data):
        chunks = [
            (kind, _mutated_iccp(body, rng) if kind == b"iCCP" else body)
            for kind, body in _png_chunks(data)
        ]
        return png_of(chunks)
    start, end = _profile_span(data) or (0, len(data))
    return data[:start] + _mutated_block(data[start:end], rng) + data[end:]


def _mutated_iccp(body: bytes, rng: Random) -> bytes:
    name, _, packed = body.partition(b"\0")
    try:
        profile = zlib.decompress(packed[1:])
    except zlib.error:
        return body
    return name + b"\0\0" + zlib.compress(_mutated_block(profile, rng))


def _mutated_block(block: bytes, rng: Random) -> bytes:
    """Of the same length; damaged in its first 600 bytes, or in all of it."""
    out = bytearray(block)
    for _ in range(rng.choice((1, 2, 5, 20))):
        place = rng.randrange(rng.choice((len(out), min(len(out), 600))))
        if rng.random() < 0.5 or place + 4 > len(out):
            out[place] = rng.randrange(256)
        else:
            struct.pack_into(rng.choice("<>") + "I", out, place, rng.choice(_NUMBERS))
    return bytes(out)


def _exif_span(data: bytes) -> tuple[int, int] | None:
    """Where the Exif block lies: behind 'Exif' in a JPEG, in the chunk of that name elsewhere."""
    for sign, skip in ((b"Exif\0\0", 6), (b"eXIf", 4), (b"EXIF", 8)):
        if (place := data.find(sign)) > 0:
            end = place + skip + len(exif()) - (6 if exif()[:6] == b"Exif\0\0" else 0)
            return place + skip, min(len(data), end)
    return None


def _has_exif(data: bytes) -> bool:
    return _exif_span(data) is not None


@_mutation(_has_exif, weight=3)
def exif_bytes(data: bytes, rng: Random) -> bytes:
    start, end = _exif_span(data) or (0, len(data))
    mutated = data[:start] + _mutated_block(data[start:end], rng) + data[end:]
    return png_of(_png_chunks(mutated)) if _is_png(data) else mutated


# JPEG

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


@_mutation(_is_jpeg, weight=2)
def jpeg_sizes(data: bytes, rng: Random) -> bytes:
    return bytes(_with_jpeg_size(data, *rng.choice(SIZES)))


@_mutation(_is_jpeg, weight=2)
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


@_mutation(_is_jpeg, weight=2)
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


@_mutation(_is_jpeg, weight=2)
def jpeg_segment_lengths(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    _, start, _ = rng.choice(_jpeg_segments(data))
    struct.pack_into(">H", out, start + 2, rng.choice((0, 1, 2, 3, 8, 255, 0x7FFF, 0xFFFE, 0xFFFF)))
    return bytes(out)


@_mutation(_is_jpeg)
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


@_mutation(_is_jpeg)
def jpeg_markers_in_scan(data: bytes, rng: Random) -> bytes:
    """Markers where coded data is: ends, further frames and tables, restarts out of turn."""
    start = _jpeg_segments(data)[-1][2]
    for _ in range(rng.choice((1, 2, 20))):
        place = rng.randrange(min(start, len(data)), len(data) + 1)
        marker = rng.choice(b"\xd8\xd9\xda\xc0\xc2\xc4\xdb\xdc\xdd\xe0\xd0\xd3\xd7\x01")
        data = data[:place] + bytes((0xFF, marker)) + rng.choice((b"", b"\0\4\0\0")) + data[place:]
    return data


@_mutation(_is_progressive)
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


# PNG


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if place + 12 + length > len(data):
            break
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


@_mutation(_is_png, weight=2)
def png_sizes(data: bytes, rng: Random) -> bytes:
    (_, header), *rest = _png_chunks(data)
    return png_of([(b"IHDR", struct.pack(">2I", *rng.choice(SIZES)) + header[8:]), *rest])


@_mutation(_is_png)
def png_header_fields(data: bytes, rng: Random) -> bytes:
    """Depth, type of colour, compression, filter, interlacing."""
    (_, header), *rest = _png_chunks(data)
    fields = bytearray(header)
    for _ in range(rng.choice((1, 2))):
        fields[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 255))
    return png_of([(b"IHDR", bytes(fields)), *rest])


@_mutation(_is_png, weight=2)
def png_chunk_lengths(data: bytes, rng: Random) -> bytes:
    places, place = [], 8
    for _, body in _png_chunks(data):
        places.append(place)
        place += 12 + len(body)
    out = bytearray(data)
    lengths = (0, 1, 3, 4, 12, 13, 255, 65536, len(data), 2**31 - 1, 2**31, 2**32 - 13, 2**32 - 1)
    struct.pack_into(">I", out, rng.choice(places), rng.choice(lengths))
    return bytes(out)


@_mutation(_is_png, weight=3)
def png_chunk_bytes(data: bytes, rng: Random) -> bytes:
    """Damage that no checksum tells of."""
    chunks = _png_chunks(data)
    number = rng.choice([i for i, (_, body) in enumerate(chunks) if body])
    kind, body = chunks[number]
    body = _mutated_block(body, rng) if rng.random() < 0.7 else body[: rng.randrange(len(body))]
    return png_of([*chunks[:number], (kind, body), *chunks[number + 1 :]])


@_mutation(_is_png)
def png_chunk_order(data: bytes, rng: Random) -> bytes:
    chunks = _png_chunks(data)
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
    return _is_png(data) and len(_png_rows(data)) > 0


def _png_rows(data: bytes) -> bytes:
    """The image data as it inflates; none where it does not, as in an extra parent that is broken
    already.
    """
    try:
        return zlib.decompressobj().decompress(
            b"".join(body for kind, body in _png_chunks(data) if kind == b"IDAT")
        )
    except zlib.error:
        return b""


@_mutation(_has_rows, weight=2)
def png_rows(data: bytes, rng: Random) -> bytes:
    """Filter types that there are none of, too few rows or too many, in image data that inflates
    and checks out.
    """
    chunks = _png_chunks(data)
    rows = bytearray(_png_rows(data))
    what = rng.randrange(3)
    if what == 0:
        rows = bytearray(_flipped(bytes(rows), rng, 20, len(rows)))
        rows[0] = rng.randrange(256)
    elif what == 1:
        rows = rows[: rng.randrange(len(rows))]
    else:
        rows += rng.randbytes(rng.choice((1, 100, 10_000)))
    first = next(i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    others = [chunk for chunk in chunks[first:] if chunk[0] != b"IDAT"]
    return png_of([*chunks[:first], (b"IDAT", zlib.compress(bytes(rows), 1)), *others])


@_mutation(_is_png)
def png_metadata_bomb(data: bytes, rng: Random) -> bytes:
    """Text or a profile that inflates to many megabytes, or thousands of small texts."""
    header, *rest = _png_chunks(data)
    packed = deflated_zeros(rng.choice((900_000, 5_000_000, 30_000_000)))
    bombs = (
        [(b"zTXt", b"a\0\0" + packed)],
        [(b"iTXt", b"a\0\1\0\0\0" + packed)],
        [(b"iCCP", b"a\0\0" + packed)],
        [(b"zTXt", b"%d\0\0" % i + packed) for i in range(80)],
        [(b"tEXt", b"%d\0b" % i) for i in range(5000)],
    )
    return png_of([header, *rng.choice(bombs), *rest])


@_mutation(_is_png, weight=0)
def png_bomb(data: bytes, rng: Random) -> bytes:
    """A whole picture of one colour, a thousand times as large in memory as in the file."""
    width, height = rng.choice(((12000, 12000), (11000, 11000), (30000, 4000)))
    return png_bomb_of(width, height, rng.choice(((8, 0), (8, 0), (8, 2), (1, 0))))


# TIFF


@dataclass(frozen=True)
class _Tag:
    number: int
    kind: int
    count: int
    place: int  # of its entry in the directory


@dataclass(frozen=True)
class _Directories:
    """Where the directories of a TIFF are, and what is in them."""

    order: str
    big: bool
    tags: tuple[_Tag, ...]
    starts: tuple[int, ...]
    # places of the offsets that lead from one directory to the next, the header's first
    links: tuple[int, ...]

    @property
    def word(self) -> str:
        """The format of offsets and counts."""
        return self.order + ("Q" if self.big else "I")

    def count_place(self, tag: _Tag) -> int:
        return tag.place + 4

    def value_place(self, tag: _Tag) -> int:
        return tag.place + (12 if self.big else 8)


_TYPE_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIFF_SIZE_TAGS = (256, 257, 258, 273, 277, 278, 279, 322, 323, 324, 325)


def _directories(data: bytes) -> _Directories:
    order = "<" if data[:2] == b"II" else ">"
    big = b"+" in data[2:4]
    word = struct.Struct(order + ("Q" if big else "I"))
    entry, counts = (
        struct.Struct(order + ("2HQ8x" if big else "2HI4x")),
        struct.Struct(order + ("Q" if big else "H")),
    )
    tags: list[_Tag] = []
    starts: list[int] = []
    links = [8 if big else 4]
    with suppress(struct.error):  # an extra parent may be broken already
        while (
            (start := word.unpack_from(data, links[-1])[0])
            and start not in starts
            and len(starts) < 50
        ):
            (count,) = counts.unpack_from(data, start)
            first = start + counts.size
            places = range(first, first + count * entry.size, entry.size)
            tags += [
                _Tag(facts[0], facts[1], facts[2], place)
                for place in places
                if (facts := entry.unpack_from(data, place))
            ]
            starts.append(start)
            links.append(first + count * entry.size)
    return _Directories(order, big, tuple(tags), tuple(starts), tuple(links))


def _set_value(out: bytearray, found: _Directories, tag: _Tag, value: int, rng: Random) -> None:
    """Set one of a tag's integers, wherever they lie; those of other types become one long."""
    letter = _INTEGERS.get(tag.kind)
    slot = found.value_place(tag)
    if letter is None or tag.count < 1:
        struct.pack_into(found.order + "H", out, tag.place + 2, 4)
        struct.pack_into(found.word, out, found.count_place(tag), 1)
        letter, place = "I", slot
    else:
        size = struct.calcsize(letter)
        inline = size * tag.count <= struct.calcsize(found.word)
        start = slot if inline else struct.unpack_from(found.word, out, slot)[0]
        place = start + size * rng.randrange(tag.count)
    with suppress(struct.error):  # in an extra parent the values may lie beyond the end
        struct.pack_into(
            found.order + letter, out, place, value % (1 << 8 * struct.calcsize(letter))
        )


@_mutation(_is_tiff, weight=4)
def tiff_sizes(data: bytes, rng: Random) -> bytes:
    """Width and length, of strips and tiles, too; bits and samples; where strips are and how
    long.
    """
    found, out = _directories(data), bytearray(data)
    width, height = rng.choice(SIZES)
    whole = {256: width, 257: height} if rng.random() < 0.5 else {}
    some = rng.sample(_TIFF_SIZE_TAGS, rng.randint(0 if whole else 1, 3))
    values = whole | {number: rng.choice((width, height, *_NUMBERS)) for number in some}
    for tag in found.tags:
        if tag.number in values:
            _set_value(out, found, tag, values[tag.number], rng)
    return bytes(out)


@_mutation(_is_tiff, weight=3)
def tiff_values(data: bytes, rng: Random) -> bytes:
    """Any tag's value."""
    found, out = _directories(data), bytearray(data)
    for _ in range(rng.choice((1, 2, 4))):
        _set_value(
            out,
            found,
            rng.choice(found.tags),
            rng.choice((*_NUMBERS, len(data), rng.randrange(len(data)))),
            rng,
        )
    return bytes(out)


@_mutation(_is_tiff, weight=3)
def tiff_coding(data: bytes, rng: Random) -> bytes:
    """Another compression, photometric, predictor, order of bits or planes than the strips are
    in.
    """
    values = {
        259: (
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            32773,
            32946,
            34712,
            34887,
            34892,
            34925,
            50000,
            50001,
            50002,
            65535,
        ),
        262: (0, 1, 2, 3, 4, 5, 6, 8, 9, 32803, 65535),
        266: (1, 2),
        284: (1, 2, 3),
        317: (1, 2, 3, 9),
        339: (1, 2, 3, 4, 5, 6),
        530: (0, 1, 2, 4, 255),
    }
    found, out = _directories(data), bytearray(data)
    for tag in found.tags:
        if tag.number in values and rng.random() < 0.4:
            _set_value(out, found, tag, rng.choice(values[tag.number]), rng)
    return bytes(out)


@_mutation(_is_tiff, weight=2)
def tiff_counts(data: bytes, rng: Random) -> bytes:
    found, out = _directories(data), bytearray(data)
    counts = (0, 1, 2, 1000, 65536, len(data), 2**28, 2**31 - 1, 2**32 - 1, 2**63 - 1)
    if rng.random() < 0.2:
        form = found.order + ("Q" if found.big else "H")
        struct.pack_into(form, out, rng.choice(found.starts), rng.choice((0, 1, 1000, 65535)))
    else:
        count = rng.choice(counts) % (1 << 8 * struct.calcsize(found.word))
        struct.pack_into(found.word, out, found.count_place(rng.choice(found.tags)), count)
    return bytes(out)


@_mutation(_is_tiff)
def tiff_types(data: bytes, rng: Random) -> bytes:
    found, out = _directories(data), bytearray(data)
    for _ in range(rng.choice((1, 3))):
        kind = rng.choice((*_TYPE_SIZES, 0, 14, 15, 99, 65535))
        struct.pack_into(found.order + "H", out, rng.choice(found.tags).place + 2, kind)
    return bytes(out)


@_mutation(_is_tiff)
def tiff_tag_numbers(data: bytes, rng: Random) -> bytes:
    """Tags that are there twice, that are missing, or that mean something else."""
    found, out = _directories(data), bytearray(data)
    for _ in range(rng.choice((1, 3))):
        number = rng.choice(
            (
                *(tag.number for tag in found.tags),
                330,
                347,
                34665,
                34853,
                33723,
                34675,
                700,
                513,
                514,
            )
        )
        struct.pack_into(found.order + "H", out, rng.choice(found.tags).place, number)
    return bytes(out)


@_mutation(_is_tiff, weight=2)
def tiff_offsets(data: bytes, rng: Random) -> bytes:
    """Values, strips or directories beyond the file, or on top of one another."""
    found, out = _directories(data), bytearray(data)
    beyond = (len(data), len(data) - 1, len(data) + 1, 2**31 - 1, 2**32 - 8, 0, 4, 8)
    tags = [tag for tag in found.tags if tag.number in (273, 324)]
    if tags and rng.random() < 0.4:
        for _ in range(rng.choice((1, 20))):
            _set_value(out, found, tags[0], rng.choice(beyond), rng)
    elif rng.random() < 0.7:
        struct.pack_into(
            found.word, out, found.value_place(rng.choice(found.tags)), rng.choice(beyond)
        )
    else:
        struct.pack_into(found.word, out, found.links[0], rng.choice(beyond))
    return bytes(out)


@_mutation(_is_tiff)
def tiff_loops(data: bytes, rng: Random) -> bytes:
    """Directories that lead back to themselves, as the next one or as one inside (Exif, GPS,
    sub-directories).
    """
    found, out = _directories(data), bytearray(data)
    if rng.random() < 0.5 and len(found.links) > 1:
        struct.pack_into(found.word, out, found.links[-1], rng.choice(found.starts))
    else:
        tag = rng.choice(found.tags[-4:])
        struct.pack_into(
            found.order + "2H", out, tag.place, rng.choice((330, 34665, 34853, 40965)), 4
        )
        struct.pack_into(found.word, out, found.count_place(tag), rng.choice((1, 1, 1000)))
        struct.pack_into(found.word, out, found.value_place(tag), rng.choice(found.starts))
    return bytes(out)


@_mutation(_is_tiff)
def tiff_page_chain(data: bytes, rng: Random) -> bytes:
    """Thousands of further pages of one pixel; at times the last of them leads back, or lacks its
    size.
    """
    found, out = _directories(data), bytearray(data)
    count, turn = rng.choice((100, 1000, 5000)), rng.choice(("end", "back", "broken"))
    values = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1}
    entry = struct.Struct(found.order + ("2H2Q" if found.big else "2H2I"))
    head = struct.pack(found.order + ("Q" if found.big else "H"), len(values))
    tags = b"".join(entry.pack(number, 4, 1, value) for number, value in values.items())
    size = len(head) + len(tags) + struct.calcsize(found.word)
    start = len(out)
    struct.pack_into(found.word, out, found.links[-1], start)
    out += b"".join(
        head + tags + struct.pack(found.word, start + number * size) for number in range(1, count)
    )
    ends = {"end": 0, "back": start, "broken": len(out) + size + 1000}
    return bytes(out + head + tags + struct.pack(found.word, ends[turn]))


@_mutation(lambda data: _is_tiff(data) and b"\xff\xc0\0\x11\x08" in data)
def tiff_jpeg_strip_sizes(data: bytes, rng: Random) -> bytes:
    """A JPEG inside that says it is far larger than the strip that it is."""
    out = bytearray(data)
    frames = [match.start() for match in re.finditer(rb"\xff\xc0\0\x11\x08", data)]
    width, height = rng.choice(SIZES)
    for frame in frames if rng.random() < 0.3 else [rng.choice(frames)]:
        struct.pack_into(">2H", out, frame + 5, min(height, 0xFFFF), min(width, 0xFFFF))
    return bytes(out)


# WebP


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


@_mutation(_is_webp, weight=2)
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


@_mutation(_is_webp, weight=2)
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


@_mutation(_is_webp, weight=2)
def webp_chunk_bytes(data: bytes, rng: Random) -> bytes:
    """Flags and sizes of the extended header, of frames, of the codec's own."""
    chunks = _webp_chunks(data)
    number = rng.choice([i for i, (_, body) in enumerate(chunks) if body])
    kind, body = chunks[number]
    out = bytearray(body)
    for _ in range(rng.choice((1, 2, 8))):
        out[rng.randrange(rng.choice((len(out), min(len(out), 24))))] = rng.randrange(256)
    return _webp([*chunks[:number], (kind, bytes(out)), *chunks[number + 1 :]])


@_mutation(_is_webp)
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


# BMP


@_mutation(_is_bmp, weight=2)
def bmp_sizes(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    width, height = rng.choice(SIZES)
    if data[14] == 12:
        struct.pack_into("<2H", out, 18, width & 0xFFFF, height & 0xFFFF)
    else:
        sign = rng.choice((1, 1, -1))
        struct.pack_into("<2I", out, 18, width % (1 << 32), sign * height % (1 << 32))
    return bytes(out)


@_mutation(_is_bmp, weight=2)
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
        values = (4, 5, 6, 12, 24, 32, 40, 52, 54, 64, 108, 124, *_NUMBERS)
        struct.pack_into(form, out, place, rng.choice(values) % (1 << 8 * size))
    return bytes(out)


MUTATIONS: tuple[str, ...] = tuple(_MUTATIONS)
