"""TIFF: strips and tiles whose pixels changed are coded anew in their own compression.

Everything else stays where it is: every tag, private ones too, keeps its bytes. Pyramid levels and
thumbnails are made anew (`tiff_levels`); a file with Photoshop's layers is not written, since those
hold the old pixels. A new strip takes the place of the old one if it fits, else it goes elsewhere
(`tiff_patch`), and only the tags of strip offsets and sizes are changed. An uncompressed file
therefore differs in nothing but the changed samples.

Cleaned are 8 and 16-bit grey, RGB and CMYK, with alpha of either kind or without, chunky or planar,
either byte order, also BigTIFF (little-endian: Pillow opens no other): uncompressed, LZW, deflate,
PackBits, Zstandard with or without horizontal differencing, and JPEG in 8 bits. `tiff_layout` reads
the structure with tifffile and the directories with `tiff_directory`; the strips are read here,
because tifffile and libtiff both fill up what is missing.

References:
    Adobe, "TIFF Revision 6.0" (1992): photometric interpretation, strips and sample format in
    sections 3 to 8 and 19, PackBits in section 9, LZW in 13, differencing predictor in 14, tiles in
    15. JPEG as in `tiff_jpeg`, not as in section 22.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import imagecodecs
import numpy as np
import tifffile

from demoire.file_bytes import FileBytes, copy_to_change, finished
from demoire.imaging.codecs import tiff_directory
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
    DEFLATE,
    JPEG,
    LZW,
    OLD_DEFLATE,
    PACKBITS,
    UNCOMPRESSED,
    ZSTD,
    Layout,
    Segment,
    first_layout,
    layout_of,
)
from demoire.imaging.codecs.tiff_levels import has_layers, levels, reduced_to
from demoire.imaging.codecs.tiff_manifest import is_signed, without_manifest
from demoire.imaging.codecs.tiff_patch import PatchedFile
from demoire.imaging.codecs.tiff_segments import put_segments
from demoire.imaging.codecs.tiff_xmp import with_xmp
from demoire.imaging.derived import StaleDataError
from demoire.imaging.room import are_equal, contiguous, copy_into, let_go_behind, room_for
from demoire.reasons import Reason

__all__ = ["FORMAT", "SUFFIXES", "decode", "encode", "is_cut_short", "is_risky"]
__all__ += ["read_header", "recognises", "with_xmp"]

SUFFIXES = frozenset({".tif", ".tiff"})

# Byte order, then 42 for TIFF and 43 for BigTIFF in that order.
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _inflate(data: bytes, size: int) -> bytes:
    """At most `size` bytes of a zlib stream, which may go on for longer, or end before.

    libdeflate takes two fifths of zlib's time, but only sound streams of at most this size.
    """
    with suppress(imagecodecs.DeflateError):
        return bytes(imagecodecs.deflate_decode(data, out=size))
    return zlib.decompressobj().decompress(data, size)


_UNPACK: dict[int, Callable[[bytes, int], bytes | bytearray]] = {
    LZW: lambda data, size: imagecodecs.lzw_decode(data, out=size),
    DEFLATE: _inflate,
    OLD_DEFLATE: _inflate,
    PACKBITS: lambda data, size: imagecodecs.packbits_decode(data, out=size),
    ZSTD: lambda data, size: imagecodecs.zstd_decode(data, out=size),
}
_PACK: dict[int, Callable[[bytes], bytes | bytearray]] = {
    LZW: imagecodecs.lzw_encode,
    DEFLATE: imagecodecs.deflate_encode,  # libdeflate: twice as fast as zlib, and smaller
    OLD_DEFLATE: imagecodecs.deflate_encode,
    ZSTD: imagecodecs.zstd_encode,
}


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
        return max(ends or tiff_directory.ends_of_first(data)) > len(data)
    except (struct.error, OverflowError):
        return True


def _segment_ends(data: FileBytes) -> list[int]:
    with structure_in(data) as file:
        page = file.pages.first
        pairs = zip(page.dataoffsets, page.databytecounts, strict=False)
        return [offset + size for offset, size in pairs]


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
    if is_signed(data):
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
    pixels = contiguous(samples[:, :, : layout.colours])
    if layout.inverted:
        np.invert(pixels, out=pixels)
    if layout.samples > layout.colours:
        return Raster(pixels, contiguous(samples[:, :, -1]))
    return Raster(pixels)


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
    boxes = [segment.box for segment in layout.segments]
    walk = let_go_behind(boxes, raster.pixels, pixels, data)
    for segment, _ in zip(layout.segments, walk, strict=True):
        is_alpha = segment.plane is not None and segment.plane >= layout.colours
        here = segment.rows_and_columns
        if is_alpha or are_equal(raster.pixels[here], pixels[here]):
            continue
        new = _stored(layout, pixels, raster.alpha, segment)
        if layout.compression == JPEG:
            old = _stored(layout, raster.pixels, raster.alpha, segment)
            yield segment.index, repack_jpeg(_packed(data, segment), layout, old, new)
        else:
            yield segment.index, _pack(data, layout, segment, new)


def _stored(layout: Layout, pixels: Pixels, alpha: Pixels | None, segment: Segment) -> Pixels:
    """The samples of a strip or tile of a page with these pixels."""
    here = segment.rows_and_columns
    samples = ~pixels[here] if layout.inverted else pixels[here]
    if alpha is not None:
        samples = np.dstack([samples, alpha[here]])
    if segment.plane is not None:
        samples = samples[:, :, segment.plane, None]
    return _padded(samples, segment)


def _packed(data: FileBytes, segment: Segment) -> bytes:
    return data[segment.offset : segment.offset + segment.size]


def _unpack(data: FileBytes, layout: Layout, segment: Segment) -> Pixels:
    """The samples (rows, columns, S) of a strip or tile.

    Raises:
        CutShortError: Some of them are missing.
    """
    samples = layout.samples if segment.plane is None else 1
    shape = (segment.rows, segment.columns, samples)
    if not 0 < segment.size <= len(data) - segment.offset:
        raise CutShortError("a strip lies beyond the end of the file")
    if layout.compression == JPEG:
        return unpack_jpeg(_packed(data, segment), layout, shape)
    count = math.prod(shape)
    size = count * layout.stored.itemsize
    raw: bytes | bytearray | memoryview
    if layout.compression == UNCOMPRESSED:  # no copy: all of a page may be in one strip
        raw = memoryview(data)[segment.offset : segment.offset + segment.size]
    else:
        raw = bytes(_UNPACK[layout.compression](_packed(data, segment), size))
    if len(raw) < size:
        raise CutShortError("a strip holds too few samples")
    stored = np.frombuffer(raw, dtype=layout.stored, count=count).reshape(shape)
    if layout.differenced:
        # Each sample is stored as the difference to its left neighbour, modulo 2^bits.
        return np.cumsum(stored, axis=1, dtype=stored.dtype.newbyteorder("="))
    return stored


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
        return pack_jpeg(_packed(data, segment), layout, samples)
    if layout.differenced:
        samples = np.concatenate([samples[:, :1], np.diff(samples, axis=1)], axis=1)
    stored = samples.astype(layout.stored, copy=False)
    if layout.compression == UNCOMPRESSED:
        return np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data
    if layout.compression == PACKBITS:  # each row by itself, as section 9 asks
        return b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in stored)
    return bytes(_PACK[layout.compression](stored.tobytes()))
