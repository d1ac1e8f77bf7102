"""What a HEIF or AVIF file says of its picture, and whether that can be written as it is.

References:
    ISO/IEC 23008-12 (HEIF): 6.6.2.3 (grids), 6.5 (properties); AV1 Image File Format 1.1;
    ISO/IEC 14496-12, 12.1.5 (colour information).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from demoire.imaging.codecs.heif_boxes import SEQUENCE, ItemFile
from demoire.imaging.codecs.heif_coders import FULL_COLOUR, GREY, HEVC, IDENTITY, Coder, Coding
from demoire.imaging.codecs.heif_splice import can_replace
from demoire.imaging.codecs.iso_boxes import FileBox
from demoire.imaging.derived import StaleDataError
from demoire.imaging.facts import ImageFacts
from demoire.reasons import Reason

_GRID = b"grid"
_PICTURES = frozenset({b"av01", b"hvc1", b"grid", b"iden", b"iovl", b"jpeg", b"avc1", b"tmap"})
_ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
_OLD_ALPHA = b"urn:mpeg:hevc:2015:auxid:1\0"
_KNOWN_PROPERTIES = frozenset(
    {b"ispe", b"pixi", b"colr", b"irot", b"imir", b"clap", b"pasp", b"auxC", b"clli", b"mdcv"}
)
_UNSAID = 2  # number of primaries and transfer characteristics of which nothing is said
_WIDE_LIGHT = frozenset({16, 18})  # transfers of HDR: PQ and HLG
_MATRICES = frozenset({0, 1, 5, 6, 9})  # identity, BT.709, BT.601 twice, BT.2020
_BT601 = 6
_DEPTHS = frozenset({8, 10, 12})
_MOST_SIDE = 1 << 16  # px
_MOST_ITEMS = 1000  # that libheif reads, too


@dataclass(frozen=True)
class HeifHeader:
    """The facts, and what of the file they were read from.

    Attributes:
        facts: What the header says.
        profile: The ICC profile in the file, or one made of the colours that it states by numbers;
            None where these can be taken for sRGB.
        file: The items.
        coding: How the picture is stored; None where it is not of a kind that is cleaned.
    """

    facts: ImageFacts
    profile: bytes | None
    file: ItemFile
    coding: Coding | None


@dataclass(frozen=True)
class Tile:
    """An item that holds a part of the picture: its place there, px, and its own size."""

    item_id: int
    top: int
    left: int
    height: int
    width: int


def size_of(file: ItemFile, item_id: int) -> tuple[int, int]:
    """Width and height as they are stored, px."""
    size = file.property_of(item_id, b"ispe")
    if size is None:
        raise ValueError("a picture without a size")
    width, height = struct.unpack_from(">II", size, 4)
    if not 0 < min(width, height) <= max(width, height) <= _MOST_SIDE:
        raise ValueError("a size that cannot be")
    return width, height


def crop_of(file: ItemFile, item_id: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is shown of an item, px.

    Raises:
        StaleDataError: It is no whole number of pixels.
    """
    width, height = size_of(file, item_id)
    crop = file.property_of(item_id, b"clap")
    if crop is None:
        return 0, 0, width, height
    seen_width, seen_height, right, down = _fractions(crop)
    left = (width - seen_width) / 2 + right
    top = (height - seen_height) / 2 + down
    whole = (left, top, seen_width, seen_height)
    if any(one.denominator != 1 or one < 0 for one in whole):
        raise StaleDataError("a thumbnail that is cropped within a pixel")
    if left + seen_width > width or top + seen_height > height or not seen_width * seen_height:
        raise StaleDataError("a thumbnail that is cropped to nothing")
    return int(left), int(top), int(seen_width), int(seen_height)


def _fractions(crop: bytes) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Width, height and offsets of the centre, as a `clap` property has them."""
    numbers = struct.unpack(">2I2I2i2i", crop[:32])
    if 0 in numbers[1::2]:
        raise StaleDataError("a thumbnail whose crop is no number")
    width, height, right, down = (Fraction(*numbers[at : at + 2]) for at in (0, 2, 4, 6))
    return width, height, right, down


def tiles_of(file: ItemFile) -> Iterator[Tile]:
    """The items that hold the picture: itself, or its tiles row by row."""
    width, height = size_of(file, file.primary)
    if file.items[file.primary].type != _GRID:
        yield Tile(file.primary, 0, 0, height, width)
        return
    _, _, rows, columns = struct.unpack_from(">4B", file.content(file.primary))
    tiles = file.targets(b"dimg", file.primary)
    if len(tiles) != (rows + 1) * (columns + 1):
        raise ValueError("a grid with other than its tiles")
    tile_width, tile_height = size_of(file, tiles[0])
    for index, item_id in enumerate(tiles):
        row, column = divmod(index, columns + 1)
        if size_of(file, item_id) != (tile_width, tile_height):
            raise ValueError("a grid of unequal tiles")
        yield Tile(item_id, row * tile_height, column * tile_width, tile_height, tile_width)


def colours_of(file: ItemFile, item_id: int) -> tuple[int, int, int]:
    """Numbers of primaries, transfer and matrix; of a limited range a matrix that none has."""
    for box in file.properties_of(item_id):
        if _is_numbered(box):
            primaries, transfer, matrix, flags = struct.unpack_from(">HHHB", box.payload, 4)
            return primaries, transfer, matrix if flags & 0x80 else -1
    return _UNSAID, _UNSAID, _BT601


def _states_colours(file: ItemFile, item_id: int) -> bool:
    """Whether the file states an item's colours by numbers."""
    return any(_is_numbered(box) for box in file.properties_of(item_id))


def _is_numbered(box: FileBox) -> bool:
    return box.type == b"colr" and box.payload[:4] == b"nclx"


def profile_of(file: ItemFile) -> bytes | None:
    """The ICC profile in the file."""
    for box in file.properties_of(file.primary):
        if box.type == b"colr" and box.payload[:4] in (b"prof", b"rICC"):
            return box.payload[4:]
    return None


def coding_of(file: ItemFile, coder: Coder) -> Coding | None:
    """How the picture is stored; None where it is in another coding, or its tiles differ."""
    first = file.primary
    is_grid = file.items[first].type == _GRID
    tiles = file.targets(b"dimg", first) if is_grid else (first,)
    stored = set()
    stated = set()
    for item_id in tiles:
        configuration = file.property_of(item_id, coder.configuration_type)
        if configuration is None or file.items[item_id].type != coder.item_type:
            return None
        stored.add(coder.bits_and_chroma(configuration))
        stated.add(coder.colours_in(configuration))
    if len(stored) != 1:
        return None
    bits, chroma = stored.pop()
    colours: tuple[int, int, int] | None = colours_of(file, first)
    if is_grid and not _states_colours(file, first):
        # New tiles have to be of the colours that those beside them state: a decoder may go by
        # any of them.
        colours = stated.pop() if len(stated) == 1 else None
    if colours is None:
        return None
    primaries, transfer, matrix = colours
    return Coding(bits, chroma, primaries, transfer, matrix)


def auxiliaries(file: ItemFile) -> list[int]:
    """The items that go with the picture pixel by pixel: alpha, depth, gain."""
    return file.sources(b"auxl", file.primary)


def count_pages(file: ItemFile) -> int:
    """Pictures that a viewer shows."""
    parts = set()
    for reference in file.references:
        if reference.type in (b"thmb", b"auxl"):
            parts.add(reference.source)
        elif reference.type == b"dimg":
            parts.update(reference.targets)
    pages = 0
    for item in file.items.values():
        if item.type in _PICTURES and not item.is_hidden and item.id not in parts:
            pages += 1
    return max(1, pages)


def obstacle_of(header: HeifHeader, coder: Coder) -> Reason | None:
    """Why a file is not cleaned."""
    file = header.file
    boxes = [placed.box for placed in file.boxes]
    if any(box.type == SEQUENCE for box in boxes):
        return Reason.ANIMATED
    for item in file.items.values():
        if item.type == b"tmap":
            return Reason.STALE_DATA
    for item_id in auxiliaries(file):
        if file.property_of(item_id, b"auxC") is None or not _is_alpha(file, item_id):
            return Reason.STALE_DATA
    if header.coding is None or not _can_write(file, header.coding, header.profile, coder):
        return Reason.MODE_NOT_CLEANED
    if any(box.is_manifest for box in boxes):
        return Reason.SIGNED
    return None


def _is_alpha(file: ItemFile, item_id: int) -> bool:
    kind = file.property_of(item_id, b"auxC") or b""
    return kind[4:].startswith((_ALPHA, _OLD_ALPHA))


def _can_write(file: ItemFile, coding: Coding, profile: bytes | None, coder: Coder) -> bool:
    """Whether the picture comes out in the coding that it has."""
    if len(file.items) > _MOST_ITEMS:
        return False
    matrices = _MATRICES | {_UNSAID} if coding.chroma == GREY else _MATRICES
    known = coding.bits in _DEPTHS and coding.matrix in matrices and coding.chroma != "unknown"
    if not known or coding.transfer in _WIDE_LIGHT:
        return False
    if coding.matrix == IDENTITY and coding.chroma not in (FULL_COLOUR, GREY):
        return False
    primaries, transfer, _ = colours_of(file, file.primary)
    is_unsaid = primaries == transfer == _UNSAID
    if is_unsaid and profile is None and coder is HEVC:
        return False  # its colours are told in the coded picture alone
    premultiplied = [one for one in file.references if one.type == b"prem"]
    if premultiplied or len(auxiliaries(file)) > 1:
        return False
    known_properties = _KNOWN_PROPERTIES | {coder.configuration_type}
    for tile in tiles_of(file):
        types = {box.type for box in file.properties_of(tile.item_id)}
        if not types <= known_properties or not can_replace(file, tile.item_id):
            return False
    return True
