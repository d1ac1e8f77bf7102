"""TIFF: strips and tiles whose pixels changed are coded anew in their own compression.

Everything else stays where it is: every tag, private ones too, keeps its bytes. Pyramid levels and
thumbnails are made anew (`tiff_levels`); a file with Photoshop's layers is not written, since those
hold the old pixels. A new strip takes the place of the old one if it fits, else it goes elsewhere
(`tiff_patch`), and only the tags of strip offsets and sizes are changed. An uncompressed file
therefore differs in nothing but the changed samples.

Cleaned are 8 and 16-bit grey, RGB and CMYK, with alpha of either kind or without, chunky or planar,
either byte order, also BigTIFF (little-endian: Pillow opens no other): uncompressed, LZW, deflate,
PackBits, Zstandard with or without horizontal differencing, and JPEG in 8 bits. `tiff_layout` reads
the structure with tifffile; the strips are read here, because tifffile and libtiff both fill up
what is missing.

References:
    Adobe, "TIFF Revision 6.0" (1992): photometric interpretation, strips and sample format in
    sections 3 to 8 and 19, PackBits in section 9, LZW in 13, differencing predictor in 14, tiles in
    15. JPEG as in `tiff_jpeg`, not as in section 22.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import tifffile

from demoire.file_bytes import FileBytes, copy_to_change, finished, stream_of
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import (
    CutShortError,
    Pixels,
    Raster,
)
from demoire.imaging.codecs.tiff_by_pillow import decode_by_pillow
from demoire.imaging.codecs.tiff_header import (
    FORMAT,
    TiffHeader,
    foreign_coding_told,
    open_structure,
    read_header,
    structure_in,
)
from demoire.imaging.codecs.tiff_jpeg import pack_jpeg, repack_jpeg, unpack_jpeg
from demoire.imaging.codecs.tiff_layout import (
    JPEG,
    UNCOMPRESSED,
    Layout,
    Segment,
    first_layout,
    layout_of,
)
from demoire.imaging.codecs.tiff_levels import has_layers, levels, reduced_to
from demoire.imaging.codecs.tiff_manifest import is_signed, without_manifest
from demoire.imaging.codecs.tiff_packing import pack, unpack_into
from demoire.imaging.codecs.tiff_patch import PatchedFile
from demoire.imaging.codecs.tiff_reader import DamagedPagesError, TiffReader
from demoire.imaging.codecs.tiff_segments import put_segments
from demoire.imaging.codecs.tiff_xmp import with_xmp
from demoire.imaging.derived import StaleDataError
from demoire.imaging.in_order import made_in_order
from demoire.imaging.room import (
    are_equal,
    contiguous,
    copy_into,
    is_large,
    let_go_behind,
    room_for,
)
from demoire.reasons import Reason

__all__ = ["FORMAT", "SUFFIXES", "decode", "encode", "is_cut_short", "is_risky"]
__all__ += ["read_header", "recognises", "with_xmp"]

SUFFIXES = frozenset({".tif", ".tiff"})

# Byte order, then 42 for TIFF and 43 for BigTIFF in that order.
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


_CODED = 1 << 18  # px of a strip that are made ready for coding at a time


def recognises(data: FileBytes) -> bool:
    """Whether the file begins like a TIFF or BigTIFF of either byte order."""
    return data.startswith(_SIGNATURES)


def is_cut_short(data: FileBytes) -> bool:
    """Whether the first directory, a value of it, or a strip lies beyond the end of the file."""
    try:
        ends = _segment_ends(data)
    # Whatever tifffile stumbles over, the question here is only how far the file should reach.
    except Exception:
        ends = []
    try:
        return max(ends or _value_ends(data)) > len(data)
    except DamagedPagesError:
        return True


def _segment_ends(data: FileBytes) -> list[int]:
    with structure_in(data) as file:
        page = file.pages.first
        pairs = zip(page.dataoffsets, page.databytecounts, strict=False)
        return [offset + size for offset, size in pairs]


def _value_ends(data: FileBytes) -> list[int]:
    """Where the first directory ends, and its values.

    Raises:
        DamagedPagesError: The directory is not there in full.
    """
    with stream_of(data) as stream:
        reader = TiffReader(stream)
        directory = reader.directory(reader.first_at)
    ends = [directory.next_pointer_at]
    for entry in directory.entries.values():
        if entry.value_at is not None:
            ends.append(entry.value_at + entry.size)
    return ends


def is_risky(data: FileBytes) -> bool:
    """Always: a dozen native decoders stand behind the format."""
    return True


def decode(data: FileBytes, header: TiffHeader) -> Raster:
    """Grey or RGB pixels with their alpha, as they lie; other modes only to look at.

    So are files with Photoshop's layers, and signed ones.
    """
    structure = header.structure or open_structure(data)
    layout = first_layout(structure)
    if layout is None:
        with foreign_coding_told(structure):
            return decode_by_pillow(data, header, structure.pages.first)
    raster = _decode_page(data, layout)
    if has_layers(structure):
        return replace(raster, obstacle=Reason.STALE_DATA)
    if is_signed(structure):
        return replace(raster, obstacle=Reason.SIGNED)
    return raster


def _decode_page(data: FileBytes, layout: Layout) -> Raster:
    native = layout.stored.newbyteorder("=")
    samples = room_for((layout.height, layout.width, layout.samples), native)
    boxes = [segment.box for segment in layout.segments]
    for segment, _ in zip(layout.segments, let_go_behind(boxes, samples, data), strict=True):
        part = segment.part_of(samples)
        unpacked = _unpack(data, layout, segment)
        copy_into(part, unpacked[: part.shape[0], : part.shape[1]])  # without the padding of tiles
        if layout.differenced:
            _add_up(part)
    pixels = contiguous(samples[:, :, : layout.colours])
    if layout.inverted:
        np.invert(pixels, out=pixels)
    if layout.samples > layout.colours:
        return Raster(pixels, contiguous(samples[:, :, -1]))
    return Raster(pixels)


def _add_up(part: Pixels) -> None:
    """Make samples of differences to the left neighbour, modulo 2^bits, in place."""
    for rows in _few_rows(part):
        np.cumsum(part[rows.slices], axis=1, dtype=part.dtype, out=part[rows.slices])


def _few_rows(part: Pixels) -> Iterator[Box]:
    """Whole rows of a strip or tile, some at a time."""
    height, width = part.shape[:2]
    return let_go_behind(in_stripes(Box(0, 0, height, width), _CODED, columns=width), part)


def encode(data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
    """The file with the changed strips or tiles replaced, and all its levels made anew.

    Raises:
        ValueError: A file of this mode is not written.
        StaleDataError: A level of it is of a mode that is not written.
    """
    with structure_in(data) as structure:
        layout = first_layout(structure)
        if layout is None:
            raise ValueError("a file of this mode is not written")
        smaller = _layouts_of_levels(structure, layout.colours)
    if layout.premultiplied and raster.alpha is not None:
        # No colour becomes more than its alpha. What is more already stays as it is: such a file
        # was not multiplied, whatever its tag says.
        most = np.maximum(raster.alpha[:, :, None], raster.pixels)
        pixels = np.minimum(pixels, most)
    with copy_to_change(data) as out:
        file = PatchedFile(out)
        put_segments(file, layout, _packed_changes(data, layout, raster, pixels))
        for level in smaller:
            put_segments(file, level, _all_packed(data, level, pixels))
        cleaned = finished(out)
    return without_manifest(cleaned)


def _layouts_of_levels(structure: tifffile.TiffFile, samples: int) -> list[Layout]:
    """The layouts of the smaller versions of a picture with so many samples a pixel."""
    layouts = []
    for page in levels(structure):
        layout = layout_of(page, structure.byteorder)
        if layout is None or layout.samples != samples:
            raise StaleDataError("a smaller version of itself of a kind that is not written")
        layouts.append(layout)
    return layouts


def _all_packed(
    data: FileBytes, layout: Layout, pixels: Pixels
) -> Iterator[tuple[int, bytes | memoryview]]:
    """Every strip or tile of a level, by index, made from the pixels of its picture."""
    small = reduced_to(pixels, layout).astype(layout.stored.newbyteorder("="))
    samples = ~small if layout.inverted else small
    for segment in layout.segments:
        part = _padded(segment.part_of(samples), segment)
        yield segment.index, _pack(data, layout, segment, part)


def _packed_changes(
    data: FileBytes, layout: Layout, raster: Raster, pixels: Pixels
) -> Iterator[tuple[int, bytes | memoryview]]:
    """The strips or tiles that changed, by index, as they are to be stored."""

    def packed(segment: Segment) -> bytes | memoryview | None:
        is_alpha = segment.plane is not None and segment.plane >= layout.colours
        here = segment.rows_and_columns
        if is_alpha or are_equal(raster.pixels[here], pixels[here]):
            return None
        new = _stored(layout, pixels, raster.alpha, segment)
        if layout.compression == JPEG:
            old = _stored(layout, raster.pixels, raster.alpha, segment)
            return repack_jpeg(_packed(data, segment).tobytes(), layout, old, new)
        return _pack(data, layout, segment, new)

    boxes = [segment.box for segment in layout.segments]
    walk = let_go_behind(boxes, raster.pixels, pixels, data)
    segments = (segment for segment, _ in zip(layout.segments, walk, strict=True))
    changes = made_in_order(packed, segments) if is_large(pixels) else map(packed, segments)
    for segment, change in zip(layout.segments, changes, strict=True):
        if change is not None:
            yield segment.index, change


def _stored(layout: Layout, pixels: Pixels, alpha: Pixels | None, segment: Segment) -> Pixels:
    """The samples of a strip or tile of a page with these pixels."""
    here = segment.rows_and_columns
    samples = ~pixels[here] if layout.inverted else pixels[here]
    if alpha is not None:
        samples = np.dstack([samples, alpha[here]])
    if segment.plane is not None:
        samples = samples[:, :, segment.plane, None]
    return _padded(samples, segment)


def _packed(data: FileBytes, segment: Segment) -> memoryview:
    return memoryview(data)[segment.offset : segment.offset + segment.size]


def _unpack(data: FileBytes, layout: Layout, segment: Segment) -> Pixels:
    """What is stored of a strip or tile, (rows, columns, S): samples, or their differences.

    Raises:
        CutShortError: Some of them are missing.
    """
    samples = layout.samples if segment.plane is None else 1
    shape = (segment.rows, segment.columns, samples)
    if not 0 < segment.size <= len(data) - segment.offset:
        raise CutShortError("a strip lies beyond the end of the file")
    packed = _packed(data, segment)
    if layout.compression == JPEG:
        return unpack_jpeg(packed.tobytes(), layout, shape)
    count = math.prod(shape)
    size = count * layout.stored.itemsize
    if layout.compression == UNCOMPRESSED:  # no copy: all of a page may be in one strip
        raw = np.frombuffer(packed, np.uint8)
        filled = len(raw)
    else:
        raw = room_for((size,), np.uint8)
        filled = unpack_into(raw, packed, layout.compression)
    if filled < size:
        raise CutShortError("a strip holds too few samples")
    return np.frombuffer(raw, dtype=layout.stored, count=count).reshape(shape)


def _padded(part: Pixels, segment: Segment) -> Pixels:
    """The samples of a strip or tile, padded to its full size.

    Beyond the picture the last row and column are repeated, as section 15 of the specification
    recommends for tiles.
    """
    missing_rows = segment.rows - part.shape[0]
    missing_columns = segment.columns - part.shape[1]
    if not missing_rows and not missing_columns:
        return part
    return np.pad(part, ((0, missing_rows), (0, missing_columns), (0, 0)), mode="edge")


def _pack(data: FileBytes, layout: Layout, segment: Segment, samples: Pixels) -> bytes | memoryview:
    if layout.compression == JPEG:
        return pack_jpeg(_packed(data, segment).tobytes(), layout, samples)
    if layout.compression == UNCOMPRESSED:
        stored = samples.astype(layout.stored, copy=False)
        return np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data
    stored = room_for(samples.shape, layout.stored)
    for rows in _few_rows(stored):
        part = samples[rows.slices]
        if layout.differenced:
            part = np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1)
        stored[rows.slices] = part
    return pack(stored, layout.compression)
