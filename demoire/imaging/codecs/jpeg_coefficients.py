"""JPEG files in which single blocks are replaced, and all others keep their very coefficients.

A JPEG block is 64 quantised coefficients. Here a file's coefficients are read, those of the changed
blocks exchanged, and all of them coded again: no other block is decoded, so none loses anything.
libjpeg does the coding, through jpeglib, the one kept package that gives access to coefficients.
Its newer libjpeg-turbo writes sequential files, mozjpeg progressive ones; Huffman tables are
optimised in both. Restart markers are not written: jpeglib has no word for them.

jpeglib knows no errors: where libjpeg gives up, the process dies. So it runs in a child process
(`demoire.imaging.child`), and gets files that were decoded before. Files go in and out by path; on
Linux the paths are of memory, not of a disk.

Costs: 70 MP/s a core, 10 MP/s for progressive files.

References:
    ITU-T T.81 (ISO/IEC 10918-1), A.1.1 for the blocks of a component, A.3.3 for the DCT.
"""

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoire.imaging.child import Children
from demoire.imaging.codecs.jpeg_parts import EOI, PROGRESSIVE, SOI, Frame, take_apart

# The libraries in jpeglib.
_SEQUENTIAL = "turbo210"
_PROGRESSIVE = "mozjpeg403"
_PLAIN = "6b"
_SECONDS = 30.0
_SECONDS_A_MEGABYTE = 10.0
_COMPONENT = 3  # bytes that a component takes in a frame header
# Where they begin in the segment of a frame: marker, length, precision, size and count go before.
_COMPONENTS_AT = 10
_MEMORY_PATHS = hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()


class Colours(IntEnum):
    """What the components of a file are, by libjpeg's numbers."""

    GREY = 1
    RGB = 2
    YCBCR = 3
    CMYK = 4
    YCCK = 5


@dataclass(frozen=True)
class Blocks:
    """The blocks of one component, of which some are new.

    Attributes:
        down: Rows of blocks in the component.
        across: Blocks in a row.
        numbers: (N,) which blocks are new, counted row by row.
        coefficients: (N, 64) int16, the new ones; the mean comes first, then by rows.
    """

    down: int
    across: int
    numbers: NDArray[np.int64]
    coefficients: NDArray[np.int16]


@dataclass(frozen=True)
class _Request:
    """What the child is to do."""

    data: bytes
    colours: Colours
    blocks: tuple[Blocks, ...]


coders = Children("demoire.imaging.codecs.jpeg_coefficients", "serve_coding")


def with_blocks(data: bytes, colours: Colours, blocks: tuple[Blocks, ...]) -> bytes | None:
    """A file with new blocks.

    Args:
        data: A JPEG file without needless segments (`lean_file`) that can be decoded.
        colours: What its components are.
        blocks: Of each component.

    Returns:
        A file of the same size, tables and sampling, progressive if it was; None where libjpeg
        cannot code it so.
    """
    seconds = _SECONDS + _SECONDS_A_MEGABYTE * len(data) / 1e6
    try:
        with coders.lend() as coder:
            coder.pipe.send(_Request(data, colours, blocks))
            if not coder.pipe.poll(seconds):
                raise OSError("the coder did not answer")
            return coder.pipe.recv_bytes()
    except (EOFError, OSError):
        return None


# In the child


def serve_coding(descriptor: int) -> None:
    """Code what comes down the pipe until it is closed: the main function of a child."""
    pipe = Connection(descriptor)
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        pipe.send_bytes(_coded(request))


def _coded(request: _Request) -> bytes:
    """The file with its new blocks.

    jpeglib writes the first three components and leaves the fourth as it was. So for a file of four
    the black component is first put in front of the others, in the frame header alone: the coded
    data names components by their ids. Only the oldest libjpeg accepts them in such an order.
    """
    data = request.data
    blocks = request.blocks
    is_progressive = take_apart(data).frame.marker == PROGRESSIVE
    if len(blocks) == 4:
        front = _written(_reordered(data, (3, 0, 1, 2)), request.colours, blocks[3:], _PLAIN)
        data = _written(_reordered(front, (1, 2, 3, 0)), request.colours, blocks[:3], _PLAIN)
        if not is_progressive:
            return data
        blocks = blocks[:1]
    version = _PROGRESSIVE if is_progressive else _SEQUENTIAL
    return _written(data, request.colours, blocks[:3], version)


def _reordered(data: bytes, order: tuple[int, ...]) -> bytes:
    """A file whose frame header lists its components in another order."""
    parts = take_apart(data)
    out = [SOI]
    for _, segment in parts.segments:
        if segment[4:] != parts.frame.payload:
            out.append(segment)
            continue
        out.append(segment[:_COMPONENTS_AT])
        for number in order:
            start = _COMPONENTS_AT + _COMPONENT * number
            out.append(segment[start : start + _COMPONENT])
    return b"".join((*out, parts.scans, EOI))


def _written(data: bytes, colours: Colours, blocks: tuple[Blocks, ...], version: str) -> bytes:
    """The file in which the first components have these new blocks.

    Raises:
        OSError: libjpeg refuses.
    """
    library = _library(version)
    frame = take_apart(data).frame
    planes: list[NDArray[np.int16] | None] = [None] * 4
    for number, part in enumerate(blocks):
        planes[number] = np.zeros((part.down * part.across, 64), np.int16)
    with _file(data) as source, _file(b"") as target:
        tables = np.zeros((4, 64), np.uint16)
        assignment = np.zeros(4, np.int16)
        library.read_jpeg_dct(
            str(source), *_pointers(planes), _pointer(tables), _pointer(assignment)
        )
        for plane, part in zip(planes, blocks, strict=False):
            assert plane is not None
            plane[part.numbers] = part.coefficients
        height, width = frame.size
        library.write_jpeg_dct(
            str(source),
            str(target),
            *_pointers(planes),
            image_dims=(ctypes.c_int * 2)(height, width),
            block_dims=None,
            in_color_space=int(colours),
            in_components=frame.components,
            samp_factor=None,
            qt=None,
            quality=-1,
            quant_tbl_no=None,
            num_markers=0,
            marker_types=None,
            marker_lengths=None,
            markers=None,
            flags=["+OPTIMIZE_CODING"],
        )
        return target.read_bytes()


@cache
def _library(version: str) -> Any:
    """jpeglib's functions for one library, whatever its global setting is."""
    from jpeglib._bind import CJpegLib  # only the child needs it

    library: Any = type(version, (CJpegLib,), {})
    library.set_version(version)
    return library


def _pointers(planes: list[NDArray[np.int16] | None]) -> list[ctypes.c_void_p | None]:
    pointers: list[ctypes.c_void_p | None] = []
    for plane in planes:
        pointers.append(None if plane is None else _pointer(plane))
    return pointers


def _pointer(samples: NDArray[np.int16] | NDArray[np.uint16]) -> ctypes.c_void_p:
    return ctypes.c_void_p(samples.ctypes.data)


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """A path at which these bytes can be read and others written, for the block."""
    if _MEMORY_PATHS:
        descriptor = os.memfd_create("jpeg")
        path = Path(f"/proc/self/fd/{descriptor}")
    else:
        descriptor, name = tempfile.mkstemp(suffix=".jpg")
        path = Path(name)
    try:
        path.write_bytes(data)
        yield path
    finally:
        os.close(descriptor)
        if not _MEMORY_PATHS:
            path.unlink()


def blocks_of(frame: Frame, component: int) -> tuple[int, int]:
    """Rows of blocks in a component, and blocks in a row, without the padding of the last unit."""
    height, width = frame.size
    factors = frame.factors
    most_across = max(across for across, _ in factors)
    most_down = max(down for _, down in factors)
    across, down = factors[component]
    return -(-height * down // (8 * most_down)), -(-width * across // (8 * most_across))
