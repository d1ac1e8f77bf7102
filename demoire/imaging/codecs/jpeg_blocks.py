"""The blocks of a JPEG picture that changed, as the coefficients with which they are to be stored.

Blocks come in units (MCUs): with colour at half resolution 16 x 16 pixels, 8 x 8 otherwise. A unit
in which any pixel changed is coded anew from its pixels, with the file's own quantisation tables
and sampling; all others are left out, and keep what they have. Decoders that smooth subsampled
colour mix a pixel's colour with that of the next unit, so at the edge of a changed unit the pixels
of its neighbour may still move a little. 100 MP/s a core.

References:
    ITU-T T.81 (ISO/IEC 10918-1), A.1.1 and A.2 for components, blocks and units, A.3.3 and A.3.4
    for the DCT and quantisation, B.2.4.1 for the tables. ITU-T T.871, 7, for YCbCr.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.jpeg_coefficients import Colours, NewBlocks, with_blocks
from demoire.imaging.codecs.jpeg_parts import (
    APP0,
    APP14,
    BASELINE,
    EXTENDED,
    PROGRESSIVE,
    JpegParts,
    count_of,
    lean_file,
)
from demoire.imaging.codecs.libjpeg import blocks_of
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.room import let_go_behind

_QUANTISATION_TABLES = 0xDB
_SIDE = 8  # px of a block
_AT_A_TIME = 4  # rows of units, so that their samples stay in the cache
_LARGEST = 1023  # of a coefficient that Huffman coding of 8-bit samples has a code for
# Where each entry of a table in zigzag order stands in a block, row by row (T.81, figure A.6).
_ZIGZAG = sorted(
    range(64),
    key=lambda at: (at // 8 + at % 8, at // 8 if (at // 8 + at % 8) % 2 else at % 8),
)
# Red, green and blue to Y, Cb and Cr less 128.
_TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]],
    np.float32,
)

Plane = NDArray[np.float32]


def _dct_matrix() -> NDArray[np.float32]:
    """The DCT of eight samples (T.81, A.3.3): its rows are the cosines, the first one the mean."""
    sample = np.arange(_SIDE)
    frequency = sample[:, None]
    matrix = np.cos((2 * sample + 1) * frequency * np.pi / (2 * _SIDE)) / 2
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)


_DCT = _dct_matrix()


@dataclass(frozen=True)
class _Component:
    """How one component is sampled and quantised."""

    across: int  # sampling factors: blocks in a unit
    down: int
    rows: int  # of blocks in the component
    columns: int
    table: NDArray[np.float32]  # (8, 8)


@dataclass(frozen=True)
class _Shape:
    """How a picture is divided into units."""

    components: tuple[_Component, ...]
    unit_height: int  # px
    unit_width: int


def recoded(
    parts: JpegParts, old: Pixels, new: Pixels, colours: Colours | None = None
) -> bytes | None:
    """The picture's file with new pixels where they differ, and the old coefficients elsewhere.

    Args:
        parts: The file as it was.
        old: (H, W, C) uint8, its pixels: grey, RGB, or CMYK as it is stored.
        new: (H, W, C) uint8, what they are to be.
        colours: What its components are; None for what its own segments say.

    Returns:
        A JPEG file without the old one's segments of metadata; None where its coding does not allow
        for it.
    """
    shape = _shape(parts)
    if shape is None:
        return None
    if colours is None:
        colours = colours_of(parts)
    changed = _changed_units(old, new, shape)
    blocks = _new_blocks(new, changed, shape, colours)
    return with_blocks(lean_file(parts), blocks, are_all_new=bool(changed.all()))


def can_be_recoded(parts: JpegParts) -> bool:
    """Whether the blocks of a file can be replaced at all."""
    return _shape(parts) is not None


def colours_of(parts: JpegParts) -> Colours:
    """What the components of a file are, by libjpeg's own rules.

    Of three components JFIF means YCbCr; an Adobe segment names the transform, 0 for none; without
    either, components called R, G and B are what their names say. Four are CMYK, unless an Adobe
    segment says YCCK.
    """
    frame = parts.frame
    adobe = parts.find(APP14, b"Adobe")
    transform = adobe[11] if adobe is not None and len(adobe) >= 12 else None
    if frame.components == 1:
        return Colours.GREY
    if frame.components == 4:
        return Colours.YCCK if transform == 2 else Colours.CMYK
    if parts.find(APP0, b"JFIF\0") is not None:
        return Colours.YCBCR
    if transform is not None:
        return Colours.RGB if transform == 0 else Colours.YCBCR
    return Colours.RGB if frame.component_ids == b"RGB" else Colours.YCBCR


def _shape(parts: JpegParts) -> _Shape | None:
    """The division into units; None for a kind of coding whose blocks are not replaced."""
    frame = parts.frame
    if frame.marker not in (BASELINE, EXTENDED, PROGRESSIVE) or frame.payload[0] != 8:
        return None
    if frame.components not in (1, 3, 4) or count_of(_QUANTISATION_TABLES, parts.scans):
        return None
    tables = _tables(parts)
    factors = frame.factors
    if frame.components == 1:  # a single component's units are its blocks, whatever its factors
        factors = [(1, 1)]
    if min(min(pair) for pair in factors) < 1:
        return None
    most_across = max(across for across, _ in factors)
    most_down = max(down for _, down in factors)
    components = []
    for number, (across, down) in enumerate(factors):
        table = tables.get(frame.payload[8 + 3 * number])
        if table is None or most_across % across or most_down % down:
            return None
        rows, columns = blocks_of(frame, number)
        components.append(_Component(across, down, rows, columns, table))
    return _Shape(tuple(components), _SIDE * most_down, _SIDE * most_across)


def _tables(parts: JpegParts) -> dict[int, NDArray[np.float32]]:
    """The quantisation tables (8, 8) by their numbers.

    A segment holds several: 4 bits of precision (0 for bytes, 1 for 16 bits) and 4 of the number,
    then 64 entries in zigzag order.
    """
    tables = {}
    for marker, segment in parts.segments:
        if marker != _QUANTISATION_TABLES:
            continue
        payload = segment[4:]
        offset = 0
        while offset < len(payload):
            precision, number = divmod(payload[offset], 16)
            entries = struct.unpack_from(">64H" if precision else ">64B", payload, offset + 1)
            table = np.empty(64, np.float32)
            table[_ZIGZAG] = entries
            tables[number] = table.reshape(_SIDE, _SIDE)
            offset += 1 + 64 * (1 + precision)
    return tables


def _changed_units(old: Pixels, new: Pixels, shape: _Shape) -> NDArray[np.bool_]:
    """(rows, columns) of units, True where any pixel differs."""
    height, width, channels = old.shape
    across = channels * np.arange(0, width, shape.unit_width)
    rows = []
    units = in_stripes(Box(0, 0, height, width), shape.unit_height * width, columns=width)
    for band in let_go_behind(units, old, new):
        old_band = np.ascontiguousarray(old[band.slices])
        new_band = np.ascontiguousarray(new[band.slices])
        difference = cv2.absdiff(old_band, new_band)
        largest = difference.reshape(-1, width * channels).max(axis=0)
        rows.append(np.maximum.reduceat(largest, across) > 0)
    return np.stack(rows)


def _new_blocks(
    pixels: Pixels, changed: NDArray[np.bool_], shape: _Shape, colours: Colours
) -> Iterator[NewBlocks]:
    """The blocks of all changed units, some rows of units at a time."""
    height, width = pixels.shape[:2]
    rows = _AT_A_TIME * shape.unit_height
    for stripe in let_go_behind(
        in_stripes(Box(0, 0, height, width), rows * width, columns=width), pixels
    ):
        top = stripe.top // shape.unit_height
        columns = np.flatnonzero(changed[top : top + _AT_A_TIME].any(axis=0))
        if len(columns) == 0:
            continue
        left = int(columns[0])
        wanted = changed[top : top + _AT_A_TIME, left : int(columns[-1]) + 1]
        planes = _planes(_band(pixels, top, left, wanted, shape), colours)
        for number, component in enumerate(shape.components):
            of_blocks = wanted.repeat(component.down, axis=0).repeat(component.across, axis=1)
            first_row = top * component.down
            first_column = left * component.across
            # The last units have blocks beyond the picture, which only fill them up.
            inside = np.s_[: component.rows - first_row, : component.columns - first_column]
            blocks = _coefficients(planes[number], component, shape)
            yield NewBlocks(number, first_row, first_column, blocks[inside], of_blocks[inside])


def _band(pixels: Pixels, top: int, left: int, units: NDArray[np.bool_], shape: _Shape) -> Pixels:
    """The pixels of an array of units, of which the first is in row `top` and column `left`.

    Beyond the picture its last row and column are repeated, as encoders do.
    """
    height = units.shape[0] * shape.unit_height
    width = units.shape[1] * shape.unit_width
    first_row = top * shape.unit_height
    first_column = left * shape.unit_width
    band = pixels[first_row : first_row + height, first_column : first_column + width]
    below = height - band.shape[0]
    beside = width - band.shape[1]
    if below or beside:
        band = np.pad(band, ((0, below), (0, beside), (0, 0)), mode="edge")
    return band


def _planes(band: Pixels, colours: Colours) -> list[Plane]:
    """The components of pixels (h, w, C), less the middle of their range."""
    samples = band.astype(np.float32)
    if colours in (Colours.YCBCR, Colours.YCCK):
        # Of YCCK the first three are Y, Cb and Cr of inverted cyan, magenta and yellow.
        rgb = samples if colours == Colours.YCBCR else 255 - samples[..., :3]
        planes = _split(cv2.transform(rgb, _TO_YCBCR))
        planes[0] -= 128
        if colours == Colours.YCCK:
            planes.append(samples[..., 3] - 128)
        return planes
    samples -= 128
    return [np.ascontiguousarray(plane) for plane in _channels(samples)]


def _split(samples: NDArray[np.float32]) -> list[Plane]:
    """The channels of (h, w, 3). Into arrays of its own OpenCV splits at a fifth of the speed."""
    planes = list(np.empty((3, *samples.shape[:2]), np.float32))
    cv2.split(samples, planes)
    return planes


def _channels(samples: NDArray[np.float32]) -> Iterator[Plane]:
    for channel in range(samples.shape[-1]):
        yield samples[..., channel]


def _coefficients(plane: Plane, component: _Component, shape: _Shape) -> NDArray[np.int16]:
    """The quantised coefficients (rows, columns, 8, 8) of a component in an array of units.

    First down, then across, each as one product of large matrices.
    """
    height, width = plane.shape
    samples = plane
    if (component.down, component.across) != (shape.unit_height // 8, shape.unit_width // 8):
        # A sample stands for several pixels: their mean.
        height = height * component.down * _SIDE // shape.unit_height
        width = width * component.across * _SIDE // shape.unit_width
        samples = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    down: Plane = np.matmul(_DCT, samples.reshape(height // _SIDE, _SIDE, width))
    both: Plane = np.matmul(down.reshape(-1, _SIDE), _DCT.T).reshape(down.shape)
    both /= np.tile(component.table, width // _SIDE)
    # OpenCV rounds half to even, and brings what is too large to the end of the range.
    quantised = cv2.add(both.reshape(height, width), 0.0, dtype=cv2.CV_16S)
    np.clip(quantised, -_LARGEST, _LARGEST, out=quantised)
    blocks: NDArray[np.int16] = quantised.reshape(
        height // _SIDE, _SIDE, width // _SIDE, _SIDE
    ).transpose(0, 2, 1, 3)
    return blocks
