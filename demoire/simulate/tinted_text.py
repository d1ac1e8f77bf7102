"""Text on a tint that is printed in dots: boxes in magazines, forms, title pages, coloured paper.

The tint is one colour that fades, or a picture in pale colours; the type over it is solid and has
no dots. The twin has the same inks in continuous tone. Some 60 ms for a patch of 256 px on one
core.
"""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from demoire.simulate.arrays import Plane, Scene, to_bytes
from demoire.simulate.capture import develop, expose
from demoire.simulate.draws import log_uniform
from demoire.simulate.scenes.canvas import FACES, colour, fit_line, font, noise
from demoire.simulate.simulator import Capture, Pair, draw_capture, in_regional_tone

_FLAT_SHARE = 0.6  # of tints that are one colour
_TYPE = (9, 48)  # px, from small print at 150 dpi to text at 400
_FLAT_SIDE = 256  # px, of the scene of a flat tint


def simulate_tinted_text(scene: Scene, size: int, rng: np.random.Generator) -> Pair:
    """Print text over a tint and scan it.

    Args:
        scene: (h, w, 3), what a tint that is a picture shows.
        size: Side of the pictures to be, px, even.
        rng: Decides everything else.

    Returns:
        The scan with dots, and what a restorer should make of it: the same inks without dots, and
        nothing of the scanner's noise.
    """
    capture = _draw_capture(scene, size, rng)
    with_dots = capture.with_moire
    moire, clean = develop(with_dots, capture.without, size, capture.development, rng)
    return Pair(moire, in_regional_tone(clean, moire), "halftone", capture.strength)


def simulate_exposed_tinted_text(scene: Scene, size: int, rng: np.random.Generator) -> Pair:
    """As `simulate_tinted_text`, but the twin without dots is what the same scanner makes of it."""
    capture = _draw_capture(scene, size, rng)
    with_dots = capture.with_moire
    moire, _ = develop(with_dots, capture.without, size, capture.development, rng)
    clean = expose(capture.without, size, capture.development, rng)
    return Pair(moire, clean, "halftone", capture.strength)


def _draw_capture(scene: Scene, size: int, rng: np.random.Generator) -> Capture:
    """The tint as a press prints it, and type over both."""
    tint = _flat(rng) if rng.random() < _FLAT_SHARE else _pale(scene, rng)
    capture = draw_capture("halftone", tint, size, rng, "press")
    side = len(capture.without)
    absorbed = 1 - colour(rng, 10, 90, 0.5) / 255
    left = 1 - absorbed * _lettering(side, side / size, rng)[..., None]
    return replace(
        capture,
        with_moire=np.multiply(capture.with_moire, left, dtype=np.float32),
        without=np.multiply(capture.without, left, dtype=np.float32),
    )


def _flat(rng: np.random.Generator) -> Scene:
    """One light colour, somewhat lighter or darker from place to place."""
    shade = 255 - (255 - colour(rng, 90, 245, 0.8)) * rng.uniform(0.5, 1)
    fading = rng.uniform(0, 40) * (noise(rng, _FLAT_SIDE, _FLAT_SIDE, 2) - 0.5)
    return to_bytes(shade + fading[..., None])


def _pale(scene: Scene, rng: np.random.Generator) -> Scene:
    """A picture with a part of its ink."""
    return to_bytes(255 - (255 - scene.astype(np.float32)) * rng.uniform(0.2, 0.6))


def _lettering(side: int, scale: float, rng: np.random.Generator) -> Plane:
    """Lines of words in one face, coverage 0..1; `scale` px of the scanner for each of the file."""
    height = max(8, round(log_uniform(rng, *_TYPE) * scale))
    face = font(FACES[int(rng.integers(len(FACES)))], height)
    canvas = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(canvas)
    margin = int(rng.uniform(0, 0.1) * side)
    leading = round(height * rng.uniform(1.15, 1.7))
    for top in range(margin, side, leading):
        if rng.random() < 0.9:
            line = fit_line(draw, rng, face, side - 2 * margin)
            draw.text((margin, top), line, fill=255, font=face)
    plane: Plane = np.asarray(canvas, np.float32) / 255
    return plane
