"""What all drawings are made of: noise like nature's, stripes without aliasing, colours, type.

Pictures are float32 (h, w, 3), 0..255 sRGB, until they are done; planes are float32 (h, w). A plane
of noise of 512 px costs some 4 ms, one of stripes some 10 ms.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

Scene = NDArray[np.uint8]
Plane = NDArray[np.floating[Any]]  # float32 in truth; numpy's types widen what they cannot follow
Drawing = Callable[[np.random.Generator, int, int], Scene]
Colour = tuple[int, int, int]
Face = ImageFont.FreeTypeFont | ImageFont.ImageFont

_APERTURE = 1.25  # px; with three looks a third of a pixel apart it leaves 2 % of what would alias
_LOOKS = (-1 / 3, 0.0, 1 / 3)
_WORDS = """
    archive beat box cloth copy dot film frame grain grid harbour ink lamp ledger lens letter light line map meadow
    morning north page paper plate press river screen sheet street tone tower window winter census and of the in to
""".split()  # noqa: SIM905


def noise(rng: np.random.Generator, height: int, width: int, cells: float) -> Plane:
    """A smooth random surface, mostly 0..1, with about `cells` bumps along the longer side."""
    longer = max(height, width)
    coarse = rng.random(
        (int(cells * height / longer) + 3, int(cells * width / longer) + 3), dtype=np.float32
    )
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def fractal(
    rng: np.random.Generator, height: int, width: int, roughness: float = 0.55, cells: float = 3.0
) -> Plane:
    """Noise of all octaves from `cells` bumps up to the pixel, exactly 0..1.

    Amplitude falls by `roughness` with each octave: 0.5 gives the 1/f of photographs, more is
    rougher.
    """
    octaves = max(1, round(np.log2(max(height, width) / cells)))
    rows, columns = -(-height // 2**octaves) + 1, -(-width // 2**octaves) + 1
    plane, amplitude = rng.random((rows, columns), dtype=np.float32), 1.0
    for _ in range(octaves):
        amplitude *= roughness
        rows, columns = 2 * rows, 2 * columns
        plane = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_CUBIC)
        plane += np.float32(amplitude) * rng.random((rows, columns), dtype=np.float32)
    plane = plane[-height:, -width:]
    low, high = float(plane.min()), float(plane.max())
    return (plane - low) / np.float32(max(high - low, 1e-6))


def axes(height: int, width: int, angle: float = 0.0) -> tuple[Plane, Plane]:
    """Coordinates in px along and across a direction, each (height, width)."""
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _covered(place: Plane, period: float, width: Plane | float) -> Plane:
    """How much of the way from 0 to `place` lies on stripes that begin at whole multiples of the
    period.
    """
    turns = np.floor(place / np.float32(period))
    return width * turns + np.minimum(place - turns * np.float32(period), width)


def stripes(place: Plane, period: float, width: Plane | float) -> Plane:
    """Stripes of `width` px every `period` px (at least 3), as a sharp lens shows them: 0..1 of
    each pixel is covered.

    place: the coordinate across the stripes in px, bent as one likes as long as it advances by
    about 1 a pixel. The stripes are integrated exactly over a small aperture, so that hardly any of
    their harmonics alias.
    """
    half = np.float32(_APERTURE / 2)
    total = np.zeros(np.broadcast_shapes(place.shape, np.shape(width)), np.float32)
    for look in _LOOKS:
        at = place + np.float32(look)
        total += _covered(at + half, period, width) - _covered(at - half, period, width)
    return total / np.float32(_APERTURE * len(_LOOKS))


def colour(
    rng: np.random.Generator, low: float = 0, high: float = 255, vivid: float = 0.5
) -> Plane:
    """A colour (3,) of a lightness between the limits; vivid 0 is grey, 1 anything."""
    free = rng.uniform(low, high, 3)
    return (free.mean() + vivid * (free - free.mean())).astype(np.float32)


def blend(under: Plane, over: Plane, share: Plane) -> Plane:
    """Lay one picture (or colour) over another where share (h, w) is 1."""
    return under + (over - under) * share[..., None]


def tinted(rng: np.random.Generator, share: Plane, contrast: float = 1.0) -> Scene:
    """Two colours mixed by share 0..1, in uneven light."""
    height, width = share.shape
    dark, bright = colour(rng, 0, 130), colour(rng, 120, 255)
    light = 0.7 + 0.5 * noise(rng, height, width, 2)
    mixed = dark + (bright - dark) * (0.5 + contrast * (share[..., None] - 0.5))
    return to_bytes(mixed * light[..., None])


def to_bytes(picture: Plane) -> Scene:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def pixels(value: Plane) -> Colour:
    """A colour for drawing calls that want whole numbers."""
    red, green, blue = (int(channel) for channel in np.clip(value, 0, 255))
    return red, green, blue


def words(rng: np.random.Generator, count: int) -> str:
    return " ".join(_WORDS[place] for place in rng.integers(len(_WORDS), size=count))


# "": Pillow's own
FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSans-Bold.ttf", "STIXGeneral.ttf", "")
CODE_FACE = "DejaVuSansMono.ttf"


@cache
def font(face: str, size: int) -> Face:
    """A face of matplotlib's or Pillow's at `size` px; loading one anew for every line would cost
    more than drawing.
    """
    if not face:
        return ImageFont.load_default(size)
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / face), size)


def fit_line(draw: ImageDraw.ImageDraw, rng: np.random.Generator, face: Face, room: float) -> str:
    """As many random words as this face sets in `room` px; at least one letter."""
    line = words(rng, max(1, int(room / 24)))
    while (length := draw.textlength(line, font=face)) > room and len(line) > 1:
        shorter = line[: max(1, int(len(line) * room / length))]
        line = shorter.rsplit(" ", 1)[0] if len(shorter) < len(line) else line[:-1]
    return line
