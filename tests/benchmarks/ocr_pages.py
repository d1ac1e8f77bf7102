"""Pages with known text in three scripts, as they come out of cameras and scanners with moiré.

Kinds, each at 150, 200, 300 and 600 dpi, 10 point type in three faces:

- tint: solid type over a picture that is printed in dots and scanned;
- screen: a page on a screen from close by, mostly at a slant. Its edges lie outside the photograph
  and cut through letters and lines, so its truth is what is read in the twin without moiré;
- clean: a scanned page without any moiré, which has to come out as it is;
- level: all of a page on a screen, straightened before it is read, as archives do it;
- mixed: a scanned page with a picture that is printed in dots beside a column of solid type.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from demoire.simulate import screen
from demoire.simulate.capture import develop, draw_development, expose, to_linear
from demoire.simulate.scenes.canvas import font
from demoire.simulate.scenes.photographs import photograph
from demoire.simulate.simulator import draw_capture, simulate

SIDE = 1280  # px
POINTS = 10  # of the type
RESOLUTIONS = (150, 200, 300, 600)
KINDS = ("tint", "screen", "clean", "level", "mixed")  # their order decides what is drawn
FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
TEXTS = {
    "eng": "An archive keeps what people wrote down because somebody might ask for it again. "
    "Letters, maps, newspapers and photographs lie in boxes, and each box has a number. "
    "A camera or a scanner turns them into pictures that can be read far away. "
    "Some pictures show a pattern that was never on the paper, and a careful program takes it out.",
    "rus": "Архив хранит то, что люди записали, потому что кто-нибудь может спросить об этом "
    "снова. Письма, карты, газеты и фотографии лежат в коробках, и у каждой коробки есть номер. "
    "Камера или сканер превращает их в изображения, которые можно читать далеко отсюда. "
    "На некоторых изображениях виден узор, которого на бумаге никогда не было.",
    "ell": "Ένα αρχείο φυλάει ό,τι έγραψαν οι άνθρωποι, γιατί κάποιος μπορεί να το ζητήσει ξανά. "
    "Γράμματα, χάρτες, εφημερίδες και φωτογραφίες βρίσκονται σε κουτιά, και κάθε κουτί έχει έναν "
    "αριθμό. Μια κάμερα ή ένας σαρωτής τα κάνει εικόνες που διαβάζονται από μακριά. "
    "Σε μερικές εικόνες φαίνεται ένα μοτίβο που δεν υπήρχε ποτέ στο χαρτί.",
}

_PAPER = 0.85  # light that bare paper gives back, of all that falls on it
_INK = np.float32(0.88)  # of which solid ink takes so much away
_ZOOM = 1.1  # of a straightened page: about a pixel of the camera for each of its own

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """A rectangle of a page, in shares of its side."""

    left: float
    top: float
    right: float
    bottom: float

    def slices(self, side: int) -> tuple[slice, slice]:
        rows = slice(round(self.top * side), round(self.bottom * side))
        columns = slice(round(self.left * side), round(self.right * side))
        return rows, columns

    def grown(self, by: float) -> "Part":
        return Part(self.left - by, self.top - by, self.right + by, self.bottom + by)


_WHOLE = Part(1 / 12, 1 / 12, 11 / 12, 11 / 12)
# A photograph shows the inner 91 % of a page; this square stays in it, however it is turned.
_MIDDLE = Part(0.22, 0.22, 0.78, 0.78)
_COLUMN = Part(0.06, 0.06, 0.5, 0.94)
_BESIDE = Part(0.54, 0.2, 0.94, 0.8)


@dataclass(frozen=True)
class Page:
    """A page to draw."""

    language: str
    kind: str
    resolution: int  # dots an inch
    number: int

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.resolution}_{self.number:02}"

    def rng(self) -> np.random.Generator:
        place = (sorted(TEXTS).index(self.language), KINDS.index(self.kind))
        return np.random.default_rng([*place, self.resolution, self.number])


@dataclass(frozen=True)
class DrawnPage:
    """A page as it was photographed or scanned.

    Attributes:
        moire: (SIDE, SIDE, 3).
        clean: Its twin without moiré.
        text: What is written on it; None where letters are cut off.
        to_camera: (3, 3) from the straightened page's px to the photograph's; None where it is
            straight.
        picture: Where a picture lies beside the text.
    """

    moire: Picture
    clean: Picture
    text: str | None
    to_camera: NDArray[np.float64] | None = None
    picture: Part | None = None

    def as_read(self, picture: Picture) -> Picture:
        """One of both, or what became of it, as it is given to tesseract."""
        if self.to_camera is None:
            return picture
        side = round(_ZOOM * SIDE)
        straight = cv2.warpPerspective(
            picture,
            self.to_camera,
            (side, side),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        around = _MIDDLE.grown(0.02)
        return np.ascontiguousarray(straight[around.slices(side)])


def pages(language: str, kind: str, count: int, first: int = 0) -> Iterator[Page]:
    """So many pages of each resolution."""
    for resolution in RESOLUTIONS:
        for number in range(first, first + count):
            yield Page(language, kind, resolution, number)


def lettering(page: Page, side: int, part: Part = _WHOLE) -> tuple[NDArray[np.float32], str]:
    """Ink, (side, side) 0..1, and the text that it writes."""
    rng = page.rng()
    size = max(8, round(POINTS / 72 * page.resolution * side / SIDE))
    words = TEXTS[page.language].split()
    start = int(rng.integers(len(words)))
    words = (words[start:] + words[:start]) * 8
    face = font(FACES[page.number % len(FACES)], size)
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    rows, columns = part.slices(side)
    width = columns.stop - columns.start
    lines = []
    y = rows.start
    while y + 2 * size < rows.stop and words:
        line = words.pop(0)
        while words and draw.textlength(f"{line} {words[0]}", font=face) < width:
            line += f" {words.pop(0)}"
        draw.text((columns.start, y), line, fill=255, font=face)
        lines.append(line)
        y += round(1.4 * size)
    return np.asarray(canvas, np.float32) / 255, " ".join(lines)


def draw_page(page: Page) -> DrawnPage:
    """Draw a page and take it."""
    rng = page.rng()
    match page.kind:
        case "tint":
            return _tint(page, rng)
        case "screen":
            ink, _ = lettering(page, SIDE)
            pair = simulate("screen", _on_screen(ink), SIDE, rng)
            return DrawnPage(pair.moire, pair.clean, text=None)
        case "clean":
            ink, text = lettering(page, SIDE)
            shown = np.repeat((240 - 215 * ink[..., None]), 3, axis=2).astype(np.uint8)
            development = draw_development(rng, scanner=True)
            scan = expose(to_linear(shown), SIDE, development, rng)
            return DrawnPage(scan, scan, text)
        case "level":
            return _level(page, rng)
        case _:
            return _mixed(page, rng)


def _on_screen(ink: NDArray[np.float32]) -> Picture:
    return np.repeat((245 - 225 * ink[..., None]), 3, axis=2).astype(np.uint8)


def _pale_picture(rng: np.random.Generator) -> Picture:
    pale = 255 - (255 - photograph(rng, SIDE, SIDE).astype(np.float32)) * rng.uniform(0.3, 0.5)
    return pale.astype(np.uint8)


def _tint(page: Page, rng: np.random.Generator) -> DrawnPage:
    capture = draw_capture("halftone", _pale_picture(rng), SIDE, rng, "press")
    ink, text = lettering(page, len(capture.without))
    paper = 1 - _INK * ink[..., None]
    moire, clean = develop(
        capture.with_moire * paper, capture.without * paper, SIDE, capture.development, rng
    )
    return DrawnPage(moire, clean, text)


def _mixed(page: Page, rng: np.random.Generator) -> DrawnPage:
    scene = photograph(rng, SIDE, SIDE)
    capture = draw_capture("halftone", scene, SIDE, rng, "press")
    side = len(capture.without)
    ink, text = lettering(page, side, _COLUMN)
    paper = (_PAPER * (1 - _INK * ink))[..., None]
    lights = []
    for light in (capture.with_moire, capture.without):
        scanned = np.repeat(paper, 3, axis=2)
        rows, columns = _BESIDE.slices(side)
        scanned[rows, columns] = light[rows, columns]
        lights.append(scanned)
    moire, clean = develop(lights[0], lights[1], SIDE, capture.development, rng)
    return DrawnPage(moire, clean, text, picture=_BESIDE)


def _level(page: Page, rng: np.random.Generator) -> DrawnPage:
    """Photograph all of a page, and note how to straighten it.

    The simulator keeps to itself how it held the camera, so its own steps are listened to.
    """
    ink, text = lettering(page, SIDE, _MIDDLE)
    looks: list[tuple[Any, ...]] = []
    sides: list[int] = []
    coordinates = screen.posed_coordinates

    def noted(side: int, oversampling: int, ratio: float, pose: screen.Pose) -> Any:
        u, v = coordinates(side, oversampling, ratio, pose)
        looks.append((u, v))
        return u, v

    def all_of(scene: Picture, side: int, rng: np.random.Generator) -> Picture:
        sides.append(side)
        return cv2.resize(scene, (side, side), interpolation=cv2.INTER_AREA)

    with (
        patch.object(screen, "posed_coordinates", noted),
        patch.object(screen, "crop_scene", all_of),
    ):
        pair = simulate("screen", _on_screen(ink), SIDE, rng)
    u, v = looks[-1]
    steps = np.linspace(0, len(u) - 1, 9).astype(int)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    in_file = np.stack([x, y], axis=-1).reshape(-1, 2) * (SIDE / len(u))
    shares = np.stack([u[y, x], v[y, x]], axis=-1).reshape(-1, 2) / sides[-1] + 0.5
    to_camera, _ = cv2.findHomography(shares * SIDE * _ZOOM, in_file)
    return DrawnPage(pair.moire, pair.clean, text, to_camera=np.asarray(to_camera))
