"""Screens and pictures in few colours, dithered on purpose: web pages, GIF files, old programs.

The dots of dithering are as regular as those of a print, and the picture is meant to have them.
Thresholds are ordered in a matrix (Bayer, 1973), or errors are passed on to the neighbours (Floyd
and Steinberg, 1976). Some 40 ms at 304 px on one core.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.simulate.arrays import Plane, Scene, to_bytes
from demoire.simulate.draws import log_uniform
from demoire.simulate.scenes.interfaces import interface
from demoire.simulate.scenes.photographs import photograph

_ORDERED_SHARE = 0.45  # of pictures; the others are diffused
_EVEN_SHARE = 0.5  # of diffused pictures; the others have a palette of their own
_LEVELS = (2, 8)  # of each channel: 1 to 3 bits
_EVEN_LEVELS = (2, 6)  # of each channel, where all colours fit into a palette of 256
_OWN_BITS = (2, 6)  # of a palette of a picture's own colours
_CELL_BITS = (1, 3)  # a matrix of 2, 4 or 8 px
_CONTRAST = (20.0, 160.0)  # of a gradient's colours, standard deviation in 1/255
_SCREEN_SHARE = 0.75  # of pages; the others show a photograph
_WHOLE_SHARE = 0.5  # of pages; on the others gradients alone are dithered


def draw_dithered_page(rng: np.random.Generator, side: int) -> Scene:
    """A screen or a photograph with gradients on it, (side, side, 3), dithered or its gradients."""
    draw = interface if rng.random() < _SCREEN_SHARE else photograph
    page = np.array(draw(rng, side, side))
    is_gradient = np.zeros((side, side, 1), bool)
    for _ in range(int(rng.integers(1, 4))):
        top, left = rng.integers(0, 2 * side // 3, 2)
        height, width = rng.integers(side // 6, side + 1, 2)
        part = page[top : top + height, left : left + width]
        part[:] = _gradient(rng, *part.shape[:2])
        is_gradient[top : top + height, left : left + width] = True
    dithered = dither(page, rng)
    if rng.random() < _WHOLE_SHARE:
        return dithered
    return np.where(is_gradient, dithered, page)


def dither(picture: Scene, rng: np.random.Generator) -> Scene:
    """Bring a picture to few colours by a way of dithering drawn at random.

    Args:
        picture: (h, w, 3).
        rng: Decides the colours and the way.

    Returns:
        (h, w, 3), of 2 to 8 levels a channel or of 4 to 64 colours.
    """
    if rng.random() < _ORDERED_SHARE:
        levels = rng.integers(_LEVELS[0], _LEVELS[1] + 1, 3)
        return _ordered(picture, levels, int(rng.integers(_CELL_BITS[0], _CELL_BITS[1] + 1)))
    image = Image.fromarray(picture)
    if rng.random() < _EVEN_SHARE:
        palette = _even_palette(int(rng.integers(_EVEN_LEVELS[0], _EVEN_LEVELS[1] + 1)))
    else:
        palette = image.quantize(2 ** int(rng.integers(_OWN_BITS[0], _OWN_BITS[1] + 1)))
    diffused = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return np.asarray(diffused.convert("RGB"))


def _ordered(picture: Scene, levels: NDArray[np.int64], cell_bits: int) -> Scene:
    """By a matrix of thresholds that repeats every `2**cell_bits` px."""
    matrix = _bayer_matrix(cell_bits)
    height, width = picture.shape[:2]
    repeats = (height // len(matrix) + 1, width // len(matrix) + 1)
    thresholds = np.tile(matrix, repeats)[:height, :width, None]
    steps = levels - 1
    raised = np.floor(picture / 255 * steps + thresholds)
    return to_bytes(np.minimum(raised, steps) / steps * 255)


def _bayer_matrix(bits: int) -> Plane:
    """Thresholds (2**bits, 2**bits) between 0 and 1, neighbours far from one another."""
    matrix = np.zeros((1, 1))
    for _ in range(bits):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    thresholds: Plane = (matrix + 0.5) / matrix.size
    return thresholds


def _even_palette(levels: int) -> Image.Image:
    """A palette with all colours of so many levels a channel, at most 6."""
    steps = np.linspace(0, 255, levels).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.tobytes())
    return palette


def _gradient(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Two to four colours that run into one another, along a line or around a point."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if rng.random() < 0.65:
        angle = rng.uniform(0, 2 * np.pi)
        run = x * np.cos(angle) + y * np.sin(angle)
    else:
        run = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height))
    run = (run - run.min()) / max(1.0, float(np.ptp(run)))
    count = int(rng.integers(2, 5))
    contrast = log_uniform(rng, *_CONTRAST)
    colours = rng.uniform(0, 255, 3) + rng.normal(0, contrast, (count, 3))
    stops = np.linspace(0, 1, count)
    channels = [np.interp(run, stops, channel) for channel in np.clip(colours, 0, 255).T]
    return np.stack(channels, axis=-1)
