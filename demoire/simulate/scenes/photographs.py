"""Pictures that could be photographs: landscapes, things on a table, foliage, house fronts.

At a glance they pass, and by their spectra too: amplitude falls about as 1/f, as in nature. Colours
come from short lists of what skies, soils and leaves look like, for free colours look like toys.
Some 40 ms at 512 px.
"""

from collections.abc import Callable

import cv2
import numpy as np

from demoire.simulate.arrays import Plane, Scene
from demoire.simulate.scenes.canvas import (
    axes,
    colour,
    fractal,
    lay_over,
    noise,
    pixels,
    to_bytes,
)

_SKIES = (  # at the top, at the horizon
    ((66, 118, 190), (198, 216, 232)),
    ((104, 146, 196), (226, 228, 222)),
    ((150, 158, 168), (214, 216, 216)),
    ((58, 76, 122), (238, 178, 122)),
    ((86, 94, 130), (232, 196, 178)),
    ((38, 52, 92), (150, 140, 160)),
)
_LANDS = (  # in shade, in light
    ((38, 54, 28), (122, 138, 70)),
    ((58, 62, 34), (170, 158, 92)),
    ((70, 52, 36), (186, 152, 110)),
    ((54, 54, 56), (158, 152, 146)),
    ((66, 44, 28), (190, 122, 58)),
    ((24, 44, 38), (86, 120, 84)),
    ((112, 118, 130), (238, 240, 244)),
)
_LEAVES = (
    (70, 104, 40),
    (104, 134, 52),
    (46, 82, 48),
    (150, 150, 62),
    (172, 116, 48),
    (128, 58, 42),
)


def _jitter(rng: np.random.Generator, shade: tuple[int, int, int], spread: float = 14) -> Plane:
    return np.clip(
        np.array(shade) + rng.normal(0, spread / 2, 3) + rng.normal(0, spread), 0, 255
    ).astype(np.float32)


def _relief(rng: np.random.Generator, height: int, width: int, roughness: float) -> Plane:
    """Rough ground lit from one side, 0..1."""
    ground = fractal(rng, height, width, roughness)
    slope = np.zeros_like(ground)
    slope[2:, 3:] = ground[2:, 3:] - ground[:-2, :-3]
    return np.clip(0.25 + 0.5 * ground + 2.0 * slope, 0, 1)


def _sky(rng: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    """A clear or cloudy sky, and the colour of its haze."""
    top, low = (_jitter(rng, shade) for shade in _SKIES[int(rng.integers(len(_SKIES)))])
    falling = np.linspace(0, 1.3, height, dtype=np.float32).clip(0, 1)[:, None, None]
    picture = np.broadcast_to(top + (low - top) * falling, (height, width, 3))
    if rng.random() < 0.75:
        clouds = cv2.resize(fractal(rng, height, max(8, width // 3), 0.52), (width, height))
        share = np.clip((clouds - rng.uniform(0.35, 0.6)) * rng.uniform(1.5, 4), 0, 0.85)
        picture = lay_over(
            picture, (235 + 60 * (clouds[..., None] - 0.7)) * (0.4 + 0.6 * low / 255), share
        )
    return picture, low


def _spruces(rng: np.random.Generator, ridge: Plane, height: int, size: float) -> Plane:
    """A line of conifers on a ridge, 0..1 (height, width)."""
    mask = np.zeros((height, len(ridge)), np.uint8)
    for x in rng.integers(0, len(ridge), int(len(ridge) / size * rng.uniform(0.3, 2))):
        tall, foot = size * rng.uniform(1, 2.6), float(ridge[x])
        steps = np.linspace(0, 1, 9)
        out = steps * tall * 0.22 * np.where(np.arange(9) % 2, 1.25, 0.7)
        y = foot - tall + steps * tall * 1.1
        outline = np.concatenate([np.stack([x + out, y], 1), np.stack([x - out, y], 1)[::-1]])
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _water(rng: np.random.Generator, picture: Plane, shore: int) -> Plane:
    """Everything below the shore mirrors what is above, in ripples."""
    height, width = picture.shape[:2]
    depth = height - shore
    x, y = axes(depth, width)
    ripples = cv2.resize(fractal(rng, depth, max(8, width // 6), 0.7), (width, depth)) - 0.5
    reach = 4 + 0.12 * y
    mirror = cv2.remap(
        picture,
        x + ripples * reach,
        np.clip(shore - 1 - y + 2 * ripples * reach, 0, shore - 1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    mirror = 0.8 * mirror + 6 + 30 * ripples[..., None]
    return np.concatenate([picture[:shore], mirror])


def _landscape(rng: np.random.Generator, height: int, width: int) -> Plane:
    picture, haze = _sky(rng, height, width)
    rows = np.arange(height, dtype=np.float32)[:, None]
    horizon, layers = rng.uniform(0.3, 0.6), int(rng.integers(2, 5))
    land = int(rng.integers(len(_LANDS)))
    relief = _relief(rng, height, width, rng.uniform(0.5, 0.66))
    patches = fractal(rng, height, width, 0.5, 5)
    for layer in range(layers):
        near = (layer + 1) / layers
        hills = fractal(rng, 4, width, rng.uniform(0.4, 0.55))[2] - 0.5
        ridge = height * (
            horizon
            + (1 - horizon) * 0.75 * layer / layers
            + rng.uniform(0.1, 0.3) * hills / (1 + layer)
        )
        shade, lit = (
            _jitter(rng, tone, 8)
            for tone in _LANDS[land if rng.random() < 0.7 else int(rng.integers(7))]
        )
        tone = np.clip(0.35 * patches + 0.65 * (relief if layer % 2 else relief[:, ::-1]), 0, 1)[
            ..., None
        ]
        ground = shade + (lit - shade) * tone
        ground = haze + (ground - haze) * np.float32(0.35 + 0.65 * near)
        picture = lay_over(picture, ground, np.clip(rows - ridge[None, :], 0, 1))
        if rng.random() < 0.5:
            trees = _spruces(rng, ridge, height, rng.uniform(0.015, 0.06) * height * near)
            dark = haze + (_jitter(rng, (30, 44, 30), 8) - haze) * np.float32(0.3 + 0.7 * near)
            picture = lay_over(picture, dark * (0.6 + 0.8 * relief[..., None]), trees)
    if rng.random() < 0.3:
        picture = _water(rng, picture, int(height * rng.uniform(0.6, 0.8)))
    return picture


def _out_of_focus(rng: np.random.Generator, height: int, width: int, shades: list[Plane]) -> Plane:
    """A background far behind: soft patches and discs of light."""
    small = 4
    rows, columns = -(-height // small), -(-width // small)
    picture = np.broadcast_to(shades[0], (rows, columns, 3))
    for shade in shades[1:]:
        picture = lay_over(
            picture, shade, np.clip(2.5 * fractal(rng, rows, columns, 0.45) - 0.8, 0, 1)
        )
    picture = np.ascontiguousarray(picture, np.float32)
    radius = rng.uniform(0.015, 0.06) * max(rows, columns)
    for _ in range(int(rng.integers(5, 30)) if rng.random() < 0.5 else 0):
        place = (int(rng.integers(columns)), int(rng.integers(rows)))
        disc = np.zeros((rows, columns), np.uint8)
        cv2.circle(
            disc,
            place,
            int(radius * rng.uniform(0.6, 1.2)) + 1,
            int(rng.integers(40, 170)),
            -1,
            cv2.LINE_AA,
        )
        picture = lay_over(picture, np.full(3, 245, np.float32), disc.astype(np.float32) / 255)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 3))
    return cv2.resize(picture, (columns * small, rows * small), interpolation=cv2.INTER_CUBIC)[
        :height, :width
    ]


def _ball(
    rng: np.random.Generator, picture: Plane, x: float, y: float, radius: float, skin: Plane
) -> None:
    """Lay a lit ball, with the shadow it throws, onto the picture."""
    height, width = picture.shape[:2]
    reach = int(2.2 * radius)
    top, bottom = max(0, int(y) - reach), min(height, int(y) + reach)
    left, right = max(0, int(x) - reach), min(width, int(x) + reach)
    if top >= bottom or left >= right:
        return
    part = picture[top:bottom, left:right]
    dx = (np.arange(left, right, dtype=np.float32)[None, :] - x) / radius
    dy = (np.arange(top, bottom, dtype=np.float32)[:, None] - y) / radius
    shadow = np.clip(1.25 - np.hypot(dx - 0.35, (dy - 0.85) * 2.6), 0, 0.55)
    far = dx**2 + dy**2
    depth = np.sqrt(np.clip(1 - far, 0, 1))
    light = np.clip(-0.5 * dx - 0.55 * dy + 0.67 * depth, 0, 1)
    tone = (0.18 + 0.9 * light + 0.12 * np.clip(dy, 0, 1))[..., None]
    gleam = 170 * np.float32(rng.uniform(0, 1)) * (light**24)[..., None]
    mottled = skin * (0.8 + 0.4 * fractal(rng, bottom - top, right - left, 0.6)[..., None])
    edge = np.clip((1 - np.sqrt(far)) * radius + 0.5, 0, 1)
    picture[top:bottom, left:right] = lay_over(
        lay_over(part, part * 0.35, shadow), mottled * tone + gleam, edge
    )


def _still_life(rng: np.random.Generator, height: int, width: int) -> Plane:
    picture = _out_of_focus(rng, height, width, [colour(rng, 30, 170, 0.4) for _ in range(3)])
    wood = cv2.resize(fractal(rng, height, max(8, width // 12), 0.62), (width, height))[..., None]
    brown = _jitter(
        rng, ((120, 86, 58), (150, 130, 108), (190, 186, 180), (70, 60, 56))[int(rng.integers(4))]
    )
    edge = height * rng.uniform(0.35, 0.65)
    rows = np.arange(height, dtype=np.float32)[:, None]
    depth = (0.75 + 0.4 * (rows - edge) / height)[..., None]
    table = brown * (0.7 + 0.6 * wood) * depth
    picture = lay_over(
        picture,
        table,
        np.broadcast_to(np.clip((rows - edge) / rng.uniform(1, 8), 0, 1), (height, width)),
    )
    picture = np.ascontiguousarray(picture, np.float32)
    feet = rng.uniform(edge + 0.1 * height, 1.02 * height, int(rng.integers(2, 7)))
    for foot in sorted(feet.tolist()):
        radius = rng.uniform(0.05, 0.16) * min(height, width) * (0.6 + 0.6 * foot / height)
        _ball(
            rng, picture, rng.uniform(0, width), foot - radius, radius, colour(rng, 60, 235, 0.75)
        )
    return picture


def _strew_leaves(rng: np.random.Generator, picture: Scene, count: int, length: float) -> None:
    """Leaves with a midrib, the later above the earlier."""
    turn = np.linspace(0, np.pi, 10)
    along = np.cos(turn)
    across = np.sin(turn) * (1 - 0.35 * along)
    upper = np.stack([along, across], 1)
    lower = np.stack([along[::-1], -np.sin(turn)[::-1] * (1 - 0.35 * along[::-1])], 1)
    blade = np.concatenate([upper, lower])
    kinds = rng.choice(len(_LEAVES), 2)
    for number in range(count):
        shade = _jitter(rng, _LEAVES[int(rng.choice(kinds))], 16) * (0.45 + 0.75 * number / count)
        angle, size = rng.uniform(0, 2 * np.pi), length * rng.uniform(0.5, 1.3)
        cos, sin = np.cos(angle), np.sin(angle)
        place = np.array([rng.uniform(0, picture.shape[1]), rng.uniform(0, picture.shape[0])])
        outline = (blade * size * (0.5, rng.uniform(0.12, 0.26))) @ np.array(
            [[cos, sin], [-sin, cos]]
        ) + place
        fixed = np.round(outline * 16).astype(np.int32)
        cv2.fillPoly(picture, [fixed], pixels(shade), cv2.LINE_AA, 4)
        cv2.fillPoly(picture, [fixed[:10]], pixels(shade * 0.86), cv2.LINE_AA, 4)
        cv2.line(
            picture, fixed[0].tolist(), fixed[9].tolist(), pixels(shade * 1.25), 1, cv2.LINE_AA, 4
        )


def _foliage(rng: np.random.Generator, height: int, width: int) -> Plane:
    shades = [_jitter(rng, _LEAVES[int(rng.integers(3))], 20) * f for f in (0.35, 0.8, 1.6)]
    behind = to_bytes(_out_of_focus(rng, height, width, shades))
    length = rng.uniform(0.06, 0.2) * min(height, width)
    _strew_leaves(rng, behind, 60, length)
    quarter = cv2.resize(behind, (width // 4 + 1, height // 4 + 1), interpolation=cv2.INTER_AREA)
    quarter = cv2.GaussianBlur(quarter, (0, 0), max(0.5, length / 24))
    behind = cv2.resize(quarter, (width, height), interpolation=cv2.INTER_CUBIC)
    _strew_leaves(rng, behind, int(rng.integers(40, 260)), length)
    light = 0.55 + 0.7 * fractal(rng, height, width, 0.5)
    return behind.astype(np.float32) * light[..., None]


def _facade(rng: np.random.Generator, height: int, width: int) -> Plane:
    stain = 0.75 + 0.4 * fractal(rng, height, width, 0.6)[..., None]
    front = (
        _jitter(
            rng,
            ((190, 172, 146), (168, 112, 88), (206, 204, 198), (150, 156, 160))[
                int(rng.integers(4))
            ],
        )
        * stain
    )
    storey, bay = (int(rng.uniform(0.09, 0.24) * min(height, width)) for _ in range(2))
    storey, bay = max(24, storey), max(20, bay)
    frame = colour(rng, 60, 250, 0.2)
    inset = rng.uniform(0.18, 0.3)
    glass = _sky(rng, storey, bay)[0] * 0.45
    for top in range(int(0.2 * storey), height, storey):
        front[top - 3 : top - 1] *= 0.8
        for left in range(int(0.1 * bay), width, bay):
            y0, y1 = top + int(inset * storey), top + int((1 - inset * 0.6) * storey)
            x0, x1 = left + int(inset * bay), left + int((1 - inset) * bay)
            pane = front[y0:y1, x0:x1]
            pane[:] = (glass * np.float32(rng.uniform(0.5, 1.5)))[: pane.shape[0], : pane.shape[1]]
            pane[:2], pane[-2:], pane[:, :2], pane[:, -2:] = frame, frame, frame, frame
            pane[:, pane.shape[1] // 2 - 1 : pane.shape[1] // 2 + 1] = frame
            front[y1 : y1 + 3, x0 - 2 : x1 + 2] = frame * 1.1
            front[y1 + 3 : y1 + 7, x0 - 2 : x1 + 2] *= 0.7
    sky, _ = _sky(rng, height, width)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    lean = (
        rng.uniform(-0.05, 0.35, (4, 2))
        * (width, height)
        * ((1, 1), (-1, 1), (-1, -0.2), (1, -0.2))
    ).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, corners + lean * np.float32(rng.uniform(0, 0.8)))
    wall = cv2.warpPerspective(
        front, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    eaves = height * rng.uniform(-0.1, 0.3) + np.arange(width, dtype=np.float32) * rng.normal(
        0, 0.15
    )
    share = np.clip(np.arange(height, dtype=np.float32)[:, None] - eaves[None, :], 0, 1)
    sunny = np.clip(
        2 + (axes(height, width, rng.uniform(0, np.pi))[0] / width - rng.uniform(0.2, 1)) * 40,
        0.62,
        1,
    )
    return lay_over(sky, wall * sunny[..., None], share)


_SUBJECTS: tuple[tuple[Callable[[np.random.Generator, int, int], Plane], float], ...] = (
    (_landscape, 0.4),
    (_still_life, 0.2),
    (_foliage, 0.2),
    (_facade, 0.2),
)


def _develop(rng: np.random.Generator, picture: Plane) -> Scene:
    """Lens, light, tone and grain: what makes a drawing look taken."""
    height, width = picture.shape[:2]
    if rng.random() < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.9))
    x, y = (
        np.linspace(-1, 1, width, dtype=np.float32) ** 2,
        np.linspace(-1, 1, height, dtype=np.float32) ** 2,
    )
    light = (1 + 0.25 * (noise(rng, height, width, 2) - 0.5)) * (
        1 - rng.uniform(0, 0.18) * (x[None, :] + y[:, None])
    )
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(0, 3))
    picture = picture * (light * np.float32(rng.uniform(0.75, 1.2)))[..., None] + grain[..., None]
    if rng.random() < 0.12:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    return to_bytes(picture)


def photograph(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A landscape, things on a table, foliage or a house front: (height, width, 3) uint8; sides of
    at least 64 px.
    """
    place = int(rng.choice(len(_SUBJECTS), p=[weight for _, weight in _SUBJECTS]))
    return _develop(rng, _SUBJECTS[place][0](rng, height, width))
