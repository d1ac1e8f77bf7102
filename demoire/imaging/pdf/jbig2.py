"""What is wrong with a JBIG2 stream in a PDF, as far as can be told. Runs in the child.

PDFium decodes as much of it as it can, and says nothing: what is missing is white. So the headers
of its segments are walked here, which tell how many bytes of data follow. Damage inside the data
shows only where nothing at all comes out of them: arithmetic coding makes some picture of any
bytes.

References:
    ITU-T T.88 (2000): segment headers in 7.2, types in 7.3. ISO 32000-1:2008: JBIG2 in 7.4.7.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_KIND = 0x3F  # bits of the flags
_PAGE_IS_LONG = 0x40  # bit of the flags: the number of the page takes 4 bytes
_LONG_COUNT = 7  # of the segments that one refers to: it takes 4 bytes, and a bit for each
_UNKNOWN_LENGTH = 0xFFFFFFFF  # of a region that goes on up to its own end mark

_REGIONS = frozenset({4, 6, 7, 20, 22, 23, 36, 38, 39, 40, 42, 43})
_DICTIONARIES = frozenset({0, 16, 53, 54})  # symbols, patterns, codes, colours
_PAGE = 48
_ENDS = frozenset({49, 51})  # of the page, of the file
_KINDS = _REGIONS | _DICTIONARIES | _ENDS | {_PAGE, 50, 52, 62}

# Bytes that a blank region may take: some, and what its coding takes a pixel and a row.
_BLANK = 100
_BLANK_PIXEL = 1e-5
_BLANK_ROW = 1 / 8


@dataclass(frozen=True)
class _Segment:
    number: int
    kind: int
    references: tuple[int, ...]
    length: int  # bytes of its data
    is_cut_short: bool  # its data go on beyond the end of the stream


def damage_in(data: bytes, shared: bytes = b"") -> str | None:
    """What is wrong with a stream, as a clause; None if it looks sound.

    Args:
        data: The stream.
        shared: The one of segments that it shares with others.
    """
    known: set[int] = set()
    for segment in (*_segments(shared), *_segments(data)):
        if segment.kind not in _KINDS:
            return "it has a segment of a kind that there is not"
        if segment.is_cut_short:
            return "it is cut short"
        if not known.issuperset(segment.references):
            return "it refers to a segment that it has not"
        known.add(segment.number)
    return None


def is_more_than_blank(data: bytes, height: int, width: int) -> bool:
    """Whether a stream has more data than a blank picture of this size can take."""
    most = _BLANK + _BLANK_PIXEL * height * width + _BLANK_ROW * height
    regions = (segment.length for segment in _segments(data) if segment.kind in _REGIONS)
    return max(regions, default=0) > most


def _segments(data: bytes) -> Iterator[_Segment]:
    """Those of a stream, up to the end of its page.

    Stray bytes behind the last segment are none, and neither is what follows a region whose length
    is unknown.
    """
    at = 0
    while at < len(data):
        try:
            number, flags, counts = struct.unpack_from(">IBB", data, at)
            at += 5
            count = counts >> 5
            if count == _LONG_COUNT:
                count = struct.unpack_from(">I", data, at)[0] & 0x1FFFFFFF
                at += 4 + (count + 8) // 8
            else:
                at += 1
            size = _reference_size(number)
            references = tuple(
                int.from_bytes(data[first : first + size])
                for first in range(at, min(at + count * size, len(data)), size)
            )
            at += count * size
            at += 4 if flags & _PAGE_IS_LONG else 1
            (length,) = struct.unpack_from(">I", data, at)
        except struct.error:
            return
        if length == _UNKNOWN_LENGTH:
            return
        at += 4 + length
        kind = flags & _KIND
        yield _Segment(number, kind, references, length, at > len(data))
        if kind in _ENDS:
            return


def _reference_size(number: int) -> int:
    """Bytes of the number of a segment that this one refers to."""
    if number <= 256:
        return 1
    return 2 if number <= 65536 else 4
