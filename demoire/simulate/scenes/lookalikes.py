"""Clean pictures that a careless detector takes for moiré: blinds, cloth, engravings, small type.

They have to come out of a cleaning byte for byte as they went in, so they train the detector and
test it. All are sampled properly: periods stay at 3.5 px or more, and stripes are integrated over
each pixel (`canvas.stripes`), since a look-alike that aliases would be moiré. Every drawing takes
(rng, height, width) and gives (height, width, 3) uint8 sRGB; 10 to 60 ms at 512 px.
"""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw

from demoire.simulate.arrays import Plane, Scene, to_bytes
from demoire.simulate.scenes.canvas import (
    FACES,
    FIXED_POINT,
    FIXED_POINT_BITS,
    axes,
    colour,
    fit_line,
    font,
    fractal,
    lay_over,
    noise,
    pixels,
    stripes,
    tinted,
    words,
)
from demoire.simulate.scenes.photographs import photograph

_FINE = 3  # oversampling of what OpenCV draws


def _direction(rng: np.random.Generator) -> float:
    """An angle in radians: upright or level for one in two, else anything."""
    if rng.random() < 0.5:
        return float(rng.uniform(0, np.pi))
    return float(rng.choice([0, np.pi / 2]) + rng.normal(0, 0.02))


def _bent(
    rng: np.random.Generator, height: int, width: int, bend: float, angle: float | None = None
) -> Plane:
    """The coordinate along some direction, bent: it advances by 1 give or take `bend` a pixel."""
    if angle is None:
        angle = _direction(rng)
    along, _ = axes(height, width, angle)
    longer = max(height, width)
    return along + np.float32(bend * longer / 8) * noise(rng, height, width, 3)


def blinds(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Slats, lit from above, with a gap between them."""
    across = _bent(rng, height, width, rng.uniform(0, 0.15))
    period = rng.uniform(4, 26)
    gaps = stripes(across, period, period * rng.uniform(0.2, 0.6))
    if period > 8:
        shaded = stripes(across, period, period * 0.5)
        gaps = 0.75 * gaps + 0.25 * shaded
    return tinted(rng, gaps, rng.uniform(0.2, 1))


def corduroy(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Soft ribs of cloth in folds, with a nap."""
    across = _bent(rng, height, width, rng.uniform(0.05, 0.3))
    ribs = 0.5 + 0.5 * np.cos(2 * np.pi / rng.uniform(4.5, 20) * across)
    nap = fractal(rng, height, width, 0.75)
    cloth = np.clip(0.75 * ribs + 0.5 * (nap - 0.3), 0, 1)
    return tinted(rng, cloth, rng.uniform(0.15, 0.8))


def woven_cloth(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Warp over weft, threads of 2.5 to 7 px, in folds."""
    period = rng.uniform(5, 14)
    along, across = axes(height, width, _direction(rng))
    folds = rng.uniform(0, 0.1) * max(height, width) / 8 * noise(rng, height, width, 4)
    u = 2 * np.pi * (along + folds) / period
    v = 2 * np.pi * (across + folds) / period
    # Where warp lies over weft: a chessboard with soft edges.
    over = 0.5 + 0.5 * np.tanh(1.5 * np.cos(u / 2) * np.cos(v / 2))
    threads = over * (0.6 + 0.4 * np.cos(u)) + (1 - over) * (0.6 + 0.4 * np.cos(v))
    cloth = np.clip(threads * (0.7 + 0.5 * fractal(rng, height, width)), 0, 1)
    return tinted(rng, cloth, rng.uniform(0.3, 1))


def engraving(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Shading by black lines that swell with the tone, and contours of the things shown.

    The lines are crossed where it is dark.
    """
    tone = 0.5 * fractal(rng, height, width, 0.4) + 0.5 * noise(rng, height, width, 2.5)
    ink = np.zeros((height, width), np.float32)
    period = rng.uniform(4.5, 10)
    angle = _direction(rng)
    for number in range(int(rng.integers(1, 3))):
        darkness = np.clip(rng.uniform(0.9, 1.1) - 0.3 * number - tone, 0, 0.8)
        across = _bent(rng, height, width, rng.uniform(0, 0.15), angle)
        ink = np.maximum(ink, stripes(across, period, period * darkness))
        # Lines are crossed at a clear angle: if they nearly agreed, they would beat.
        angle += rng.uniform(0.6, 1.1)
    # A contour is where a random surface crosses zero; the distance to it in px is the height over
    # the slope.
    things = noise(rng, height, width, 4) - np.float32(0.5)
    slope = np.hypot(*np.gradient(things)) + np.float32(1e-3)
    distance = np.abs(things) / slope
    ink = np.maximum(ink, np.clip(1.6 - distance, 0, 1))
    paper = colour(rng, 215, 250, 0.4)
    return to_bytes(paper - (paper - rng.uniform(15, 50)) * ink[..., None])


def sheet_music(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Staves of five lines with notes, stems, beams and bars."""
    canvas = np.full((height * _FINE, width * _FINE), int(rng.integers(225, 256)), np.uint8)
    gap = int(rng.integers(12, 30))
    ink = int(rng.integers(10, 70))
    for top in range(3 * gap, canvas.shape[0] - 5 * gap, 9 * gap):
        _draw_staff(canvas, rng, top, gap, ink)
    sheet = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    scene: Scene = cv2.cvtColor(sheet, cv2.COLOR_GRAY2RGB)
    return scene


def _draw_staff(canvas: Scene, rng: np.random.Generator, top: int, gap: int, ink: int) -> None:
    """Five lines, `gap` apart, full of notes."""
    right = canvas.shape[1]
    head = (int(0.6 * gap), int(0.42 * gap))
    for line in range(5):
        y = top + line * gap
        cv2.line(canvas, (gap, y), (right - gap, y), ink, _FINE)
    x = 3 * gap
    stem_before: tuple[int, int] | None = None
    while x < right - 2 * gap:
        y = top + int(rng.integers(-1, 10)) * gap // 2
        stem = (x + int(0.55 * gap), y - 3 * gap)
        thickness = -1 if rng.random() < 0.7 else _FINE  # -1 fills the head
        cv2.ellipse(canvas, (x, y), head, -20, 0, 360, ink, thickness)
        cv2.line(canvas, (stem[0], y), stem, ink, _FINE)
        if stem_before is not None and rng.random() < 0.3:
            cv2.line(canvas, stem_before, stem, ink, gap // 2)  # a beam
        stem_before = stem
        x += int(gap * rng.uniform(1.6, 4.5))
        if rng.random() < 0.15:
            cv2.line(canvas, (x - gap, top), (x - gap, top + 4 * gap), ink, _FINE)  # a bar
            stem_before = None


def contour_map(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Contour lines over tints, hatched areas, roads and names.

    Where lines would run together they fade.
    """
    ground = 0.8 * fractal(rng, height, width, 0.38) + 0.2 * noise(rng, height, width, 3)
    levels = ground * np.float32(rng.uniform(10, 40))
    slope = np.hypot(*np.gradient(levels)) + np.float32(1e-4)
    distance = np.abs(levels - np.round(levels)) / slope
    fading = np.clip((0.3 - slope) / 0.08, 0, 1)
    ink = np.clip(1.1 - distance, 0, 1) * fading
    if rng.random() < 0.5:
        along, _ = axes(height, width, rng.uniform(0, np.pi))
        hatch = stripes(along, rng.uniform(4, 10), 1.0)
        ink = np.maximum(ink, 0.8 * hatch * (ground > rng.uniform(0.5, 0.7)))
    lowland = colour(rng, 190, 250)
    climb = rng.uniform(-60, 60, 3).astype(np.float32)
    tint = lowland + (ground[..., None] - 0.5) * climb
    picture = to_bytes(lay_over(tint, colour(rng, 20, 130), ink))
    for _ in range(int(rng.integers(0, 4))):
        _draw_road(picture, rng)
    named = Image.fromarray(picture)
    draw = ImageDraw.Draw(named)
    for _ in range(5):
        position = (int(rng.integers(width)), int(rng.integers(height)))
        face = font(FACES[int(rng.integers(len(FACES)))], int(rng.integers(9, 18)))
        draw.text(position, words(rng, 1).title(), fill=(30, 30, 30), font=face)
    return np.asarray(named)


def _draw_road(picture: Scene, rng: np.random.Generator) -> None:
    """A winding line from left to right."""
    height, width = picture.shape[:2]
    y = rng.uniform(0, height) + 0.3 * height * (noise(rng, 1, width, 3)[0] - 0.5)
    road = np.stack([np.arange(width), y], 1)[:: max(1, width // 40)]
    points = np.round(road * FIXED_POINT).astype(np.int32)
    cv2.polylines(picture, [points], False, (120, 60, 50), 3, cv2.LINE_AA, FIXED_POINT_BITS)


def grille(rng: np.random.Generator, height: int, width: int) -> Scene:
    """One set of bars in front of a picture: railings, a shutter, a grating."""
    behind = photograph(rng, height, width).astype(np.float32)
    period = rng.uniform(6, 40)
    across = _bent(rng, height, width, rng.choice([0.0, 0.05]))
    bars = stripes(across, period, period * rng.uniform(0.2, 0.6))
    return to_bytes(lay_over(behind, colour(rng, 10, 200, 0.3), bars))


def fence(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Two sets of wires that cross in front of a picture: chain link, mesh, a near fly screen."""
    behind = photograph(rng, height, width).astype(np.float32)
    period = rng.uniform(7, 40)
    turn = rng.choice([0, np.pi / 4]) + rng.normal(0, 0.05)
    half = rng.uniform(np.pi / 6, np.pi / 4)  # of the angle between the two
    sag = rng.uniform(0, 0.06) * max(height, width) / 8 * noise(rng, height, width, 3)
    wire = max(1.0, period * rng.uniform(0.1, 0.25))
    falling, _ = axes(height, width, turn - half)
    rising, _ = axes(height, width, turn + half)
    wires = np.maximum(stripes(falling + sag, period, wire), stripes(rising + sag, period, wire))
    return to_bytes(lay_over(behind, colour(rng, 10, 200, 0.3), wires))


def brick(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Courses of bricks, each of its own shade, seen straight on."""
    tall = rng.uniform(5, 22)
    long = tall * rng.uniform(2, 3.2)
    joint = max(1.0, tall * rng.uniform(0.1, 0.2))
    along, across = axes(height, width, rng.normal(0, 0.04))
    course = np.floor(across / tall)
    shifted = along + (0.5 * long) * (course % 2)
    number = np.floor(shifted / long)
    # A hash of course and number, 0..1: no neighbours are of the same shade.
    shade = np.abs(np.sin(course * 12.9898 + number * 78.233) * 437.585) % 1
    mortar = np.maximum(stripes(across, tall, joint), stripes(shifted, long, joint))
    rough = 0.7 + 0.3 * shade + 0.4 * (fractal(rng, height, width, 0.7) - 0.5)
    clay = np.array((168, 88, 66), np.float32) + 2 * rng.normal(0, 12, 3).astype(np.float32)
    wall = clay * rough[..., None]
    return to_bytes(lay_over(wall, colour(rng, 130, 220, 0.2), mortar))


def small_text(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Nothing but lines of type of 7 to 11 px, in one to three columns."""
    canvas = Image.new("RGB", (width, height), pixels(colour(rng, 225, 255, 0.4)))
    draw = ImageDraw.Draw(canvas)
    size = int(rng.integers(7, 12))
    face = font(FACES[int(rng.integers(len(FACES)))], size)
    ink = (int(rng.integers(0, 80)),) * 3
    columns = int(rng.integers(1, 4))
    leading = round(size * rng.uniform(1.1, 1.5))
    for column in range(columns):
        left = column * width // columns + 4
        right = (column + 1) * width // columns - 4
        for top in range(4, height, leading):
            if rng.random() < 0.92:
                line = fit_line(draw, rng, face, right - left)
                draw.text((left, top), line, fill=ink, font=face)
    return np.asarray(canvas)


def number_table(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Figures in ruled columns: a census, a ledger, a timetable."""
    canvas = Image.new("RGB", (width, height), pixels(colour(rng, 225, 255, 0.3)))
    draw = ImageDraw.Draw(canvas)
    size = int(rng.integers(8, 15))
    face = font(FACES[int(rng.integers(len(FACES)))], size)
    step = round(size * rng.uniform(1.2, 1.7))
    rule = (int(rng.integers(90, 200)),) * 3
    columns = list(range(4, width, round(size * rng.uniform(3.6, 6))))
    for top in range(0, height, step):
        draw.line((0, top, width, top), fill=rule)
        for left, number in zip(columns, rng.integers(10, 9999, len(columns)), strict=True):
            draw.text((left, top + 1), str(number), fill=(30, 30, 40), font=face)
    if rng.random() < 0.5:
        for left in columns:
            draw.line((left - 3, 0, left - 3, height), fill=rule)
    return np.asarray(canvas)


def film_grain(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A photograph on fast film; half of them in black and white."""
    grain = rng.standard_normal((height, width), dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.4, 1.4))
    picture = photograph(rng, height, width).astype(np.float32)
    if rng.random() < 0.5:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    strength = np.float32(rng.uniform(6, 26))
    grain = strength * grain / max(float(grain.std()), 1e-6)
    return to_bytes(picture + grain[..., None])


def rings(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Concentric rings, as of a tree or a record, some with a period that changes slowly."""
    x, y = axes(height, width)
    centre_x = np.float32(rng.uniform(-0.5, 1.5) * width)
    centre_y = np.float32(rng.uniform(-0.5, 1.5) * height)
    far = np.hypot(x - centre_x, y - centre_y)
    longer = max(height, width)
    far = far + np.float32(rng.uniform(0, 0.15) * longer / 8) * noise(rng, height, width, 3)
    if rng.random() < 0.4:  # they narrow to three quarters of their period at the far end
        far = far + far**2 / np.float32(6 * max(float(far.max()), 1.0))
    period = rng.uniform(6, 30)
    share = stripes(far, period, period * rng.uniform(0.2, 0.7))
    return tinted(rng, share, rng.uniform(0.2, 1))


def perforated_sheet(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Holes of one size in a square or staggered grid: a halftone with no picture in it."""
    period = rng.uniform(6, 26)
    along, across = axes(height, width, _direction(rng))
    if rng.random() < 0.5:
        along = along + (period / 2) * (np.floor(across / period) % 2)
    u = along % period - period / 2
    v = across % period - period / 2
    radius = rng.uniform(0.22, 0.38) * period
    share = np.clip((radius - np.hypot(u, v)) / 1.6 + 0.5, 0, 1)
    return tinted(rng, share, rng.uniform(0.4, 1))


LOOKALIKES: dict[str, Callable[[np.random.Generator, int, int], Scene]] = {
    "blinds": blinds,
    "corduroy": corduroy,
    "woven_cloth": woven_cloth,
    "engraving": engraving,
    "sheet_music": sheet_music,
    "contour_map": contour_map,
    "grille": grille,
    "fence": fence,
    "brick": brick,
    "small_text": small_text,
    "number_table": number_table,
    "film_grain": film_grain,
    "rings": rings,
    "perforated_sheet": perforated_sheet,
}
