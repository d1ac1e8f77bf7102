"""How the samples of a TIFF page lie in its file, if it is a page that is cleaned."""

import math
from dataclasses import dataclass

import numpy as np
import tifffile

from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import CutShortError, Pixels
from demoire.imaging.codecs.tiff_tags import (
    BITS_PER_SAMPLE,
    INK_SET,
    JPEG_TABLES,
    SAMPLE_FORMAT,
    YCBCR_SUBSAMPLING,
)

# Values of the tag Compression
UNCOMPRESSED, LZW, JPEG, DEFLATE, PACKBITS = 1, 5, 7, 8, 32773
OLD_DEFLATE, ZSTD = 32946, 50000
HUFFMAN, GROUP_3, GROUP_4 = 2, 3, 4  # of faxes
_LOSSLESS = (UNCOMPRESSED, LZW, DEFLATE, PACKBITS, OLD_DEFLATE, ZSTD)
_DECODED = (JPEG, *_LOSSLESS, HUFFMAN, GROUP_3, GROUP_4)  # always, here or by Pillow
# Values of PhotometricInterpretation, and the colour samples that a pixel has with each.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _SEPARATED, _YCBCR = 0, 1, 2, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _SEPARATED: 4, _YCBCR: 3}
# Values of other tags
_UNSIGNED, _FLOAT = 1, 3  # SampleFormat
_NO_PREDICTOR, _DIFFERENCING = 1, 2
_MOST_SIGNIFICANT_FIRST = 1  # FillOrder
_PLANAR = 2  # PlanarConfiguration
_CMYK = 1  # InkSet
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2  # ExtraSamples


@dataclass(frozen=True)
class Segment:
    """One strip or tile: where its bytes are, and which samples it holds.

    Attributes:
        index: Its number in the tags of offsets and sizes.
        offset: Of its first byte in the file.
        size: In bytes.
        top: Of its first row in the picture, px.
        left: Of its first column in the picture, px.
        rows: As coded: a tile's padding counts, and a last strip has the rows that are left.
        columns: As coded.
        plane: Which sample of the pixels it holds; None where all samples lie together.
    """

    index: int
    offset: int
    size: int
    top: int
    left: int
    rows: int
    columns: int
    plane: int | None

    @property
    def rows_and_columns(self) -> tuple[slice, slice]:
        """Where it lies in the picture; a tile may reach beyond the edge."""
        return self.box.slices

    @property
    def box(self) -> Box:
        """The pixels it holds, its padding among them."""
        return Box(self.top, self.left, self.top + self.rows, self.left + self.columns)

    def part_of(self, samples: Pixels) -> Pixels:
        """The view of (H, W, S) samples that this holds.

        Returns:
            (rows, columns, S), or (rows, columns, 1) of one plane; smaller at the picture's edge.
        """
        part = samples[self.rows_and_columns]
        if self.plane is None:
            return part
        return part[:, :, self.plane, None]


@dataclass(frozen=True)
class Layout:
    """What has to be known of the one page to read and write its samples.

    Attributes:
        directory: Offset of the page's directory in the file.
        width: px.
        height: px.
        samples: Of a pixel, alpha included.
        colours: Of a pixel: 1 grey, 3 RGB, 4 inks.
        stored: Type of a sample, in the byte order of the file.
        compression: Value of the tag.
        differenced: Whether each sample is stored as the difference to its left neighbour.
        premultiplied: Whether the colours are multiplied by the alpha.
        inverted: Whether white is zero.
        ycbcr: Whether JPEG data is YCbCr.
        subsampling: Of the chroma of YCbCr, across and down.
        jpeg_tables: The tables that all JPEG segments share, as an abbreviated JPEG file.
        segments: All strips or tiles, plane after plane.
    """

    directory: int
    width: int
    height: int
    samples: int
    colours: int
    stored: np.dtype
    compression: int
    differenced: bool
    premultiplied: bool
    inverted: bool
    ycbcr: bool
    subsampling: tuple[int, int]
    jpeg_tables: bytes | None
    segments: tuple[Segment, ...]


def first_layout(file: tifffile.TiffFile) -> Layout | None:
    """The layout of the first page, or None where it is not one that is cleaned.

    Raises:
        CutShortError: There are fewer strips than the picture needs.
    """
    page = file.pages.first
    assert isinstance(page, tifffile.TiffPage)
    return layout_of(page, file.byteorder)


def layout_of(page: tifffile.TiffPage, byteorder: str) -> Layout | None:
    """The layout of a page, or None where it is not one that is cleaned.

    Raises:
        CutShortError: There are fewer strips than the picture needs.
    """
    if not _is_cleaned(page):
        return None
    photometric = int(page.photometric)
    is_ycbcr = photometric == _YCBCR
    factors = page.tags.valueof(YCBCR_SUBSAMPLING, (2, 2)) if is_ycbcr else (1, 1)
    (depth,) = _depths(page)
    return Layout(
        directory=page.offset,
        width=page.imagewidth,
        height=page.imagelength,
        samples=page.samplesperpixel,
        colours=_COLOURS[photometric],
        stored=np.dtype(f"{byteorder}u{depth // 8}"),
        compression=int(page.compression),
        differenced=int(page.predictor) == _DIFFERENCING,
        premultiplied=_ASSOCIATED_ALPHA in _extra_samples(page),
        inverted=photometric == _WHITE_IS_ZERO,
        ycbcr=is_ycbcr,
        subsampling=(int(factors[0]), int(factors[1])),
        jpeg_tables=page.tags.valueof(JPEG_TABLES),
        segments=_segments(page),
    )


def has_float_samples(file: tifffile.TiffFile) -> bool:
    """Whether the samples of the first page are floats or have 32 bits and more."""
    page = file.pages.first
    assert isinstance(page, tifffile.TiffPage)
    return _FLOAT in _values(page, SAMPLE_FORMAT) or max(_depths(page)) >= 32


def has_inks_and_alpha(file: tifffile.TiffFile) -> bool:
    """Whether a pixel of the first page is CMYK with samples besides; Pillow opens none."""
    page = file.pages.first
    assert isinstance(page, tifffile.TiffPage)
    return int(page.photometric) == _SEPARATED and bool(page.extrasamples)


def has_foreign_coding(file: tifffile.TiffFile) -> bool:
    """Whether the first page is in a compression that is known to TIFF and maybe not here."""
    page = file.pages.first
    assert isinstance(page, tifffile.TiffPage)
    compression = int(page.compression)
    is_known = compression in tifffile.COMPRESSION._value2member_map_
    return is_known and compression not in _DECODED


def _is_cleaned(page: tifffile.TiffPage) -> bool:
    """Whether samples, compression and colours of a page are among those that are written."""
    return _has_plain_samples(page) and _has_known_coding(page) and _has_known_colours(page)


def _has_plain_samples(page: tifffile.TiffPage) -> bool:
    """Whether all samples are unsigned, of one depth of 8 or 16 bits, in one plane of depth."""
    if _values(page, SAMPLE_FORMAT) != {_UNSIGNED}:
        return False
    depths = _depths(page)
    return (
        depths in ({8}, {16})
        and int(page.fillorder) == _MOST_SIGNIFICANT_FIRST
        and page.imagedepth == 1
        and page.tiledepth == 1
    )


def _has_known_coding(page: tifffile.TiffPage) -> bool:
    """Whether the compression is written; JPEG only for 8 bits, without alpha, in one plane."""
    if int(page.predictor) not in (_NO_PREDICTOR, _DIFFERENCING):
        return False
    if int(page.compression) == JPEG:
        is_planar = int(page.planarconfig) == _PLANAR
        return _depths(page) == {8} and not page.extrasamples and not is_planar
    # YCbCr without JPEG has its chroma interleaved in a way of its own (section 21).
    return int(page.compression) in _LOSSLESS and int(page.photometric) != _YCBCR


def _has_known_colours(page: tifffile.TiffPage) -> bool:
    """Whether a pixel is grey, RGB or CMYK, with alpha or nothing besides."""
    colours = _COLOURS.get(int(page.photometric))
    if colours is None or int(page.tags.valueof(INK_SET, _CMYK)) != _CMYK:
        return False
    extra = _extra_samples(page)
    if extra not in ((), (_ASSOCIATED_ALPHA,), (_UNASSOCIATED_ALPHA,)):
        return False
    if _ASSOCIATED_ALPHA in extra and int(page.photometric) in (_WHITE_IS_ZERO, _SEPARATED):
        return False  # what a colour multiplied by alpha means is not said for these
    return page.samplesperpixel == colours + len(extra)


def _extra_samples(page: tifffile.TiffPage) -> tuple[int, ...]:
    return tuple(int(value) for value in page.extrasamples)


def _depths(page: tifffile.TiffPage) -> set[int]:
    """The bits per sample that occur."""
    return _values(page, BITS_PER_SAMPLE)


def _values(page: tifffile.TiffPage, tag: int) -> set[int]:
    """The values of a tag with one value a sample; tifffile unpacks a single one."""
    value = page.tags.valueof(tag, 1)
    if isinstance(value, tuple):
        return {int(part) for part in value}
    return {int(str(value))}


def _segments(page: tifffile.TiffPage) -> tuple[Segment, ...]:
    """The strips or tiles of a page: row by row, from left to right, plane after plane."""
    if page.is_tiled:
        rows = page.tilelength
        columns = page.tilewidth
    else:
        rows = min(page.rowsperstrip, page.imagelength)
        columns = page.imagewidth
    down = math.ceil(page.imagelength / rows)
    across = math.ceil(page.imagewidth / columns)
    is_planar = int(page.planarconfig) == _PLANAR and page.samplesperpixel > 1
    planes = page.samplesperpixel if is_planar else 1
    spans = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(spans) < planes * down * across:
        raise CutShortError("there are fewer strips than the picture needs")
    segments = []
    for index in range(planes * down * across):
        offset, size = spans[index]
        plane, index_in_plane = divmod(index, down * across)
        row, column = divmod(index_in_plane, across)
        top = row * rows
        segment = Segment(
            index=index,
            offset=offset,
            size=size,
            top=top,
            left=column * columns,
            rows=rows if page.is_tiled else min(rows, page.imagelength - top),
            columns=columns,
            plane=plane if is_planar else None,
        )
        segments.append(segment)
    return tuple(segments)
