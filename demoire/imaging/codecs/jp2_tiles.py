"""One tile of JPEG 2000 coded by OpenJPEG, in the structure that the original has.

Pillow passes everything that a COD segment can say on to OpenJPEG, but it writes no 16-bit RGB and
misplaces 16-bit grey that does not begin at the origin. imagecodecs writes 16-bit RGB, in one
structure only. So `can_write` says whether a file's structure would come out the same.

OpenJPEG runs in a child process, because its encoder can crash. Version 2.5.4 fails where a tile
shrinks to a single sample at an odd coordinate: its wavelet then stores a wrong sample, or writes
beyond its buffer. A file with such tiles is not cleaned. All other reversible tiles are decoded
again in the child and compared, so that lossless files stay lossless.

Costs: lossless 8-bit RGB is coded and compared at 1.8 MP/s a core, lossy coded at 4 MP/s.

References:
    ISO/IEC 15444-1, annex B for tiles and resolutions, annex F for the wavelets.
"""

import io
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import imagecodecs
import numpy as np
from PIL import Image

from demoire.imaging.child import Children
from demoire.imaging.codecs.jp2_codestream import (
    PACKET_LENGTHS,
    CodedTile,
    CodingStyle,
    Grid,
    MainHeader,
    TilePart,
    tile_of,
)
from demoire.imaging.codecs.raster import Pixels

_PROGRESSIONS = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")
_MOST_LAYERS = 100  # of OpenJPEG
_DEFAULT_BLOCK = (64, 64)
_LARGEST_TILE = (1 << 31) - 1  # px
_MIXED = 3  # components of a colour transform; with alpha besides, Pillow leaves it out
_FEWEST = 8  # px of the smallest resolution that imagecodecs writes
_ALL_OF_IT = 0.0  # as a rate: a layer with nothing left out
# What a child may take: OpenJPEG holds several copies of a tile, with 4 bytes a sample.
_SECONDS = 30.0
_SECONDS_A_MEGASAMPLE = 3.0
_MEMORY = 512 << 20
_BYTES_A_SAMPLE = 24


@dataclass(frozen=True)
class _Request:
    """What a child is to code."""

    samples: Pixels
    style: CodingStyle
    tile: Grid
    rates: tuple[float, ...]
    has_packet_lengths: bool


tile_coders = Children("demoire.imaging.codecs.jp2_tiles", "serve_tile_coding")


def can_write(header: MainHeader) -> bool:
    """Whether tiles in the structure of this file can be written."""
    style = header.style
    if style.flags > 1 or style.block_style or style.progression >= len(_PROGRESSIONS):
        return False
    if not 1 <= style.layers <= _MOST_LAYERS or not _has_known_precincts(style):
        return False
    grid = header.grid
    if max(grid.tile_width + grid.tiles_left, grid.tile_height + grid.tiles_top) > _LARGEST_TILE:
        return False
    if min(grid.tile_width, grid.tile_height) < 1 << style.levels:
        return False
    if any(_shrinks_to_an_odd_sample(*side, style.levels) for side in _sides_of_tiles(grid)):
        return False
    if style.mixes_colours and len(header.components) != _MIXED:
        return False
    if header.components[0].bits == 8:
        return True
    is_one_tile = grid.tiles == 1
    is_at_origin = grid.left == grid.top == grid.tiles_left == grid.tiles_top == 0
    if not is_one_tile or not is_at_origin:
        return False
    if min(grid.right, grid.bottom) < 1 << style.levels:
        return False
    return len(header.components) == 1 or _is_plain(header)


def _has_known_precincts(style: CodingStyle) -> bool:
    """Whether precincts get smaller by half from each resolution to the next smaller one."""
    if not style.flags:
        return True
    if len(style.precincts) != style.levels + 1:
        return False
    width = style.precincts[-1] & 15
    height = style.precincts[-1] >> 4
    expected = []
    for halvings in range(style.levels, -1, -1):
        expected.append(max(0, width - halvings) | max(0, height - halvings) << 4)
    return style.precincts == bytes(expected)


def _is_plain(header: MainHeader) -> bool:
    """Whether 16-bit RGB is coded in the one structure that can be written."""
    style = header.style
    smallest = min(header.grid.right, header.grid.bottom) >> style.levels
    return (
        len(header.components) == 3
        and smallest >= _FEWEST
        and style.is_reversible
        and not style.flags
        and style.progression == 0
        and style.layers == 1
        and style.block == _DEFAULT_BLOCK
    )


def coded_tile(
    samples: Pixels, header: MainHeader, tile: Grid, old_parts: list[TilePart]
) -> CodedTile:
    """A tile with new samples.

    Args:
        samples: (H, W, S) of the tile, uint8 or uint16; contiguous.
        header: The main header of the file.
        tile: Where it lies.
        old_parts: The tile-parts that it had: a lossy tile gets as many bytes.

    Raises:
        ValueError: OpenJPEG cannot code it, or not in the structure that the file has.
    """
    style = header.style
    request = _Request(
        samples=samples,
        style=style,
        tile=tile,
        rates=_rates(samples, style, old_parts),
        has_packet_lengths=any(PACKET_LENGTHS in part.markers for part in old_parts),
    )
    coded = tile_of(_coded_in_a_child(request))
    if coded.coding[4:] != style.payload:
        raise ValueError("the tile was coded in another structure")
    return coded


def _sides_of_tiles(grid: Grid) -> Iterator[tuple[int, int]]:
    """Where each column and each row of tiles begins and ends, px."""
    for index in range(grid.across):
        tile = grid.tile(index)
        yield tile.left, tile.right
    for index in range(0, grid.tiles, grid.across):
        tile = grid.tile(index)
        yield tile.top, tile.bottom


def _shrinks_to_an_odd_sample(start: int, end: int, levels: int) -> bool:
    """Whether a side of a tile, px, has one sample at an odd coordinate before a decomposition."""
    for _ in range(levels):
        if end - start == 1 and start % 2 == 1:
            return True
        start = (start + 1) // 2
        end = (end + 1) // 2
    return False


def _coded_in_a_child(request: _Request) -> bytes:
    """A codestream of the one tile.

    Raises:
        ValueError: The encoder refused, died, took too long, or did not keep every sample.
    """
    count = request.samples.size
    seconds = _SECONDS + _SECONDS_A_MEGASAMPLE * count / 1e6
    try:
        with tile_coders.lend() as coder:
            coder.pipe.send(_MEMORY + _BYTES_A_SAMPLE * count)
            coder.pipe.send(request)
            if not coder.answers_within(seconds):
                raise ValueError(f"the encoder was not done after {seconds:.0f} s")
            answer = coder.pipe.recv()
    except (EOFError, OSError) as error:
        raise ValueError("the encoder died of a tile") from error
    if isinstance(answer, ValueError):
        raise answer
    return bytes(answer)


def _rates(samples: Pixels, style: CodingStyle, old_parts: list[TilePart]) -> tuple[float, ...]:
    """How many times smaller than the samples each layer is to be, the coarsest first.

    Each layer has twice the bytes of the one before. Where the wavelet is reversible the last one
    holds everything.
    """
    old_bytes = sum(part.end - part.data_start for part in old_parts)
    last = max(1.0, samples.nbytes / max(1, old_bytes))
    rates = [last * 2.0**halvings for halvings in range(style.layers - 1, -1, -1)]
    if style.is_reversible:
        rates[-1] = _ALL_OF_IT
    return tuple(rates)


# In the child


def serve_tile_coding(descriptor: int) -> None:
    """Code what comes down the pipe until it is closed: the main function of a child."""
    pipe = Connection(descriptor)
    while True:
        try:
            memory = pipe.recv()
            request = pipe.recv()
        except EOFError:
            return
        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
        try:
            pipe.send(_coded(request))
        except Exception as error:  # Pillow and imagecodecs raise many kinds
            # A MemoryError has no words of its own.
            pipe.send(ValueError(str(error) or type(error).__name__))


def _coded(request: _Request) -> bytes:
    samples = request.samples
    if samples.dtype.itemsize == 2 and samples.shape[2] == 3:
        stream = _coded_by_imagecodecs(samples, request.style)
    else:
        stream = _coded_by_pillow(request)
    if request.style.is_reversible:
        decoded = imagecodecs.jpeg2k_decode(stream, numthreads=1)
        if not np.array_equal(decoded.reshape(samples.shape), samples):
            raise ValueError("the encoder did not keep every sample of a lossless tile")
    return stream


def _coded_by_imagecodecs(samples: Pixels, style: CodingStyle) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            samples,
            codecformat="j2k",
            resolutions=style.levels + 1,
            reversible=True,
            mct=style.mixes_colours,
            numthreads=1,
        )
    )


def _coded_by_pillow(request: _Request) -> bytes:
    samples = request.samples
    style = request.style
    tile = request.tile
    options: dict[str, object] = {}
    if style.flags:
        last = style.precincts[-1]
        options["precinct_size"] = (1 << (last & 15), 1 << (last >> 4))
    if samples.dtype.itemsize == 1:  # 16-bit pictures are one tile at the origin
        options["offset"] = (tile.left, tile.top)
        options["tile_offset"] = (tile.tiles_left, tile.tiles_top)
        # Pillow takes memory for a whole tile, however much of it lies beyond the picture.
        least = 1 << style.levels
        width = min(tile.tile_width, max(least, tile.right - tile.tiles_left))
        height = min(tile.tile_height, max(least, tile.bottom - tile.tiles_top))
        options["tile_size"] = (width, height)
    squeezed = samples[:, :, 0] if samples.shape[2] == 1 else samples
    out = io.BytesIO()
    Image.fromarray(squeezed).save(
        out,
        "JPEG2000",
        no_jp2=True,
        num_resolutions=style.levels + 1,
        codeblock_size=style.block,
        progression=_PROGRESSIONS[style.progression],
        irreversible=not style.is_reversible,
        mct=int(style.mixes_colours),
        quality_mode="rates",
        quality_layers=list(request.rates),
        plt=request.has_packet_lengths,
        **options,
    )
    return out.getvalue()
