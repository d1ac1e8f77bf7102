"""Paintings on canvas: brush strokes over a weave that shows through the paint.

The threads of a canvas lie on a grid, and light from the side gives each of them a bright and a
dark flank. A photograph of a painting therefore shows fine regular bands, and is clean. Some 0.3 s
for a painting of 1024 px on one core.
"""

import cv2
import numpy as np

from demoire.simulate.arrays import Plane, Scene, to_bytes
from demoire.simulate.draws import log_uniform
from demoire.simulate.scenes.canvas import noise, side_light
from demoire.simulate.scenes.materials import hashed, round_thread, sagging

_PERIOD = (7.0, 26.0)  # px from thread to thread
_DEPTH = (0.03, 0.3)  # of the tone, by which the relief brightens and darkens it (RMS)
_DIRECTIONS = 4  # of brush strokes
_STROKE = (15, 45)  # px, length of the brush's traces
_SMEAR = 6.0  # px by which a stroke carries paint, at most
_STEEPEST = 0.8  # most that the relief changes the tone


def paint_on_canvas(picture: Scene, side: int, rng: np.random.Generator) -> Scene:
    """Paint a picture on canvas, lit from the side.

    Args:
        picture: (h, w, 3), what the painting shows.
        side: Side of the painting to be, px.
        rng: Decides everything else.

    Returns:
        (side, side, 3).
    """
    strokes = _brush_strokes(rng, side)
    painted = _smeared(_part_of(picture, side, rng), strokes, rng)
    thickness = rng.uniform(0, 1) * np.clip(noise(rng, side, side, 6), 0, 1)
    relief = (1 - thickness) * _canvas_relief(rng, side)
    relief += np.float32(rng.uniform(0, 0.6)) * thickness * strokes
    depth = log_uniform(rng, *_DEPTH)
    tone = 1 + np.clip(depth * _shading(relief, rng), -_STEEPEST, _STEEPEST)
    return to_bytes(painted * tone[..., None].astype(np.float32))


def _part_of(picture: Scene, side: int, rng: np.random.Generator) -> Plane:
    """A square of the picture, half of its shorter side or more, at the painting's size."""
    extent = round(min(picture.shape[:2]) * rng.uniform(0.5, 1))
    top = int(rng.integers(picture.shape[0] - extent + 1))
    left = int(rng.integers(picture.shape[1] - extent + 1))
    crop = picture[top : top + extent, left : left + extent]
    part: Plane = cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return part


def _brush_strokes(rng: np.random.Generator, side: int) -> Plane:
    """The traces of a brush that changes its direction from place to place, about -1..1."""
    first = rng.uniform(0, np.pi)
    turning = _DIRECTIONS * noise(rng, side, side, 5)
    total = np.zeros((side, side), np.float32)
    for number in range(_DIRECTIONS):
        kernel = _line(int(rng.integers(*_STROKE)), first + number * np.pi / _DIRECTIONS)
        traces = cv2.filter2D(rng.standard_normal((side, side), dtype=np.float32), -1, kernel)
        share = np.clip(1 - np.abs(turning - number - 0.5), 0, 1)
        total += share * traces / (3 * float(traces.std()))
    return total


def _line(length: int, angle: float) -> Plane:
    """A filter kernel that averages along a line."""
    side = 2 * (length // 2) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    begin = tuple(np.rint(middle - reach).astype(int).tolist())
    end = tuple(np.rint(middle + reach).astype(int).tolist())
    cv2.line(kernel, begin, end, 1.0, 1)
    return kernel / float(kernel.sum())


def _smeared(shown: Plane, strokes: Plane, rng: np.random.Generator) -> Plane:
    """The picture with its edges carried along by the brush, and its tone uneven."""
    side = len(shown)
    axis = np.arange(side, dtype=np.float32)
    carry = np.float32(rng.uniform(0, _SMEAR))
    x = axis[None, :] + carry * strokes
    y = axis[:, None] - carry * strokes
    moved = cv2.remap(shown, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    uneven: Plane = moved + np.float32(rng.uniform(0, 20)) * strokes[..., None]
    return uneven


def _canvas_relief(rng: np.random.Generator, side: int) -> Plane:
    """How high each thread lies, 0..1: one over one under one, as thick as it was spun."""
    period = float(rng.uniform(*_PERIOD))
    u, v = sagging(rng, side, side, period)
    warp = np.floor(u / period)
    weft = np.floor(v / period)
    is_over = (warp + weft) % 2 < 1
    across = np.where(is_over, u, v)
    along = np.where(is_over, v, u)
    spun = np.where(is_over, hashed(warp, 1), hashed(weft, 2))
    # A thread comes up where it goes over the other and dives on either side.
    relief: Plane = round_thread(across, period) * (0.4 + 0.6 * round_thread(along, period))
    return relief * (0.7 + 0.3 * spun)


def _shading(relief: Plane, rng: np.random.Generator) -> Plane:
    """What light from the side and from above makes of the relief, of about deviation 1."""
    soft = cv2.GaussianBlur(relief, (0, 0), 1.0)
    # What lies low is darker.
    height = (soft - soft.mean()) / (float(soft.std()) + 1e-6)
    shading: Plane = side_light(rng, soft) + np.float32(rng.uniform(0, 0.8)) * height
    return shading
