"""Outdoor scenes: landscapes and house fronts under one sky.

Some 40 ms at 512 px.
"""

import cv2
import numpy as np

from demoire.simulate.arrays import Plane
from demoire.simulate.scenes.canvas import (
    FIXED_POINT,
    FIXED_POINT_BITS,
    Area,
    axes,
    colour,
    fractal,
    lay_over,
    near,
)

# Colours of the sky at the top and at the horizon.
_SKIES = (
    ((66, 118, 190), (198, 216, 232)),
    ((104, 146, 196), (226, 228, 222)),
    ((150, 158, 168), (214, 216, 216)),
    ((58, 76, 122), (238, 178, 122)),
    ((86, 94, 130), (232, 196, 178)),
    ((38, 52, 92), (150, 140, 160)),
)
# Colours of the land in shade and in light.
_LANDS = (
    ((38, 54, 28), (122, 138, 70)),
    ((58, 62, 34), (170, 158, 92)),
    ((70, 52, 36), (186, 152, 110)),
    ((54, 54, 56), (158, 152, 146)),
    ((66, 44, 28), (190, 122, 58)),
    ((24, 44, 38), (86, 120, 84)),
    ((112, 118, 130), (238, 240, 244)),
)

_WALLS = ((190, 172, 146), (168, 112, 88), (206, 204, 198), (150, 156, 160))


def landscape(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Sky over two to four ridges, the farther the hazier, with trees and water or without."""
    picture, haze = _sky(rng, height, width)
    rows = np.arange(height, dtype=np.float32)[:, None]
    horizon = rng.uniform(0.3, 0.6)
    layers = int(rng.integers(2, 5))
    land = int(rng.integers(len(_LANDS)))
    relief = _relief(rng, height, width, rng.uniform(0.5, 0.66))
    patches = fractal(rng, height, width, 0.5, 5)
    for layer in range(layers):
        nearness = (layer + 1) / layers
        hills = fractal(rng, 4, width, rng.uniform(0.4, 0.55))[2] - 0.5
        base = horizon + (1 - horizon) * 0.75 * layer / layers
        ridge = height * (base + rng.uniform(0.1, 0.3) * hills / (1 + layer))
        number = land if rng.random() < 0.7 else int(rng.integers(len(_LANDS)))
        shade_colour, lit_colour = _LANDS[number]
        shade = near(rng, shade_colour, 8)
        lit = near(rng, lit_colour, 8)
        layer_relief = relief if layer % 2 else relief[:, ::-1]
        tone = np.clip(0.35 * patches + 0.65 * layer_relief, 0, 1)[..., None]
        ground = shade + (lit - shade) * tone
        ground = haze + (ground - haze) * np.float32(0.35 + 0.65 * nearness)
        picture = lay_over(picture, ground, np.clip(rows - ridge[None, :], 0, 1))
        if rng.random() < 0.5:
            trees = _spruces(rng, ridge, height, rng.uniform(0.015, 0.06) * height * nearness)
            dark = haze + (near(rng, (30, 44, 30), 8) - haze) * np.float32(0.3 + 0.7 * nearness)
            picture = lay_over(picture, dark * (0.6 + 0.8 * relief[..., None]), trees)
    if rng.random() < 0.3:
        picture = _water(rng, picture, int(height * rng.uniform(0.6, 0.8)))
    return picture


def facade(rng: np.random.Generator, height: int, width: int) -> Plane:
    """A wall with rows of windows, seen at an angle, under the sky."""
    front = _draw_front(rng, height, width)
    sky, _ = _sky(rng, height, width)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inwards = ((1, 1), (-1, 1), (-1, -0.2), (1, -0.2))
    lean = (rng.uniform(-0.05, 0.35, (4, 2)) * (width, height) * inwards).astype(np.float32)
    tilted = corners + lean * np.float32(rng.uniform(0, 0.8))
    matrix = cv2.getPerspectiveTransform(corners, tilted)
    wall = cv2.warpPerspective(
        front, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    eaves = height * rng.uniform(-0.1, 0.3) + columns * rng.normal(0, 0.15)
    share = np.clip(rows - eaves[None, :], 0, 1)
    # A shadow with a straight edge lies on a part of the wall.
    across, _ = axes(height, width, rng.uniform(0, np.pi))
    sunny = np.clip(2 + (across / width - rng.uniform(0.2, 1)) * 40, 0.62, 1)
    return lay_over(sky, wall * sunny[..., None], share)


def _relief(rng: np.random.Generator, height: int, width: int, roughness: float) -> Plane:
    """Rough ground lit from one side, 0..1."""
    ground = fractal(rng, height, width, roughness)
    slope = np.zeros_like(ground)
    slope[2:, 3:] = ground[2:, 3:] - ground[:-2, :-3]
    return np.clip(0.25 + 0.5 * ground + 2.0 * slope, 0, 1)


def _sky(rng: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    """A clear or cloudy sky, and the colour of its haze."""
    top_shade, low_shade = _SKIES[int(rng.integers(len(_SKIES)))]
    top = near(rng, top_shade)
    low = near(rng, low_shade)
    falling = np.linspace(0, 1.3, height, dtype=np.float32).clip(0, 1)[:, None, None]
    picture = np.broadcast_to(top + (low - top) * falling, (height, width, 3))
    if rng.random() < 0.75:
        clouds = cv2.resize(fractal(rng, height, max(8, width // 3), 0.52), (width, height))
        share = np.clip((clouds - rng.uniform(0.35, 0.6)) * rng.uniform(1.5, 4), 0, 0.85)
        white = (235 + 60 * (clouds[..., None] - 0.7)) * (0.4 + 0.6 * low / 255)
        picture = lay_over(picture, white, share)
    return picture, low


def _spruces(rng: np.random.Generator, ridge: Plane, height: int, size: float) -> Plane:
    """A line of conifers on a ridge, 0..1 (height, width)."""
    mask = np.zeros((height, len(ridge)), np.uint8)
    for x in rng.integers(0, len(ridge), int(len(ridge) / size * rng.uniform(0.3, 2))):
        tall = size * rng.uniform(1, 2.6)
        foot = float(ridge[x])
        # From the tip down each side, in and out by turns: boughs.
        steps = np.linspace(0, 1, 9)
        reach = steps * tall * 0.22 * np.where(np.arange(9) % 2, 1.25, 0.7)
        y = foot - tall + steps * tall * 1.1
        right = np.stack([x + reach, y], 1)
        left = np.stack([x - reach, y], 1)
        outline = np.concatenate([right, left[::-1]])
        points = np.round(outline * FIXED_POINT).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, FIXED_POINT_BITS)
    return mask.astype(np.float32) / 255


def _water(rng: np.random.Generator, picture: Plane, shore: int) -> Plane:
    """Everything below the shore mirrors what is above, in ripples."""
    height, width = picture.shape[:2]
    depth = height - shore
    x, y = axes(depth, width)
    ripples = cv2.resize(fractal(rng, depth, max(8, width // 6), 0.7), (width, depth)) - 0.5
    reach = 4 + 0.12 * y  # px: waves near by show more of what is above
    from_x = x + ripples * reach
    from_y = np.clip(shore - 1 - y + 2 * ripples * reach, 0, shore - 1)
    mirror = cv2.remap(picture, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    mirror = 0.8 * mirror + 6 + 30 * ripples[..., None]
    return np.concatenate([picture[:shore], mirror])


def _draw_front(rng: np.random.Generator, height: int, width: int) -> Plane:
    """The wall seen straight on: a ledge on each storey, and a window in each bay."""
    stain = 0.75 + 0.4 * fractal(rng, height, width, 0.6)[..., None]
    front = near(rng, _WALLS[int(rng.integers(len(_WALLS)))]) * stain
    storey = max(24, int(rng.uniform(0.09, 0.24) * min(height, width)))
    bay = max(20, int(rng.uniform(0.09, 0.24) * min(height, width)))
    frame = colour(rng, 60, 250, 0.2)
    inset = rng.uniform(0.18, 0.3)
    reflected, _ = _sky(rng, storey, bay)
    glass = reflected * 0.45
    for top in range(int(0.2 * storey), height, storey):
        front[top - 3 : top - 1] *= 0.8
        for left in range(int(0.1 * bay), width, bay):
            window = Area(
                left=left + int(inset * bay),
                top=top + int(inset * storey),
                right=left + int((1 - inset) * bay),
                bottom=top + int((1 - inset * 0.6) * storey),
            )
            _draw_glass(front, window, glass * np.float32(rng.uniform(0.5, 1.5)), frame)
    return front


def _draw_glass(front: Plane, window: Area, glass: Plane, frame: Plane) -> None:
    """A pane with its frame, a mullion, and a sill with its shadow."""
    left, top, right, bottom = window
    pane = front[top:bottom, left:right]
    height, width = pane.shape[:2]
    pane[:] = glass[:height, :width]
    for edge in (pane[:2], pane[-2:], pane[:, :2], pane[:, -2:]):
        edge[:] = frame
    pane[:, width // 2 - 1 : width // 2 + 1] = frame
    front[bottom : bottom + 3, left - 2 : right + 2] = frame * 1.1
    front[bottom + 3 : bottom + 7, left - 2 : right + 2] *= 0.7
