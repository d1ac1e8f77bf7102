"""Mutated TIFF files: directories, tags, offsets."""

import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from demoire.imaging.codecs.tiff_tags import VALUE_SIZES
from tests.chaos.mutations.register import (
    NUMBERS,
    SIZES,
    Register,
)

MUTATIONS = Register()


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and len(_directories(data).tags) > 3


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


@MUTATIONS.add(is_tiff, weight=4)
def tiff_sizes(data: bytes, rng: Random) -> bytes:
    """Width and length, of strips and tiles, too; bits and samples; where strips are and how
    long.
    """
    found, out = _directories(data), bytearray(data)
    width, height = rng.choice(SIZES)
    whole = {256: width, 257: height} if rng.random() < 0.5 else {}
    some = rng.sample(_TIFF_SIZE_TAGS, rng.randint(0 if whole else 1, 3))
    values = whole | {number: rng.choice((width, height, *NUMBERS)) for number in some}
    for tag in found.tags:
        if tag.number in values:
            _set_value(out, found, tag, values[tag.number], rng)
    return bytes(out)


@MUTATIONS.add(is_tiff, weight=3)
def tiff_values(data: bytes, rng: Random) -> bytes:
    """Any tag's value."""
    found, out = _directories(data), bytearray(data)
    for _ in range(rng.choice((1, 2, 4))):
        _set_value(
            out,
            found,
            rng.choice(found.tags),
            rng.choice((*NUMBERS, len(data), rng.randrange(len(data)))),
            rng,
        )
    return bytes(out)


@MUTATIONS.add(is_tiff, weight=3)
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


@MUTATIONS.add(is_tiff, weight=2)
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


@MUTATIONS.add(is_tiff)
def tiff_types(data: bytes, rng: Random) -> bytes:
    found, out = _directories(data), bytearray(data)
    for _ in range(rng.choice((1, 3))):
        kind = rng.choice((*VALUE_SIZES, 0, 14, 15, 99, 65535))
        struct.pack_into(found.order + "H", out, rng.choice(found.tags).place + 2, kind)
    return bytes(out)


@MUTATIONS.add(is_tiff)
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


@MUTATIONS.add(is_tiff, weight=2)
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


@MUTATIONS.add(is_tiff)
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


@MUTATIONS.add(is_tiff)
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


@MUTATIONS.add(lambda data: is_tiff(data) and b"\xff\xc0\0\x11\x08" in data)
def tiff_jpeg_strip_sizes(data: bytes, rng: Random) -> bytes:
    """A JPEG inside that says it is far larger than the strip that it is."""
    out = bytearray(data)
    frames = [match.start() for match in re.finditer(rb"\xff\xc0\0\x11\x08", data)]
    width, height = rng.choice(SIZES)
    for frame in frames if rng.random() < 0.3 else [rng.choice(frames)]:
        struct.pack_into(">2H", out, frame + 5, min(height, 0xFFFF), min(width, 0xFFFF))
    return bytes(out)
