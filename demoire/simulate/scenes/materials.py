"""Materials with a regular structure: cloth, knitwear, carpet, shingles, house fronts, wood.

They are drawn large, with periods of 14 to 60 px, to be photographed from a distance afterwards
(`demoire.simulate.surfaces`). None is exactly regular: threads sag, stitches differ, and no two
shingles have one colour, as on real cloth and real roofs. Every drawing takes (rng, height, width)
and gives (height, width, 3) uint8 sRGB; 50 to 150 ms at 1024 px.
"""

from collections.abc import Callable

import cv2
import numpy as np

from demoire.simulate.arrays import Plane, Scene, to_bytes
from demoire.simulate.scenes.canvas import (
    axes,
    colour,
    fractal,
    lay_over,
    noise,
    side_light,
    stripes,
)

_COARSE = 4  # px, to each of which ridges are drawn before they are smoothed


def twill(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Threads over two and under two, each row a thread further: denim, a car seat."""
    period = rng.uniform(14, 30)
    u, v = sagging(rng, height, width, period)
    warp = np.floor(u / period)
    weft = np.floor(v / period)
    is_over = (warp + weft) % 4 < 2
    tone = np.where(is_over, round_thread(u, period), round_thread(v, period))
    tone = tone * (0.85 + 0.15 * np.where(is_over, hashed(warp, 1), hashed(weft, 2)))
    threads = lay_over(_dyed(rng, tone), _dyed(rng, tone), is_over.astype(np.float32))
    return _with_nap(rng, threads)


def basket(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Strips of several threads that go over and under: canvas, rattan, a chair's seat."""
    period = rng.uniform(24, 60)
    threads = int(rng.integers(1, 4))
    u, v = sagging(rng, height, width, period)
    is_over = (np.floor(u / period) + np.floor(v / period)) % 2 < 1
    across = np.where(is_over, u, v)
    along = np.where(is_over, v, u)
    tone = round_thread(across, period / threads) * (0.55 + 0.45 * round_thread(along, period))
    strip = np.floor(across * threads / period)
    return _with_nap(rng, _dyed(rng, tone * (0.85 + 0.15 * hashed(strip, 3))))


def knit(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Columns of V-shaped stitches: a pullover."""
    period = rng.uniform(18, 44)
    u, v = sagging(rng, height, width, period)
    wale = np.floor(u / period)
    within = u / period - wale
    lean = np.float32(rng.uniform(0.6, 1.1) * period)
    course = v - lean * np.abs(within - 0.5)
    tall = period * rng.uniform(0.6, 0.9)
    arm = np.abs(np.sin(2 * np.pi * within))
    tone = (0.35 + 0.65 * round_thread(course, tall)) * (0.4 + 0.6 * arm)
    stitch = hashed(wale, np.floor(course / tall))
    return _with_nap(rng, _dyed(rng, tone * (0.8 + 0.2 * stitch)))


def pile(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Loops in rows, each a little out of its place: carpet, towelling, a doormat."""
    period = rng.uniform(16, 40)
    u, v = sagging(rng, height, width, period)
    column, row = np.floor(u / period), np.floor(v / period)
    u = u + np.float32(0.25 * period) * (hashed(column, row) - 0.5)
    v = v + np.float32(0.25 * period) * (hashed(row, column + 7) - 0.5)
    tone = round_thread(u, period) * round_thread(v, period) * (0.6 + 0.4 * hashed(column + 3, row))
    return _with_nap(rng, _dyed(rng, tone))


def shingles(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Courses of shingles or tiles, each with the shadow of the one above."""
    tall = rng.uniform(16, 50)
    wide = tall * rng.uniform(0.6, 2)
    u, v = sagging(rng, height, width, tall)
    course = np.floor(v / tall)
    shifted = u + np.float32(wide) * hashed(course, 5)
    number = np.floor(shifted / wide)
    shadow = 1 - np.clip(1 - (v / tall - course) * np.float32(rng.uniform(3, 8)), 0, 1) * 0.6
    tone = shadow * (0.5 + 0.5 * hashed(course, number))
    joint = stripes(shifted, wide, max(1.5, 0.06 * wide))
    if rng.random() < 0.4:  # rounded tiles
        tone = tone * (0.4 + 0.6 * round_thread(shifted, wide))
    return _with_nap(rng, _dyed(rng, tone * (1 - 0.6 * joint)))


def plaster(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A rough wall, or the grain of paper: bumps of many sizes, lit from the side."""
    bumps = fractal(rng, height, width, rng.uniform(0.6, 0.9), rng.uniform(6, 40))
    relief = cv2.GaussianBlur(bumps, (0, 0), rng.uniform(0.8, 4))
    depth = np.float32(rng.uniform(0.04, 0.2))
    tone = 0.7 + depth * side_light(rng, relief)
    return _with_nap(rng, _dyed(rng, np.clip(tone, 0, 1)))


def wood(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Boards or veneer: year rings cut along the trunk, and fine pores."""
    is_upright = rng.random() < 0.5
    angle = (np.pi / 2 if is_upright else 0.0) + rng.normal(0, 0.03)
    _, across = axes(height, width, angle)
    grown = across / rng.uniform(14, 60)
    grown = grown + rng.uniform(1, 6) * fractal(rng, height, width, 0.35, 2)
    length = int(rng.integers(15, 60))
    along = (1, length) if is_upright else (length, 1)
    pores = cv2.blur(rng.standard_normal((height, width), dtype=np.float32), along)
    pores = pores / float(pores.std())
    tone = 0.75 - 0.5 * (grown % 1) ** 4 + np.float32(rng.uniform(0.02, 0.12)) * pores
    return _with_nap(rng, _dyed(rng, np.clip(tone, 0, 1)))


def ridges(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Ridges that run beside each other, end and fork: a fingerprint, sand, brain coral.

    Noise of one wavelength that is hardened again and again orders itself so.
    """
    rows = -(-height // _COARSE)
    columns = -(-width // _COARSE)
    wide = rng.uniform(1.2, 2.6)
    plane = rng.standard_normal((rows, columns), dtype=np.float32)
    for _ in range(12):
        band = cv2.GaussianBlur(plane, (0, 0), wide) - cv2.GaussianBlur(plane, (0, 0), 2 * wide)
        plane = np.tanh(band * np.float32(2.5 / (float(band.std()) + 1e-6)))
    size = (_COARSE * columns, _COARSE * rows)
    smooth = cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC)
    tone = 0.5 + 0.5 * smooth[:height, :width]
    return _with_nap(rng, _dyed(rng, np.clip(tone, 0, 1)))


def storeys(rng: np.random.Generator, height: int, width: int) -> Scene:
    """The windows of a tall building: each lit, curtained or dark on its own."""
    tall = rng.uniform(20, 60)
    wide = tall * rng.uniform(0.4, 1.5)
    x, y = axes(height, width, rng.normal(0, 0.02))
    storey, bay = np.floor(y / tall), np.floor(x / wide)
    floor = stripes(y, tall, tall * rng.uniform(0.2, 0.5))
    pier = stripes(x, wide, wide * rng.uniform(0.1, 0.4))
    mullion = stripes(x, wide / 2, max(1.0, 0.04 * wide))
    wall = np.maximum(np.maximum(floor, pier), mullion * np.float32(0.8))
    glass = _dyed(rng, 0.2 + 0.8 * hashed(storey, bay) ** 2)
    stained = colour(rng, 70, 235, 0.3) * (0.8 + 0.3 * fractal(rng, height, width, 0.6)[..., None])
    return to_bytes(lay_over(glass, stained, wall))


def wire_mesh(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Wires that cross before something dark or light: a sieve, a loudspeaker, a fly screen."""
    period = rng.uniform(14, 40)
    u, v = sagging(rng, height, width, period)
    wire = period * rng.uniform(0.2, 0.55)
    lit = np.where((np.floor(u / period) + np.floor(v / period)) % 2 < 1, 0.8, 1.0)
    wires = np.maximum(stripes(u, period, wire), stripes(v, period, wire))
    behind = _dyed(rng, fractal(rng, height, width, 0.4))
    metal = colour(rng, 20, 230, 0.3) * lit[..., None].astype(np.float32)
    return to_bytes(lay_over(behind, metal, wires))


def sagging(
    rng: np.random.Generator, height: int, width: int, period: float
) -> tuple[Plane, Plane]:
    """Coordinates along and across, out of place by up to a third of a period, in folds."""
    u, v = axes(height, width, rng.normal(0, 0.05))
    slack = np.float32(period * rng.uniform(0, 0.35))
    folds = np.float32(rng.uniform(0, 0.02) * max(height, width))
    u = u + slack * noise(rng, height, width, 20) + folds * noise(rng, height, width, 3)
    v = v + slack * noise(rng, height, width, 20) + folds * noise(rng, height, width, 3)
    return u, v


def round_thread(across: Plane, period: float) -> Plane:
    """The light on a round thread, 0.15..1: dark at its edges."""
    plane: Plane = 0.15 + 0.85 * np.abs(np.sin(np.float32(np.pi / period) * across))
    return plane


def hashed(one: Plane, other: Plane | int) -> Plane:
    """0..1 for each pair of whole numbers; neighbours have nothing in common."""
    plane: Plane = np.abs(np.sin(one * 12.9898 + other * 78.233 + 1.7) * 437.585) % 1
    return plane.astype(np.float32)


def _dyed(rng: np.random.Generator, tone: Plane) -> Plane:
    """A tone 0..1 between a dark and a light colour."""
    dark = colour(rng, 5, 90)
    light = colour(rng, 80, 250)
    dyed: Plane = dark + (light - dark) * tone[..., None].astype(np.float32)
    return dyed


def _with_nap(rng: np.random.Generator, cloth: Plane) -> Scene:
    """Fluff, dirt and wear over everything."""
    height, width = cloth.shape[:2]
    worn = 1 + np.float32(rng.uniform(0, 0.5)) * (fractal(rng, height, width, 0.6) - 0.5)
    fluff = rng.standard_normal((height, width), dtype=np.float32)
    fluff = cv2.GaussianBlur(fluff, (0, 0), 1.5) * np.float32(rng.uniform(0, 30))
    return to_bytes(cloth * worn[..., None] + fluff[..., None])


MATERIALS: dict[str, Callable[[np.random.Generator, int, int], Scene]] = {
    "basket": basket,
    "knit": knit,
    "pile": pile,
    "plaster": plaster,
    "ridges": ridges,
    "shingles": shingles,
    "storeys": storeys,
    "twill": twill,
    "wire_mesh": wire_mesh,
    "wood": wood,
}
