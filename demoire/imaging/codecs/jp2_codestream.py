"""The codestream of JPEG 2000: its main header, its tile-parts, and other tiles put in their place.

A tile is coded for itself, so tiles without a change keep their bytes. A new tile whose
quantisation is not that of the main header says so in its own header, which goes before what the
main header says of any component.

References:
    ISO/IEC 15444-1, annex A: markers (A.2), tile-parts (A.4.2), SIZ (A.5.1), COD (A.6.1), QCD
    (A.6.4), TLM (A.7.1); B.2 and B.3 for the reference grid and its tiles.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from demoire.imaging.codecs.raster import CutShortError

START = b"\xff\x4f\xff\x51"  # SOC, and SIZ that always follows it
END = b"\xff\xd9"
CAPABILITIES, SIZE, CODING, CODING_OF_ONE = 0xFF50, 0xFF51, 0xFF52, 0xFF53
TILE_LENGTHS, PACKET_LENGTHS, QUANTISATION, QUANTISATION_OF_ONE = 0xFF55, 0xFF58, 0xFF5C, 0xFF5D
COMMENT = 0xFF64
_TILE_PART, _DATA = 0xFF90, 0xFF93
_TILE_PART_BYTES = 12  # marker, length, tile, length of the part, its number, how many there are
_SIZE_BYTES = 36  # of SIZ, before what it says of the components
_MOST_TILES = 65_535
_MOST_LENGTHS = 10_000  # in one TLM, of 6 bytes each
_EXPLICIT_PRECINCTS = 1


@dataclass(frozen=True)
class Component:
    """How the samples of one component are stored."""

    bits: int
    is_signed: bool
    across: int  # 1 where it has a sample for every pixel
    down: int


@dataclass(frozen=True)
class Grid:
    """The reference grid: where the picture and its tiles lie on it, px."""

    left: int
    top: int
    right: int
    bottom: int
    tile_width: int
    tile_height: int
    tiles_left: int
    tiles_top: int

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-(self.right - self.tiles_left) // self.tile_width)

    @property
    def tiles(self) -> int:
        """All tiles."""
        return self.across * -(-(self.bottom - self.tiles_top) // self.tile_height)

    def tile(self, index: int) -> "Grid":
        """The part of the picture in a tile, as a grid of one tile."""
        row, column = divmod(index, self.across)
        left = self.tiles_left + column * self.tile_width
        top = self.tiles_top + row * self.tile_height
        return Grid(
            left=max(left, self.left),
            top=max(top, self.top),
            right=min(left + self.tile_width, self.right),
            bottom=min(top + self.tile_height, self.bottom),
            tile_width=self.tile_width,
            tile_height=self.tile_height,
            tiles_left=left,
            tiles_top=top,
        )


@dataclass(frozen=True)
class CodingStyle:
    """A COD segment, taken apart."""

    payload: bytes
    flags: int  # explicit precincts, SOP and EPH markers
    progression: int
    layers: int
    mixes_colours: bool  # a colour transform
    levels: int
    block: tuple[int, int]  # of code-blocks: width and height, px
    block_style: int
    is_reversible: bool
    precincts: bytes  # one byte a resolution, the smallest first: two exponents of 4 bits


@dataclass(frozen=True)
class MarkerSegment:
    """A marker segment, marker and length included in `whole`."""

    marker: int
    whole: bytes

    @property
    def payload(self) -> bytes:
        """What follows its length."""
        return self.whole[4:]


@dataclass(frozen=True)
class MainHeader:
    """All up to the first tile-part."""

    grid: Grid
    components: tuple[Component, ...]
    style: CodingStyle
    segments: tuple[MarkerSegment, ...]
    end: int  # where the first tile-part begins

    @property
    def markers(self) -> frozenset[int]:
        """The markers that occur."""
        return frozenset(segment.marker for segment in self.segments)

    @property
    def quantisation(self) -> bytes:
        """The QCD segment."""
        return next(item.whole for item in self.segments if item.marker == QUANTISATION)


@dataclass(frozen=True)
class TilePart:
    """One tile-part: its tile, where it lies in the codestream, and the markers in its header."""

    tile: int
    start: int
    data_start: int
    end: int
    markers: frozenset[int]


@dataclass(frozen=True)
class CodedTile:
    """A tile that was coded anew."""

    coding: bytes  # whole COD segment
    quantisation: bytes  # whole QCD segment
    header: bytes  # other segments of its header (PLT)
    body: bytes  # packets


def read_main_header(stream: bytes) -> MainHeader:
    """The main header at the start of a codestream.

    Raises:
        CutShortError: It goes on beyond these bytes.
        ValueError: It is damaged.
        struct.error: A segment of it is too short.
    """
    if not stream.startswith(START):
        raise ValueError("a codestream that does not begin as one")
    segments, end = _read_segments(stream, 2, _TILE_PART)
    by_marker = {segment.marker: segment.payload for segment in segments}
    if CODING not in by_marker or QUANTISATION not in by_marker:
        raise ValueError("a codestream without coding style or quantisation")
    grid, components = _read_size(by_marker[SIZE])
    return MainHeader(grid, components, _read_style(by_marker[CODING]), tuple(segments), end)


def read_tile_parts(stream: bytes, header: MainHeader) -> list[TilePart]:
    """All tile-parts, in their order.

    Raises:
        CutShortError: Some of them, or the end marker, are missing.
        ValueError: They are damaged.
    """
    parts = []
    at = header.end
    while stream[at : at + 2] != END:
        if at + _TILE_PART_BYTES > len(stream):
            raise CutShortError("a tile-part lies beyond the end of the file")
        marker, _, tile, length = struct.unpack_from(">HHHI", stream, at)
        if marker != _TILE_PART or tile >= header.grid.tiles:
            raise ValueError("no tile-part where one should be")
        segments, data_start = _read_segments(stream, at + _TILE_PART_BYTES, _DATA)
        end = at + length
        if length == 0:  # up to the end of the codestream
            end = len(stream) - len(END)
            if not stream.endswith(END):
                raise CutShortError("the codestream has no end")
        if end > len(stream):
            raise CutShortError("a tile-part lies beyond the end of the file")
        if end < data_start + 2:
            raise ValueError("a tile-part that is shorter than its header")
        markers = frozenset(segment.marker for segment in segments)
        parts.append(TilePart(tile, at, data_start + 2, end, markers))
        at = end
    if len({part.tile for part in parts}) < header.grid.tiles:
        raise CutShortError("tiles are missing")
    return parts


def tile_of(stream: bytes) -> CodedTile:
    """The only tile of a codestream that was just written."""
    header = read_main_header(stream)
    (part,) = read_tile_parts(stream, header)
    coding = next(item.whole for item in header.segments if item.marker == CODING)
    tile_header = stream[part.start + _TILE_PART_BYTES : part.data_start - 2]
    return CodedTile(coding, header.quantisation, tile_header, stream[part.data_start : part.end])


def with_tiles(stream: bytes, tiles: Mapping[int, CodedTile]) -> bytes:
    """The codestream with some tiles replaced; its list of lengths (TLM) is corrected."""
    header = read_main_header(stream)
    parts = read_tile_parts(stream, header)
    written: list[tuple[int, bytes]] = []
    replaced = set()
    for part in parts:
        if part.tile not in tiles:
            # A length of 0 means the rest of the codestream, where others may follow now.
            length = struct.pack(">I", part.end - part.start)
            rest = stream[part.start + 10 : part.end]
            written.append((part.tile, stream[part.start : part.start + 6] + length + rest))
        elif part.tile not in replaced:
            replaced.add(part.tile)
            written.append((part.tile, _whole_tile_part(part.tile, tiles[part.tile], header)))
    lengths = [(tile, len(whole)) for tile, whole in written]
    main = _with_lengths(header, lengths)
    bodies = [whole for _, whole in written]
    end_of_parts = parts[-1].end
    return b"".join([main, *bodies, stream[end_of_parts:]])


def _whole_tile_part(tile: int, coded: CodedTile, header: MainHeader) -> bytes:
    own = b""
    has_same_quantisation = coded.quantisation == header.quantisation
    if not has_same_quantisation or QUANTISATION_OF_ONE in header.markers:
        own = coded.quantisation
    rest = own + coded.header + b"\xff\x93" + coded.body
    length = _TILE_PART_BYTES + len(rest)
    return struct.pack(">HHHIBB", _TILE_PART, 10, tile, length, 0, 1) + rest


def _with_lengths(header: MainHeader, lengths: list[tuple[int, int]]) -> bytes:
    """The main header, with a list of the tile-parts' lengths in the place of an old one."""
    written = [START[:2]]
    is_written = False
    for segment in header.segments:
        if segment.marker != TILE_LENGTHS:
            written.append(segment.whole)
        elif not is_written:
            is_written = True
            written.extend(_tile_lengths(lengths))
    return b"".join(written)


def _tile_lengths(lengths: list[tuple[int, int]]) -> list[bytes]:
    segments: list[bytes] = []
    for index, first in enumerate(range(0, len(lengths), _MOST_LENGTHS)):
        some = lengths[first : first + _MOST_LENGTHS]
        entries = b"".join(struct.pack(">HI", tile, length) for tile, length in some)
        # 0x60: two bytes for the number of a tile, four for a length.
        segments.append(struct.pack(">HHBB", TILE_LENGTHS, 4 + len(entries), index, 0x60) + entries)
    return segments


def _read_segments(stream: bytes, at: int, last: int) -> tuple[list[MarkerSegment], int]:
    """The marker segments from an offset up to a marker, and where that marker is."""
    segments: list[MarkerSegment] = []
    while True:
        if at + 4 > len(stream) and stream[at : at + 2] != last.to_bytes(2, "big"):
            raise CutShortError("a header goes on beyond the end of the file")
        marker = int.from_bytes(stream[at : at + 2], "big")
        if marker == last:
            return segments, at
        if not 0xFF4F < marker <= 0xFFFF:
            raise ValueError("no marker where one should be")
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        if length < 2:
            raise ValueError("a marker segment that is shorter than its length")
        end = at + 2 + length
        if end > len(stream):
            raise CutShortError("a header goes on beyond the end of the file")
        segments.append(MarkerSegment(marker, stream[at:end]))
        at = end


def _read_size(payload: bytes) -> tuple[Grid, tuple[Component, ...]]:
    values = struct.unpack_from(">H8IH", payload)
    _, right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top, count = values
    is_sound = left < right and top < bottom and tile_width and tile_height
    has_first_tile = (
        tiles_left <= left < tiles_left + tile_width and tiles_top <= top < tiles_top + tile_height
    )
    if not is_sound or not has_first_tile:
        raise ValueError("a size that cannot be")
    grid = Grid(left, top, right, bottom, tile_width, tile_height, tiles_left, tiles_top)
    if grid.tiles > _MOST_TILES:
        raise ValueError("more tiles than can be numbered")
    components = []
    for index in range(count):
        depth, across, down = struct.unpack_from(">3B", payload, _SIZE_BYTES + 3 * index)
        components.append(Component((depth & 0x7F) + 1, bool(depth & 0x80), across, down))
    return grid, tuple(components)


def _read_style(payload: bytes) -> CodingStyle:
    flags, progression, layers, transform, levels = struct.unpack_from(">BBHBB", payload)
    width, height, block_style, wavelet = struct.unpack_from(">4B", payload, 6)
    return CodingStyle(
        payload=payload,
        flags=flags,
        progression=progression,
        layers=layers,
        mixes_colours=transform == 1,
        levels=levels,
        block=(4 << (width & 15), 4 << (height & 15)),
        block_style=block_style,
        is_reversible=wavelet == 1,
        precincts=payload[10:] if flags & _EXPLICIT_PRECINCTS else b"",
    )
