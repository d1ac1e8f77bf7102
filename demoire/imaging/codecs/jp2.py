"""JPEG 2000: tiles whose pixels changed are coded anew, in the structure that the file has.

Grey and RGB of 8 and 16 bits are cleaned: lossless files (5/3) stay lossless, lossy ones (9/7) get
as many bytes a tile as before. Alpha is kept in lossless files. All other tiles, all boxes and the
main header of the codestream keep their bytes. Files in a structure that OpenJPEG cannot write (see
`jp2_tiles`) are copied.

A file can be lossy although its wavelet is reversible, because layers were left out. Nothing in it
says so, and its changed tiles become larger.

References:
    ISO/IEC 15444-1 (JP2, codestream) and 15444-2 (JPX); Adobe, "XMP Specification, Part 3", 1.1.4
    "JPEG 2000".
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import imagecodecs
import numpy as np
from PIL import Jpeg2KImagePlugin

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, file_of_parts
from demoire.imaging.codecs import jp2_boxes
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.iso_boxes import FileBox, read_boxes, uuid_box, uuid_content
from demoire.imaging.codecs.jp2_boxes import Jp2Header, read_jp2_header
from demoire.imaging.codecs.jp2_codestream import (
    CODING,
    COMMENT,
    PACKET_LENGTHS,
    QUANTISATION,
    QUANTISATION_OF_ONE,
    SIZE,
    START,
    TILE_LENGTHS,
    CodedTile,
    MainHeader,
    TilePart,
    read_main_header,
    read_tile_parts,
    with_tiles,
)
from demoire.imaging.codecs.jp2_tiles import can_write, coded_tile
from demoire.imaging.codecs.pillow import open_view, profile_name
from demoire.imaging.codecs.pillow_pixels import only_to_look_at
from demoire.imaging.codecs.raster import CutShortError, Pixels, Raster
from demoire.imaging.derived.exif import with_new_thumbnail
from demoire.imaging.derived.thumbnail import Thumbnailer
from demoire.imaging.facts import Format, ImageFacts
from demoire.imaging.room import are_equal
from demoire.reasons import Reason

FORMAT: Format = "JPEG2000"
SUFFIXES = frozenset({".jp2", ".j2k", ".j2c", ".jpf", ".jpx"})

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_COLOURS = {1: 1, 2: 1, 3: 3, 4: 3}  # by the number of components
# Numbers of colour spaces, and how many colours they have, as far as they are cleaned.
_CMYK = 12
_SPACES = {16: 3, 17: 1}  # sRGB and grey
_PROFILED_SPACES = {b"RGB ": 3, b"GRAY": 1}  # as an ICC profile names them
_OPACITY = (1, 0)  # type of a channel, and with which colour it goes: with all
# All other markers change what a tile means: other coding for a component, a region of interest,
# packets out of order or headers elsewhere, high-throughput coding.
_KNOWN_IN_MAIN = frozenset({SIZE, CODING, QUANTISATION, QUANTISATION_OF_ONE})
_KNOWN_IN_MAIN |= {TILE_LENGTHS, COMMENT}
_KNOWN_IN_TILES = frozenset({QUANTISATION, QUANTISATION_OF_ONE, PACKET_LENGTHS, COMMENT})
# Boxes with offsets into the codestream, and boxes that put a picture together from several parts.
_INDEXES = frozenset({b"cidx", b"fidx", b"iptr"})
_COMPOSITIONS = frozenset({b"comp", b"ftbl", b"flst"})


@dataclass(frozen=True)
class Jpeg2000Header:
    """The facts, and what of the file they were read from."""

    facts: ImageFacts
    profile: bytes | None
    main: MainHeader
    jp2: Jp2Header | None  # None for a bare codestream


def recognises(data: FileBytes) -> bool:
    """Whether the file begins as JP2 or JPX, or as a bare codestream."""
    return data.startswith((jp2_boxes.SIGNATURE, START))


def read_header(data: FileBytes) -> Jpeg2000Header:
    """The header, from the boxes and the codestream's main header, without OpenJPEG.

    Raises:
        ImageError: `unsupported_format`, as the file has no codestream (JPM, Motion JPEG 2000); or
            `mode_not_cleaned`, as it has more than four components.
    """
    if data.startswith(START):
        return _header(read_main_header(_codestream(data)), None, pages=1)
    boxes = list(read_boxes(data))
    streams = _codestreams(boxes)
    if not streams:
        if _may_go_on(data, boxes):
            raise CutShortError("the file ends before its codestream")
        raise ImageError(
            Reason.UNSUPPORTED_FORMAT,
            "The image has no JPEG 2000 codestream of its own; it is copied as it is.",
        )
    headers = [box for box in boxes if box.type == jp2_boxes.HEADER]
    jp2 = read_jp2_header(headers[0].payload) if headers else Jp2Header()
    return _header(read_main_header(streams[0].payload), jp2, pages=len(streams))


def _header(main: MainHeader, jp2: Jp2Header | None, *, pages: int) -> Jpeg2000Header:
    mode = _MODES.get(len(main.components))
    if mode is None:
        raise ImageError(
            Reason.MODE_NOT_CLEANED,
            f"The image has {len(main.components)} components; it is copied as it is.",
        )
    profile = None
    dpi = None
    if jp2 is not None:
        dpi = jp2.dpi
        if jp2.has_palette:
            mode = "P"
        if jp2.colour is not None:
            profile = jp2.colour.profile
            if jp2.colour.number == _CMYK:
                mode = "CMYK"
    facts = ImageFacts(
        format=FORMAT,
        width=main.grid.right - main.grid.left,
        height=main.grid.bottom - main.grid.top,
        mode=mode,
        bits=main.components[0].bits,
        dpi=dpi,
        icc=profile_name(profile),
        pages=pages,
    )
    return Jpeg2000Header(facts, profile, main, jp2)


def _codestreams(boxes: list[FileBox]) -> list[FileBox]:
    return [box for box in boxes if box.type == jp2_boxes.CODESTREAM]


def _may_go_on(data: FileBytes, boxes: list[FileBox]) -> bool:
    """Whether a file without a codestream is the beginning of one that has one, as far as it says.

    Plain JP2 always has a codestream; other members of the family may have none.
    """
    file_types = [box for box in boxes if box.type == jp2_boxes.FILE_TYPE]
    if not file_types or boxes[-1].missing:
        return True
    ends_in_a_header = sum(len(box.whole) for box in boxes) < len(data)
    return ends_in_a_header or file_types[0].payload[:4] == b"jp2 "


def _codestream(data: FileBytes) -> bytes:
    """The first codestream of a file."""
    if data.startswith(START):
        return bytes(data)
    return _codestreams(list(read_boxes(data)))[0].payload


def is_cut_short(data: FileBytes) -> bool:
    """Whether a box or a tile-part lies beyond the end of the file, or a tile is missing."""
    if not data.startswith(START):
        boxes = list(read_boxes(data))
        if not boxes or any(box.missing for box in boxes):
            return True
    try:
        stream = _codestream(data)
        read_tile_parts(stream, read_main_header(stream))
    except (CutShortError, IndexError):
        return True
    return False


def is_risky(data: FileBytes) -> bool:
    """Always: crafted files have broken OpenJPEG's decoder before."""
    return True


def decode(data: FileBytes, header: Jpeg2000Header) -> Raster:
    """Grey or RGB pixels with their alpha; what cannot be written only to look at.

    Raises:
        ImageError: The reason for which it is copied, where it cannot even be looked at.
    """
    obstacle = _obstacle(data, header)
    if obstacle is not None and obstacle is not Reason.SIGNED:
        return _to_look_at(data, obstacle)
    samples = imagecodecs.jpeg2k_decode(_codestream(data), numthreads=1)
    samples = samples.reshape(header.facts.height, header.facts.width, -1)
    colours = _COLOURS[len(header.main.components)]
    pixels = np.ascontiguousarray(samples[:, :, :colours])
    if samples.shape[2] == colours:
        return Raster(pixels, None, obstacle)
    return Raster(pixels, np.ascontiguousarray(samples[:, :, -1]), obstacle)


def _to_look_at(data: FileBytes, obstacle: Reason) -> Raster:
    try:
        view = open_view(Jpeg2KImagePlugin.Jpeg2KImageFile, data)
        view.load()
        return replace(only_to_look_at(view), obstacle=obstacle)
    except MemoryError:
        raise
    except Exception as error:  # of a kind that Pillow does not show
        raise ImageError(
            obstacle, "The image is of a kind that is not cleaned; it is copied as it is."
        ) from error


def _obstacle(data: FileBytes, header: Jpeg2000Header) -> Reason | None:
    """Why a file is not cleaned."""
    main = header.main
    if header.jp2 is not None and header.jp2.has_palette:
        return Reason.PALETTE
    if all(component.bits == 1 for component in main.components):
        return Reason.BILEVEL
    if not _has_known_samples(main) or not _has_known_colours(header) or not can_write(main):
        return Reason.MODE_NOT_CLEANED
    if not main.markers <= _KNOWN_IN_MAIN:
        return Reason.MODE_NOT_CLEANED
    for part in read_tile_parts(_codestream(data), main):
        if not part.markers <= _KNOWN_IN_TILES:
            return Reason.MODE_NOT_CLEANED
    return None if header.jp2 is None else _obstacle_in_boxes(data)


def _obstacle_in_boxes(data: FileBytes) -> Reason | None:
    boxes = list(read_boxes(data))
    types = {box.type for box in boxes}
    if types & _COMPOSITIONS:
        return Reason.MODE_NOT_CLEANED
    if types & _INDEXES:
        return Reason.STALE_DATA
    if any(box.is_manifest for box in boxes):
        return Reason.SIGNED
    return None


def _has_known_samples(main: MainHeader) -> bool:
    """Whether all components are unsigned, of one depth of 8 or 16 bits and in full resolution."""
    first = main.components[0]
    if first.bits not in (8, 16) or first.is_signed or (first.across, first.down) != (1, 1):
        return False
    return all(component == first for component in main.components)


def _has_known_colours(header: Jpeg2000Header) -> bool:
    """Whether a pixel is grey or RGB, with alpha or nothing besides; alpha only if lossless."""
    components = len(header.main.components)
    colours = _COLOURS[components]
    if header.jp2 is None:
        return components == colours
    space = header.jp2.colour
    if space is None:
        return False
    if space.profile is None:
        known_colours = _SPACES.get(space.number or 0)
    else:
        known_colours = _PROFILED_SPACES.get(space.profile[16:20])
    if known_colours != colours:
        return False
    expected = {index: (0, index + 1) for index in range(colours)}
    if components == colours:
        return header.jp2.channels in (None, expected)
    expected[colours] = _OPACITY
    return header.jp2.channels == expected and header.main.style.is_reversible


def encode(data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
    """The file with the changed tiles replaced, and the thumbnail in its Exif made anew.

    Raises:
        StaleDataError: Its Exif holds a thumbnail that cannot be made anew.
    """
    stream = _codestream(data)
    cleaned = with_tiles(stream, _coded_changes(stream, raster, pixels))
    if data.startswith(START):
        return cleaned
    written = []
    for box in read_boxes(data):
        if box.is_manifest:
            continue
        if box.type == jp2_boxes.CODESTREAM:
            box = box.with_payload(cleaned)
        elif box.is_uuid(jp2_boxes.EXIF_UUID):
            box = _with_new_thumbnails(box, Thumbnailer(pixels))
        written.append(box.whole)
    return file_of_parts(written, like=data)


def _coded_changes(stream: bytes, raster: Raster, pixels: Pixels) -> dict[int, CodedTile]:
    """The tiles that changed, by their number."""
    header = read_main_header(stream)
    parts: dict[int, list[TilePart]] = defaultdict(list)
    for part in read_tile_parts(stream, header):
        parts[part.tile].append(part)
    coded = {}
    for index in range(header.grid.tiles):
        tile = header.grid.tile(index)
        rows = slice(tile.top - header.grid.top, tile.bottom - header.grid.top)
        columns = slice(tile.left - header.grid.left, tile.right - header.grid.left)
        samples = pixels[rows, columns]
        if are_equal(raster.pixels[rows, columns], samples):
            continue
        if raster.alpha is not None:
            samples = np.dstack([samples, raster.alpha[rows, columns]])
        coded[index] = coded_tile(np.ascontiguousarray(samples), header, tile, parts[index])
    return coded


def _with_new_thumbnails(box: FileBox, thumbnailer: Thumbnailer) -> FileBox:
    """An Exif box, whose content some writers begin as in a JPEG file."""
    content = uuid_content(box)
    head = b"Exif\0\0" if content.startswith(b"Exif\0\0") else b""
    exif = head + with_new_thumbnail(content.removeprefix(head), thumbnailer)
    return box.with_payload(jp2_boxes.EXIF_UUID + exif)


def with_xmp(data: FileBytes, edit: EditXmp) -> FileBytes:
    """The file with another XMP packet, before the codestream if it is a new one."""
    if data.startswith(START):
        return data
    boxes = list(read_boxes(data))
    places = [index for index, box in enumerate(boxes) if box.is_uuid(jp2_boxes.XMP_UUID)]
    packet = edit(uuid_content(boxes[places[0]]) if places else None)
    if packet is None:
        return data
    if places:
        boxes[places[0]] = boxes[places[0]].with_payload(jp2_boxes.XMP_UUID + packet)
    else:
        types = [box.type for box in boxes]
        at = types.index(jp2_boxes.CODESTREAM)
        boxes.insert(at, uuid_box(jp2_boxes.XMP_UUID, packet))
    return file_of_parts((box.whole for box in boxes), like=data)
