"""Pictures that could be photographs: landscapes, things on a table, foliage, house fronts.

At a glance they pass, and by their spectra too: amplitude falls about as 1/f, as in nature. Colours
come from short lists of what skies, soils and leaves look like, since free colours look like toys.
Some 40 ms at 512 px.
"""

from collections.abc import Callable

import cv2
import numpy as np

from demoire.simulate.arrays import Plane, Scene, to_bytes
from demoire.simulate.scenes.canvas import (
    FIXED_POINT,
    FIXED_POINT_BITS,
    colour,
    fractal,
    lay_over,
    near,
    noise,
    pixels,
)
from demoire.simulate.scenes.outdoors import facade, landscape

_LEAVES = (
    (70, 104, 40),
    (104, 134, 52),
    (46, 82, 48),
    (150, 150, 62),
    (172, 116, 48),
    (128, 58, 42),
)


_COARSER = 4  # times: what is out of focus is drawn small and enlarged

_BLADE_POINTS = 10  # of the outline of half a leaf

_WOODS = ((120, 86, 58), (150, 130, 108), (190, 186, 180), (70, 60, 56))


def photograph(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A landscape, things on a table, foliage or a house front, (height, width, 3).

    Sides of at least 64 px.
    """
    weights = [weight for _, weight in _SUBJECTS]
    draw_subject, _ = _SUBJECTS[int(rng.choice(len(_SUBJECTS), p=weights))]
    return _develop(rng, draw_subject(rng, height, width))


def _develop(rng: np.random.Generator, picture: Plane) -> Scene:
    """Lens, light, tone and grain: what makes a drawing look taken."""
    height, width = picture.shape[:2]
    if rng.random() < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.9))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] ** 2
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    uneven = 1 + 0.25 * (noise(rng, height, width, 2) - 0.5)
    vignette = 1 - rng.uniform(0, 0.18) * (x + y)
    light = uneven * vignette
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(0, 3))
    exposure = np.float32(rng.uniform(0.75, 1.2))
    picture = picture * (light * exposure)[..., None] + grain[..., None]
    if rng.random() < 0.12:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    return to_bytes(picture)


def _out_of_focus(rng: np.random.Generator, height: int, width: int, shades: list[Plane]) -> Plane:
    """A background far behind: soft patches and discs of light."""
    rows = -(-height // _COARSER)
    columns = -(-width // _COARSER)
    picture: Plane = np.broadcast_to(shades[0], (rows, columns, 3))
    for shade in shades[1:]:
        share = np.clip(2.5 * fractal(rng, rows, columns, 0.45) - 0.8, 0, 1)
        picture = lay_over(picture, shade, share)
    picture = np.ascontiguousarray(picture, np.float32)
    radius = rng.uniform(0.015, 0.06) * max(rows, columns)
    discs = int(rng.integers(5, 30)) if rng.random() < 0.5 else 0
    for _ in range(discs):
        centre = (int(rng.integers(columns)), int(rng.integers(rows)))
        size = int(radius * rng.uniform(0.6, 1.2)) + 1
        brightness = int(rng.integers(40, 170))
        disc = np.zeros((rows, columns), np.uint8)
        cv2.circle(disc, centre, size, brightness, -1, cv2.LINE_AA)
        share = disc.astype(np.float32) / 255
        picture = lay_over(picture, np.full(3, 245, np.float32), share)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 3))
    full = (columns * _COARSER, rows * _COARSER)
    enlarged: Plane = cv2.resize(picture, full, interpolation=cv2.INTER_CUBIC)
    return enlarged[:height, :width]


def _ball(
    rng: np.random.Generator, picture: Plane, centre: tuple[float, float], radius: float
) -> None:
    """Lay a lit ball of a random colour, with the shadow it throws, onto the picture."""
    skin = colour(rng, 60, 235, 0.75)
    height, width = picture.shape[:2]
    x, y = centre
    reach = int(2.2 * radius)
    top = max(0, int(y) - reach)
    bottom = min(height, int(y) + reach)
    left = max(0, int(x) - reach)
    right = min(width, int(x) + reach)
    if top >= bottom or left >= right:
        return
    part = picture[top:bottom, left:right]
    dx = (np.arange(left, right, dtype=np.float32)[None, :] - x) / radius
    dy = (np.arange(top, bottom, dtype=np.float32)[:, None] - y) / radius
    shadow = np.clip(1.25 - np.hypot(dx - 0.35, (dy - 0.85) * 2.6), 0, 0.55)
    far = dx**2 + dy**2
    # The ball's surface is (dx, dy, depth) on the unit sphere, and the light comes from the upper
    # left, above the table. Some light comes back from the table below.
    depth = np.sqrt(np.clip(1 - far, 0, 1))
    light = np.clip(-0.5 * dx - 0.55 * dy + 0.67 * depth, 0, 1)
    tone = (0.18 + 0.9 * light + 0.12 * np.clip(dy, 0, 1))[..., None]
    gleam = 170 * np.float32(rng.uniform(0, 1)) * (light**24)[..., None]
    mottled = skin * (0.8 + 0.4 * fractal(rng, bottom - top, right - left, 0.6)[..., None])
    edge = np.clip((1 - np.sqrt(far)) * radius + 0.5, 0, 1)
    shaded = lay_over(part, part * 0.35, shadow)
    picture[top:bottom, left:right] = lay_over(shaded, mottled * tone + gleam, edge)


def _still_life(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Balls on a wooden table before something out of focus."""
    shades = [colour(rng, 30, 170, 0.4) for _ in range(3)]
    picture = _out_of_focus(rng, height, width, shades)
    wood = cv2.resize(fractal(rng, height, max(8, width // 12), 0.62), (width, height))[..., None]
    brown = near(rng, _WOODS[int(rng.integers(len(_WOODS)))])
    edge = height * rng.uniform(0.35, 0.65)
    rows = np.arange(height, dtype=np.float32)[:, None]
    depth = (0.75 + 0.4 * (rows - edge) / height)[..., None]
    table = brown * (0.7 + 0.6 * wood) * depth
    share = np.clip((rows - edge) / rng.uniform(1, 8), 0, 1)
    picture = lay_over(picture, table, np.broadcast_to(share, (height, width)))
    picture = np.ascontiguousarray(picture, np.float32)
    feet = rng.uniform(edge + 0.1 * height, 1.02 * height, int(rng.integers(2, 7)))
    # The nearer, which stand lower in the picture, come last and are larger.
    for foot in sorted(feet.tolist()):
        radius = rng.uniform(0.05, 0.16) * min(height, width) * (0.6 + 0.6 * foot / height)
        _ball(rng, picture, (rng.uniform(0, width), foot - radius), radius)
    return picture


def _strew_leaves(rng: np.random.Generator, picture: Scene, count: int, length: float) -> None:
    """Leaves with a midrib, the later above the earlier and lighter."""
    turn = np.linspace(0, np.pi, _BLADE_POINTS)
    along = np.cos(turn)
    half = np.sin(turn) * (1 - 0.35 * along)  # broader towards the stalk
    upper = np.stack([along, half], 1)
    lower = np.stack([along, -half], 1)
    blade = np.concatenate([upper, lower[::-1]])
    kinds = rng.choice(len(_LEAVES), 2)
    for number in range(count):
        green = _LEAVES[int(rng.choice(kinds))]
        shade = near(rng, green, 16) * (0.45 + 0.75 * number / count)
        angle = rng.uniform(0, 2 * np.pi)
        size = length * rng.uniform(0.5, 1.3)
        cos = np.cos(angle)
        sin = np.sin(angle)
        centre = np.array([rng.uniform(0, picture.shape[1]), rng.uniform(0, picture.shape[0])])
        rotation = np.array([[cos, sin], [-sin, cos]])
        outline = (blade * size * (0.5, rng.uniform(0.12, 0.26))) @ rotation + centre
        points = np.round(outline * FIXED_POINT).astype(np.int32)
        tip = points[0].tolist()
        stalk = points[_BLADE_POINTS - 1].tolist()
        bits = FIXED_POINT_BITS
        cv2.fillPoly(picture, [points], pixels(shade), cv2.LINE_AA, bits)
        cv2.fillPoly(picture, [points[:_BLADE_POINTS]], pixels(shade * 0.86), cv2.LINE_AA, bits)
        cv2.line(picture, tip, stalk, pixels(shade * 1.25), 1, cv2.LINE_AA, bits)


def _foliage(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Leaves in focus before leaves that are not."""
    shades = []
    for brightness in (0.35, 0.8, 1.6):
        green = _LEAVES[int(rng.integers(3))]
        shades.append(near(rng, green, 20) * brightness)
    behind = to_bytes(_out_of_focus(rng, height, width, shades))
    length = rng.uniform(0.06, 0.2) * min(height, width)
    _strew_leaves(rng, behind, 60, length)
    quarter = cv2.resize(behind, (width // 4 + 1, height // 4 + 1), interpolation=cv2.INTER_AREA)
    quarter = cv2.GaussianBlur(quarter, (0, 0), max(0.5, length / 24))
    picture = cv2.resize(quarter, (width, height), interpolation=cv2.INTER_CUBIC)
    _strew_leaves(rng, picture, int(rng.integers(40, 260)), length)
    light = 0.55 + 0.7 * fractal(rng, height, width, 0.5)
    lit: Plane = picture.astype(np.float32) * light[..., None]
    return lit


# What is drawn, and how often.
_SUBJECTS: tuple[tuple[Callable[[np.random.Generator, int, int], Plane], float], ...] = (
    (landscape, 0.4),
    (_still_life, 0.2),
    (_foliage, 0.2),
    (facade, 0.2),
)
