"""TIFF: strips and tiles whose pixels changed are coded anew in their own compression; all else
stays where it is.

Every tag, private ones and sub-directories too, keeps its bytes. A new strip takes the place of the
old one if it fits, else it goes to the end of the file, and only the tags of strip offsets and
sizes are changed. An uncompressed file therefore differs in nothing but the changed samples.

Cleaned are 8 and 16-bit grey and RGB, with or without unassociated alpha, chunky or planar, either
byte order, also BigTIFF (little-endian: Pillow opens no other): uncompressed, LZW, deflate,
PackBits, Zstandard with or without horizontal differencing, and JPEG in 8 bits. `tifffile` reads
the structure; the strips are read here, because tifffile and libtiff both fill up what is missing.
"""

import io
import logging
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, JpegImagePlugin

from demoire.imaging.codecs.raster import CutShortError, Pixels, Raster, only_to_look_at, to_image
from demoire.reasons import Reason

# It tells the log of every oddity in every tag; what matters of them ends in an exception here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE, _ZSTD = 1, 5, 7, 8, 32773, 32946, 50000
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_UNASSOCIATED_ALPHA = 2
_JPEG_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
_LONG, _LONG8 = 4, 16
_ORIENTATION, _LYING = 274, (5, 6, 7, 8)
_MOST_PAGES = 1000
_SIZES = {
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


def _inflate(data: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj()
    return inflater.decompress(data, size)


_UNPACK: dict[int, Callable[[bytes, int], bytes | bytearray]] = {
    _NONE: lambda data, size: data,
    _LZW: lambda data, size: imagecodecs.lzw_decode(data, out=size),
    _DEFLATE: _inflate,
    _OLD_DEFLATE: _inflate,
    _PACKBITS: lambda data, size: imagecodecs.packbits_decode(data, out=size),
    _ZSTD: lambda data, size: imagecodecs.zstd_decode(data, out=size),
}
_PACK: dict[int, Callable[[bytes], bytes | bytearray]] = {
    _NONE: bytes,
    _LZW: imagecodecs.lzw_encode,
    _DEFLATE: imagecodecs.deflate_encode,  # libdeflate: twice as fast as zlib, and smaller
    _OLD_DEFLATE: imagecodecs.deflate_encode,
    _ZSTD: imagecodecs.zstd_encode,
}


@dataclass(frozen=True)
class _Segment:
    """One strip or tile: where its bytes are, and which samples it holds."""

    index: int
    offset: int
    size: int
    top: int
    left: int
    rows: int  # as coded: a tile's padding counts, and a last strip has the rows that are left
    columns: int
    plane: int | None  # None where the samples of a pixel lie together

    @property
    def rows_and_columns(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.rows), slice(self.left, self.left + self.columns)

    def part_of(self, samples: Pixels) -> Pixels:
        """The view of (H, W, S) samples that this holds, (rows, columns, S or 1); smaller at the
        picture's edge.
        """
        part = samples[self.rows_and_columns]
        return part if self.plane is None else part[:, :, self.plane, None]


@dataclass(frozen=True)
class _Layout:
    """What has to be known of the one page to read and write its samples."""

    width: int
    height: int
    samples: int
    colours: int
    stored: np.dtype  # in the byte order of the file
    compression: int
    differenced: bool
    inverted: bool
    ycbcr: bool
    subsampling: tuple[int, int]
    jpeg_tables: bytes | None
    segments: tuple[_Segment, ...]


def bits(data: bytes) -> int:
    """Bits per sample, from the first directory."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return int(file.pages.first.bitspersample)


def is_cut_short(data: bytes) -> bool:
    """Whether the first directory, what it points to, or a strip lies beyond the end of the
    file.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            ends = [
                offset + size
                for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False)
            ]
    # whatever tifffile stumbles over, the question here is only how far the file should reach
    except Exception:
        ends = []
    try:
        return max(ends or _directory_ends(data)) > len(data)
    except (struct.error, OverflowError):
        return True


def pages(data: bytes) -> int:
    """Directories in the chain, a thousand at most; one more if it leads to where nothing is."""
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    count_kind, offset_kind, entry, first = ("Q", "Q", 20, 8) if big else ("H", "I", 12, 4)
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(order + offset_kind, data, first)
        while place and place not in seen and len(seen) < _MOST_PAGES:
            seen.add(place)
            (count,) = struct.unpack_from(order + count_kind, data, place)
            behind = place + struct.calcsize("<" + count_kind) + entry * count
            (place,) = struct.unpack_from(order + offset_kind, data, behind)
    except (struct.error, OverflowError):
        pass
    return max(1, len(seen))


def _directory_ends(data: bytes) -> Iterator[int]:
    """Where the first directory ends, and where each of its values does. Raises struct.error where
    it is not there.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    first, entry = (
        (start + 8, struct.Struct(order + "2HQQ"))
        if big
        else (start + 2, struct.Struct(order + "2HII"))
    )
    yield first + count * entry.size
    for place in range(first, min(first + count * entry.size, len(data)), entry.size):
        _, kind, length, offset = entry.unpack_from(data, place)
        size = length * _SIZES.get(kind, 0)
        yield offset + size if size > (8 if big else 4) else 0


def is_risky(data: bytes) -> bool:
    """Always: a dozen native decoders stand behind the format."""
    return True


def read(data: bytes, image: Image.Image) -> Raster:
    layout = _layout(data)
    if layout is None:
        lying = getattr(image, "tag_v2", {}).get(_ORIENTATION) in _LYING
        image.load()  # which turns it upright
        raster = only_to_look_at(image, Reason.MODE_NOT_CLEANED)
        return replace(raster, pixels=raster.pixels.swapaxes(0, 1)) if lying else raster
    samples = np.empty(
        (layout.height, layout.width, layout.samples), layout.stored.newbyteorder("=")
    )
    for segment in layout.segments:
        place = segment.part_of(samples)
        place[:] = _unpack(data, layout, segment)[: place.shape[0], : place.shape[1]]
    pixels = np.ascontiguousarray(samples[:, :, : layout.colours])
    if layout.inverted:
        np.invert(pixels, out=pixels)
    alpha = np.ascontiguousarray(samples[:, :, -1]) if layout.samples > layout.colours else None
    return Raster(pixels, alpha)


def write(data: bytes, raster: Raster, pixels: Pixels) -> bytes:
    layout = _layout(data)
    if layout is None:
        raise ValueError("a file of this mode is not written")
    changed = (raster.pixels != pixels).any(axis=2)
    samples = ~pixels if layout.inverted else pixels
    if raster.alpha is not None:
        samples = np.dstack([samples, raster.alpha])
    new = {
        segment.index: _pack(data, layout, segment, _cut(samples, segment))
        for segment in layout.segments
        if changed[segment.rows_and_columns].any()
        and (segment.plane is None or segment.plane < layout.colours)
    }
    return _replace(data, layout, new)


def _layout(data: bytes) -> _Layout | None:
    """The layout of the first page, or None where it is not one that is cleaned."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        assert isinstance(page, tifffile.TiffPage)
        tags = page.tags
        photometric, compression = int(page.photometric), int(page.compression)
        colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _YCBCR: 3}.get(photometric)
        extra = tuple(int(value) for value in page.extrasamples)
        depths, formats = (_all_of(tags.valueof(tag, 1)) for tag in (258, 339))
        coded = compression == _JPEG if photometric == _YCBCR else compression in (*_UNPACK, _JPEG)
        plain = (
            colours is not None
            and coded
            and len(depths) == 1
            and formats == {1}
            and depths <= ({8} if compression == _JPEG else {8, 16})
            and int(page.predictor) in (1, 2)
            and int(page.fillorder) == 1
            and extra in ((), (_UNASSOCIATED_ALPHA,))
            and page.samplesperpixel == colours + len(extra)
            and page.imagedepth == 1
            and page.tiledepth == 1
            and not (compression == _JPEG and (extra or int(page.planarconfig) == 2))
        )
        if not plain or colours is None:
            return None
        jpeg_tables = tags.valueof(347)
        factors = tags.valueof(530, (2, 2)) if photometric == _YCBCR else (1, 1)
        return _Layout(
            width=page.imagewidth,
            height=page.imagelength,
            samples=page.samplesperpixel,
            colours=colours,
            stored=np.dtype(f"{file.byteorder}u{max(depths) // 8}"),
            compression=compression,
            differenced=int(page.predictor) == 2,
            inverted=photometric == _WHITE_IS_ZERO,
            ycbcr=photometric == _YCBCR,
            subsampling=(int(factors[0]), int(factors[1])),
            jpeg_tables=jpeg_tables,
            segments=tuple(_segments(page)),
        )


def _all_of(value: object) -> set[int]:
    return {int(part) for part in value} if isinstance(value, tuple) else {int(str(value))}


def _segments(page: tifffile.TiffPage) -> Iterator[_Segment]:
    rows, columns = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    rows = min(rows, page.imagelength) if not page.is_tiled else rows
    down, across = math.ceil(page.imagelength / rows), math.ceil(page.imagewidth / columns)
    planes = page.samplesperpixel if int(page.planarconfig) == 2 and page.samplesperpixel > 1 else 1
    found = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(found) < planes * down * across:
        raise CutShortError("there are fewer strips than the picture needs")
    for index in range(planes * down * across):
        plane, place = divmod(index, down * across)
        top, left = place // across * rows, place % across * columns
        coded = rows if page.is_tiled else min(rows, page.imagelength - top)
        yield _Segment(
            index, *found[index], top, left, coded, columns, plane if planes > 1 else None
        )


def _unpack(data: bytes, layout: _Layout, segment: _Segment) -> Pixels:
    """The samples (rows, columns, S) of a strip or tile; raises CutShortError where some are
    missing.
    """
    packed = data[segment.offset : segment.offset + segment.size]
    samples = layout.samples if segment.plane is None else 1
    shape = (segment.rows, segment.columns, samples)
    if len(packed) < segment.size or not packed:
        raise CutShortError("a strip lies beyond the end of the file")
    if layout.compression == _JPEG:
        space = "YCbCr" if layout.ycbcr else None
        decoded = imagecodecs.jpeg8_decode(
            packed,
            tables=layout.jpeg_tables,
            colorspace=space,
            outcolorspace="RGB" if layout.ycbcr else None,
        )
        decoded = np.atleast_3d(decoded)
        if decoded.shape[0] < shape[0] or decoded.shape[1:] != shape[1:]:
            raise CutShortError("a strip holds too few samples")
        return decoded[: shape[0]]
    size = math.prod(shape) * layout.stored.itemsize
    raw = bytes(_UNPACK[layout.compression](packed, size))
    if len(raw) < size:
        raise CutShortError("a strip holds too few samples")
    stored = np.frombuffer(raw, dtype=layout.stored, count=math.prod(shape)).reshape(shape)
    return (
        np.cumsum(stored, axis=1, dtype=stored.dtype.newbyteorder("="))
        if layout.differenced
        else stored
    )


def _cut(samples: Pixels, segment: _Segment) -> Pixels:
    """The samples of a strip or tile; beyond the picture the last row and column go on, as tiles
    want it.
    """
    part = segment.part_of(samples)
    short = (segment.rows - part.shape[0], segment.columns - part.shape[1])
    return np.pad(part, ((0, short[0]), (0, short[1]), (0, 0)), mode="edge") if any(short) else part


def _pack(data: bytes, layout: _Layout, segment: _Segment, samples: Pixels) -> bytes:
    if layout.compression == _JPEG:
        return _pack_jpeg(data, layout, segment, samples)
    if layout.differenced:
        samples = np.concatenate([samples[:, :1], np.diff(samples, axis=1)], axis=1)
    stored = samples.astype(layout.stored)
    if layout.compression == _PACKBITS:  # each row by itself, as the standard asks
        return b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in stored)
    return bytes(_PACK[layout.compression](stored.tobytes()))


def _pack_jpeg(data: bytes, layout: _Layout, segment: _Segment, samples: Pixels) -> bytes:
    """A whole JPEG with the strip's own quantisation tables, which may stand where an abbreviated
    one stood.
    """
    old = data[segment.offset : segment.offset + segment.size]
    if layout.jpeg_tables:
        old = b"\xff\xd8" + layout.jpeg_tables[2:-2] + old[2:]
    header = JpegImagePlugin.JpegImageFile(io.BytesIO(old))
    out = io.BytesIO()
    to_image(samples).save(
        out,
        "JPEG",
        qtables=[list(header.quantization[component[3]]) for component in header.layer],
        subsampling=_JPEG_SUBSAMPLING.get(layout.subsampling, 0),
        keep_rgb=not layout.ycbcr,
    )
    return out.getvalue()


def _replace(data: bytes, layout: _Layout, new: dict[int, bytes]) -> bytes:
    """The file with these strips or tiles in place of the old ones."""
    offsets = [segment.offset for segment in layout.segments]
    sizes = [segment.size for segment in layout.segments]
    shared = len(set(offsets)) < len(offsets)
    out = io.BytesIO(data)
    end = len(data)
    for index, packed in new.items():
        if len(packed) > sizes[index] or shared:
            end += end % 2
            offsets[index], end = end, end + len(packed)
        sizes[index] = len(packed)
        out.seek(offsets[index])
        out.write(packed)
    out.seek(0)
    with tifffile.TiffFile(out, mode="r+") as file:
        tags = file.pages.first.tags
        wide = _LONG8 if file.is_bigtiff else _LONG
        for names, old, values in (
            ((273, 324), [segment.offset for segment in layout.segments], offsets),
            ((279, 325), [segment.size for segment in layout.segments], sizes),
        ):
            tag = next((tags[name] for name in names if name in tags), None)
            if tag is not None and values != old:
                fits = max(values) < 1 << 16 or int(tag.dtype) != 3
                tag.overwrite(tuple(values), dtype=None if fits else wide)
    return out.getvalue()
