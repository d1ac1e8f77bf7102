"""JPEG in TIFF: each strip or tile is a JPEG file, whose changed blocks are coded anew.

All other blocks keep their very coefficients, as in plain JPEG files (`jpeg_blocks`). A strip is
usually an abbreviated file whose tables are in the tag JPEGTables; a whole file may stand in its
place. Where blocks cannot be replaced, and in smaller versions of a picture, which are made anew,
the whole strip is coded.

References:
    Adobe, "TIFF Technical Note 2" (1995).
"""

import io

import imagecodecs
import numpy as np
from PIL import Image, JpegImagePlugin

from demoire.imaging.codecs import jpeg
from demoire.imaging.codecs.jpeg_blocks import recoded
from demoire.imaging.codecs.jpeg_parts import APP_OR_COM, EOI, SOI, JpegParts, take_apart
from demoire.imaging.codecs.libjpeg_target import Colours
from demoire.imaging.codecs.pillow_pixels import to_image
from demoire.imaging.codecs.raster import CutShortError, Pixels
from demoire.imaging.codecs.tiff_layout import Layout

# Pillow's names of the sampling that libjpeg writes.
_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
_INKS = 4  # samples of a CMYK pixel


def unpack_jpeg(packed: bytes, layout: Layout, shape: tuple[int, int, int]) -> Pixels:
    """The samples (rows, columns, S) of a strip or tile.

    Raises:
        CutShortError: It holds fewer.
    """
    stored_as = None
    wanted_as = None
    if layout.ycbcr:
        stored_as = "YCbCr"
        wanted_as = "RGB"
    elif shape[2] == _INKS:  # an Adobe segment's word on them does not count in TIFF
        stored_as = "CMYK"
        wanted_as = "CMYK"
    decoded = imagecodecs.jpeg8_decode(
        packed, tables=layout.jpeg_tables, colorspace=stored_as, outcolorspace=wanted_as
    )
    decoded = np.atleast_3d(decoded)
    rows = shape[0]
    # A last strip may be coded in full height.
    if decoded.shape[0] < rows or decoded.shape[1:] != shape[1:]:
        raise CutShortError("a strip holds too few samples")
    return decoded[:rows]


def repack_jpeg(packed: bytes, layout: Layout, old: Pixels, new: Pixels) -> bytes:
    """A strip or tile with new samples, whose blocks stay where nothing changed.

    Args:
        packed: The strip or tile as it was.
        layout: Of its page.
        old: (rows, columns, S), its samples.
        new: What they are to be.
    """
    try:
        parts = take_apart(_whole_file(packed, layout))
        rows, columns = parts.frame.size
    except ValueError:  # odd, but libjpeg has decoded it
        return pack_jpeg(packed, layout, new)
    below = rows - new.shape[0]
    is_as_expected = (columns, parts.frame.components) == new.shape[1:] and below >= 0
    if is_as_expected:
        coded = recoded(parts, _taller(old, below), _taller(new, below), _colours(layout, new))
        if coded is not None:
            return _with_its_own_segments(parts, take_apart(coded))
    return pack_jpeg(packed, layout, new)


def pack_jpeg(packed: bytes, layout: Layout, samples: Pixels) -> bytes:
    """A whole JPEG file of these samples, with the quantisation tables of the strip as it was."""
    old = io.BytesIO(_whole_file(packed, layout))
    out = io.BytesIO()
    has_inks = samples.shape[2] == _INKS
    # Pillow inverts CMYK on its way into a JPEG file, as Adobe's programs do; TIFF does not.
    image = Image.fromarray(~samples, "CMYK") if has_inks else to_image(samples)
    image.save(
        out,
        "JPEG",
        qtables=jpeg.quantisation_tables(JpegImagePlugin.JpegImageFile(old)),
        subsampling=_SUBSAMPLING.get(layout.subsampling, 0),
        keep_rgb=not layout.ycbcr,
    )
    return out.getvalue()


def _whole_file(packed: bytes, layout: Layout) -> bytes:
    """A strip or tile with the tables that it shares with others.

    The tables are a JPEG file without a picture: its start and end markers are left out.
    """
    if not layout.jpeg_tables:
        return packed
    return SOI + layout.jpeg_tables[2:-2] + packed[2:]


def _colours(layout: Layout, samples: Pixels) -> Colours:
    """What the components of a strip are: the tags decide, whatever its own segments say."""
    if samples.shape[2] == 1:
        return Colours.GREY
    if samples.shape[2] == _INKS:
        return Colours.CMYK
    return Colours.YCBCR if layout.ycbcr else Colours.RGB


def _taller(samples: Pixels, below: int) -> Pixels:
    """The samples with the last row repeated."""
    return np.pad(samples, ((0, below), (0, 0), (0, 0)), mode="edge")


def _with_its_own_segments(old: JpegParts, coded: JpegParts) -> bytes:
    """The coded file with the APPn and COM segments of the old one, if it had any."""
    segments = []
    for marker, segment in old.segments:
        if marker in APP_OR_COM:
            segments.append(segment)
    for marker, segment in coded.segments:
        if marker not in APP_OR_COM:
            segments.append(segment)
    return b"".join((SOI, *segments, coded.scans, EOI))
