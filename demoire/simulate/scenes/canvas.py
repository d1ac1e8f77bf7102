"""What all drawings are made of: noise like nature's, stripes without aliasing, colours, type.

Pictures are float32 (h, w, 3), 0..255 sRGB, until they are done; planes are float32 (h, w). A plane
of noise of 512 px costs some 4 ms, one of stripes some 10 ms.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from PIL import ImageDraw, ImageFont

from demoire.simulate.arrays import Plane, Scene, to_bytes

Colour: TypeAlias = tuple[int, int, int]
Face: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Faces that matplotlib brings; the empty name is Pillow's own.
FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSans-Bold.ttf", "STIXGeneral.ttf", "")
CODE_FACE = "DejaVuSansMono.ttf"

# OpenCV takes coordinates in whole numbers; with these bits after the point, in sixteenths of a px.
FIXED_POINT_BITS = 4
FIXED_POINT = 2**FIXED_POINT_BITS

# px, and px away from a pixel's centre: three looks through this aperture, a third of a pixel
# apart, leave 2 % of what would alias.
_APERTURE = 1.25
_LOOKS = (-1 / 3, 0.0, 1 / 3)

_WORDS = """
    archive beat box cloth copy dot film frame grain grid harbour ink lamp ledger lens letter light
    line map meadow morning north page paper plate press river screen sheet street tone tower window
    winter census and of the in to
""".split()  # noqa: SIM905


class Area(NamedTuple):
    """A rectangle to draw in, px, as Pillow takes them."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """From top to bottom."""
        return self.bottom - self.top

    def below(self, top: int) -> "Area":
        """What is left of the area from this height on."""
        return self._replace(top=top)


def noise(rng: np.random.Generator, height: int, width: int, bumps: float) -> Plane:
    """A smooth random surface, mostly 0..1, with about `bumps` bumps along the longer side."""
    longer = max(height, width)
    rows = int(bumps * height / longer) + 3
    columns = int(bumps * width / longer) + 3
    coarse = rng.random((rows, columns), dtype=np.float32)
    plane: Plane = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return plane


def fractal(
    rng: np.random.Generator, height: int, width: int, roughness: float = 0.55, bumps: float = 3.0
) -> Plane:
    """Noise of all octaves from `bumps` bumps up to the pixel, exactly 0..1.

    Amplitude falls by `roughness` with each octave: 0.5 gives the 1/f of photographs, more is
    rougher.
    """
    octaves = max(1, round(np.log2(max(height, width) / bumps)))
    rows = -(-height // 2**octaves) + 1
    columns = -(-width // 2**octaves) + 1
    plane = rng.random((rows, columns), dtype=np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        amplitude *= roughness
        rows *= 2
        columns *= 2
        plane = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_CUBIC)
        plane += np.float32(amplitude) * rng.random((rows, columns), dtype=np.float32)
    plane = plane[-height:, -width:]
    low = float(plane.min())
    high = float(plane.max())
    return (plane - low) / np.float32(max(high - low, 1e-6))


def axes(height: int, width: int, angle: float = 0.0) -> tuple[Plane, Plane]:
    """Coordinates in px along and across a direction, each (height, width)."""
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    cos = np.float32(np.cos(angle))
    sin = np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def stripes(across: Plane, period: float, width: Plane | float) -> Plane:
    """Stripes as a sharp lens shows them.

    They are integrated exactly over a small aperture, so that hardly any of their harmonics alias.

    Args:
        across: The coordinate across the stripes in px. It may be bent, as long as it advances by
            about 1 a pixel.
        period: px from stripe to stripe, at least 3.
        width: px of each stripe.

    Returns:
        How much of each pixel is covered, 0..1.
    """
    half = np.float32(_APERTURE / 2)
    total = np.zeros(np.broadcast_shapes(across.shape, np.shape(width)), np.float32)
    for look in _LOOKS:
        centre = across + np.float32(look)
        total += _covered(centre + half, period, width) - _covered(centre - half, period, width)
    return total / np.float32(_APERTURE * len(_LOOKS))


def _covered(across: Plane, period: float, width: Plane | float) -> Plane:
    """How much of the way from 0 to `across` lies on stripes.

    A stripe begins at every whole multiple of the period.
    """
    turns = np.floor(across / np.float32(period))
    plane: Plane = width * turns + np.minimum(across - turns * np.float32(period), width)
    return plane


def colour(
    rng: np.random.Generator, low: float = 0, high: float = 255, vivid: float = 0.5
) -> Plane:
    """A colour (3,) of a lightness between the limits; vivid 0 is grey, 1 anything."""
    free = rng.uniform(low, high, 3)
    plane: Plane = (free.mean() + vivid * (free - free.mean())).astype(np.float32)
    return plane


def near(rng: np.random.Generator, shade: Colour, spread: float = 14) -> Plane:
    """A colour near this one: each channel varies by half the spread, and all of them together."""
    varied = np.array(shade) + rng.normal(0, spread / 2, 3) + rng.normal(0, spread)
    return np.clip(varied, 0, 255).astype(np.float32)


def lay_over(under: Plane, over: Plane, share: Plane) -> Plane:
    """Lay one picture (or colour) over another where share (h, w) is 1."""
    return under + (over - under) * share[..., None]


def side_light(rng: np.random.Generator, relief: Plane) -> Plane:
    """What each slope of a relief gains or loses in light from one side; of deviation 1."""
    angle = rng.uniform(0, 2 * np.pi)
    across = cv2.Sobel(relief, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    slope = np.cos(angle) * across + np.sin(angle) * down
    lit: Plane = (slope / (float(slope.std()) + 1e-6)).astype(np.float32)
    return lit


def tinted(rng: np.random.Generator, share: Plane, contrast: float = 1.0) -> Scene:
    """Two colours mixed by share 0..1, in uneven light."""
    height, width = share.shape
    dark = colour(rng, 0, 130)
    bright = colour(rng, 120, 255)
    light = 0.7 + 0.5 * noise(rng, height, width, 2)
    mixed = dark + (bright - dark) * (0.5 + contrast * (share[..., None] - 0.5))
    return to_bytes(mixed * light[..., None])


def pixels(value: Plane) -> Colour:
    """A colour for drawing calls that want whole numbers."""
    red, green, blue = (int(channel) for channel in np.clip(value, 0, 255))
    return red, green, blue


def words(rng: np.random.Generator, count: int) -> str:
    """Random words, with a space between each two."""
    return " ".join(_WORDS[number] for number in rng.integers(len(_WORDS), size=count))


@cache
def font(face: str, size: int) -> Face:
    """A face of matplotlib's or Pillow's at `size` px.

    Kept once loaded: loading one for every line would cost more than drawing.
    """
    if not face:
        return ImageFont.load_default(size)
    import matplotlib  # which is heavy, and has the data folder

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / face), size)


def fit_line(draw: ImageDraw.ImageDraw, rng: np.random.Generator, face: Face, room: float) -> str:
    """As many random words as this face sets in `room` px; at least one letter."""
    line = words(rng, max(1, int(room / 24)))
    length = draw.textlength(line, font=face)
    while length > room and len(line) > 1:
        shorter = line[: max(1, int(len(line) * room / length))]
        if len(shorter) < len(line):
            line = shorter.rsplit(" ", 1)[0]
        else:
            line = line[:-1]
        length = draw.textlength(line, font=face)
    return line
