"""How a picture is printed: inks, screens and their rulings, drawn at random.

There are two styles. "mixed" is what every pair of the lab's figures is drawn by: periods of 1.6 to
9 px, one screen on a page, an eighth of them stochastic. "press" is what presses and scanners give:

- rulings of 75 to 178 lines an inch, scanned at 300 to 1200 dpi, have periods of up to 16 px;
- two pictures on a page often have two screens;
- one picture in ten is a duotone, and inks differ from press to press;
- black replaces anything from none to all of the common grey;
- hardly any screen is stochastic.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PrintStyle = Literal["mixed", "press"]

BLACK = 3  # the index of the black ink; cyan, magenta and yellow come before it

# What each ink lets through in R, G, B, sRGB-encoded: cyan, magenta, yellow and black of common
# offset inks.
_INKS = np.array(
    [[0.0, 0.62, 0.88], [0.85, 0.1, 0.5], [0.98, 0.92, 0.1], [0.13, 0.13, 0.13]], np.float32
)
_ALL = (0, 1, 2, BLACK)
_CLASSIC_ANGLES = (15.0, 75.0, 0.0, 45.0)  # degrees, in the order of the inks
_SHAPES = ("round", "elliptic", "line", "stochastic")


@dataclass(frozen=True)
class Print:
    """One drawn printing process. Lengths are in samples of the simulated sheet."""

    period: float  # of the screen ruling
    angles: tuple[float, ...]  # radians, of each ink
    shape: str  # one of _SHAPES
    gain: float  # dot gain at a tint of one half
    black: float  # share of the common grey printed with black (grey component replacement)
    printed: tuple[int, ...]  # which inks are: black alone, black and one other, or all four
    register: NDArray[np.float64]  # misregistration of each ink, (4, 2)
    softness: float  # of the dot's edge, in units of coverage
    quality: float  # samples of the printed picture to a period of the screen, along each side
    inks: NDArray[np.float32]  # (4, 3), what each lets through

    @property
    def is_grey(self) -> bool:
        """Whether each ink prints the picture's grey: in black and white, and in a duotone."""
        return len(self.printed) < len(self.inks)


def draw_prints(style: PrintStyle, oversampling: int, rng: np.random.Generator) -> list[Print]:
    """The printing processes of one page: one, or by a press sometimes two."""
    if style == "mixed":
        return [_draw_mixed(oversampling, rng)]
    prints = [_draw_press(oversampling, rng)]
    if rng.random() < 0.2:
        prints.append(_draw_press(oversampling, rng))
    return prints


def _draw_mixed(oversampling: int, rng: np.random.Generator) -> Print:
    # Every call draws from the generator, so their order is part of what a seed means.
    dpi = rng.choice([150, 200, 300, 300, 400, 600])
    lpi = rng.uniform(65, 200)
    period = float(np.clip(dpi / lpi, 1.6, 9.0)) * oversampling
    angles = _draw_angles(rng, straight=0.8, classic=0.7)
    return Print(
        period=period,
        angles=angles,
        shape=str(rng.choice(_SHAPES, p=[0.55, 0.25, 0.08, 0.12])),
        gain=float(rng.uniform(0, 0.2)),
        black=float(rng.uniform(0.2, 0.9)),
        printed=(BLACK,) if rng.random() < 0.3 else _ALL,
        register=rng.normal(0, 0.5 * oversampling, (4, 2)),
        softness=_softness(period),
        quality=_draw_quality(rng),
        inks=_INKS,
    )


def _draw_press(oversampling: int, rng: np.random.Generator) -> Print:
    dpi = rng.choice([300, 300, 400, 600, 600, 800, 1200, 1200])
    lpi = rng.uniform(75, 178)
    period = float(np.clip(dpi / lpi, 1.6, 16.0)) * oversampling
    tones = np.exp(rng.normal(0, 0.15, (4, 1)))
    inks = (_INKS ** (tones * np.exp(rng.normal(0, 0.05, (4, 3))))).astype(np.float32)
    return Print(
        period=period,
        angles=_draw_angles(rng, straight=0.85, classic=0.8),
        shape=str(rng.choice(_SHAPES, p=[0.6, 0.3, 0.08, 0.02])),
        gain=float(rng.uniform(0, 0.25)),
        black=float(rng.uniform(0, 1)),
        printed=_draw_printed(rng),
        register=rng.normal(0, 0.5 * oversampling, (4, 2)),
        softness=_softness(period),
        quality=_draw_quality(rng),
        inks=inks,
    )


def _draw_angles(rng: np.random.Generator, *, straight: float, classic: float) -> tuple[float, ...]:
    """Of each ink, in radians; the shares of pages that lie straight and of screens at the classic
    angles are given."""
    is_straight = rng.random() < straight
    tilt = np.deg2rad(rng.normal(0, 1.5) if is_straight else rng.uniform(0, 90))
    is_classic = rng.random() < classic
    angles = np.deg2rad(_CLASSIC_ANGLES) if is_classic else rng.uniform(0, np.pi / 2, 4)
    return tuple((angles + tilt).tolist())


def _draw_printed(rng: np.random.Generator) -> tuple[int, ...]:
    """Black alone, black and another ink, or all four."""
    share = rng.random()
    if share < 0.35:
        return (BLACK,)
    if share < 0.45:
        return int(rng.integers(BLACK)), BLACK
    return _ALL


def _softness(period: float) -> float:
    return float(np.clip(2.2 / period, 0.12, 0.7))


def _draw_quality(rng: np.random.Generator) -> float:
    """Samples to a period; some pictures are printed from more samples than the screen can show."""
    if rng.random() < 0.8:
        return float(rng.uniform(1.25, 2.5))
    return np.inf
