"""Moiré that another simulator makes: pairs to see whether what was learnt holds beyond
`demoire.simulate`.

    python tests/benchmarks/independent.py CLEAN OUT [COUNT]
    demoire evaluate OUT --gate off

Textbook models without a line of the simulators, on photographs and screenshots of the test split.
Nothing here was ever trained on, and nothing should be: once it is, another is needed.

- screen: red, green and blue stripes, three to a pixel, magnified 1.1 to 1.9 times and turned by up
  to 8 degrees, a small lens blur, an RGGB sensor with noise, bilinear demosaicing (much like the
  data of "AIM 2019 Challenge on Image Demoireing", Yuan et al., 2019);
- halftone: cyan, magenta and yellow at 15, 75 and 0 degrees, a cosine screen of 3 to 6 px, no black
  ink;
- texture: threads of nearly the sensor's pitch that darken and lighten the scene, and a weak lens
  before sampling.

All are compressed as JPEG of quality 80 to 95.
"""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.simulate.pairs import LABELS, clean_images, read_scene

SIZE, SEED = 448, 5
Picture = NDArray[np.float32]  # (H, W, 3), 0..1


def _scene(files: list[Path], side: int, rng: np.random.Generator) -> Picture:
    """A square of a picture, enlarged where it is too small."""
    pixels = read_scene(files[int(rng.integers(len(files)))]).astype(np.float32) / np.float32(255)
    enlarge = side / min(pixels.shape[:2])
    if enlarge > 1:
        height, width = pixels.shape[:2]
        sides = (max(side, round(width * enlarge)), max(side, round(height * enlarge)))
        pixels = cv2.resize(pixels, sides, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    top, left = (int(rng.integers(extent - side + 1)) for extent in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _smaller(picture: Picture, times: int) -> Picture:
    height, width = picture.shape[:2]
    sides = (width // times, height // times)
    return cv2.resize(picture, sides, interpolation=cv2.INTER_AREA).astype(np.float32)


def _bayer(light: Picture, rng: np.random.Generator) -> Picture:
    """What an RGGB sensor with read noise makes of linear light."""
    raw = light[..., 1].copy()
    raw[::2, ::2] = light[::2, ::2, 0]
    raw[1::2, 1::2] = light[1::2, 1::2, 2]
    noisy = np.clip(raw + rng.normal(0, 0.005, raw.shape), 0, 1)
    levels = (noisy * 65535).astype(np.uint16)
    return cv2.demosaicing(levels, cv2.COLOR_BayerRGGB2RGB).astype(np.float32) / 65535


def screen(files: list[Path], rng: np.random.Generator) -> tuple[Picture, Picture]:
    """A photograph of a display, and of one without gaps between its colours."""
    # Samples to a pixel of the camera. With two, the lens decides, not the sampling of the display.
    fine = 2
    light = np.repeat(np.repeat(_scene(files, SIZE, rng) ** 2.2, 3, axis=0), 3, axis=1)
    stripes = np.zeros_like(light)
    for colour in range(3):
        stripes[:, colour::3, colour] = 3 * light[:, colour::3, colour]
    scale = fine * rng.uniform(1.1, 1.9) / 3
    middle = (light.shape[1] / 2, light.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(middle, rng.uniform(-8, 8), scale)
    turn[:, 2] += fine * SIZE / 2 - light.shape[0] / 2

    def photographed(display: Picture) -> Picture:
        sides = (fine * SIZE, fine * SIZE)
        seen_finely = cv2.warpAffine(display, turn, sides, borderMode=cv2.BORDER_REFLECT)
        return _smaller(seen_finely, fine)

    shown = photographed(stripes)
    truth = photographed(light)
    seen = _bayer(cv2.GaussianBlur(shown, (3, 3), rng.uniform(0.3, 0.6)), rng)
    seen *= truth.mean() / seen.mean()
    return np.clip(seen, 0, 1) ** (1 / 2.2), np.clip(truth, 0, 1) ** (1 / 2.2)


def halftone(files: list[Path], rng: np.random.Generator) -> tuple[Picture, Picture]:
    """A scan of a print in three inks, and of what was printed."""
    fine = 4  # samples to a pixel of the scanner
    scene = _scene(files, SIZE, rng)
    inks = 1 - cv2.resize(scene, (fine * SIZE, fine * SIZE), interpolation=cv2.INTER_LINEAR)
    paper = np.ones_like(inks)
    period = fine * rng.uniform(3, 6)
    y, x = np.mgrid[: fine * SIZE, : fine * SIZE] * (2 * np.pi / period)
    for ink, angle in enumerate(np.deg2rad((15, 75, 0))):
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        thresholds = np.cos(along) + np.cos(across)
        # By quantiles, so that half an ink covers half the paper.
        levels = np.quantile(thresholds, np.linspace(0, 1, 256))
        paper[..., ink] = inks[..., ink] <= np.interp(thresholds, levels, np.linspace(0, 1, 256))
    return cv2.GaussianBlur(_smaller(paper, fine), (0, 0), 0.6).astype(np.float32), scene


def texture(files: list[Path], rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Cloth with a picture on it, whose threads the sensor cannot resolve, and the same without
    threads.
    """
    fine = 4  # samples to a pixel of the sensor
    scene = _scene(files, SIZE, rng)
    y, x = np.mgrid[: fine * SIZE, : fine * SIZE]
    angle = rng.uniform(0, np.pi)
    frequency = 2 * np.pi / fine * rng.uniform(0.85, 1.15)
    folds = 2 * np.sin(x / 400) + 2 * np.cos(y / 300)
    along = x * np.cos(angle) + y * np.sin(angle)
    threads = 1 + 0.2 * np.sin(frequency * along + folds)
    printed = cv2.resize(scene, (fine * SIZE, fine * SIZE), interpolation=cv2.INTER_LINEAR)
    cloth = printed * threads[..., None]
    seen = cv2.GaussianBlur(cloth, (0, 0), 0.8)[1::fine, 1::fine]
    return seen.astype(np.float32), scene


KINDS: tuple[Callable[[list[Path], np.random.Generator], tuple[Picture, Picture]], ...] = (
    screen,
    halftone,
    texture,
)


def _eight_bits(picture: Picture) -> Image.Image:
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def main(clean: Path, out: Path, count: int) -> None:
    """Write `count` pairs of each kind, as `demoire evaluate` reads them."""
    files = clean_images(clean, "test")
    out.mkdir(parents=True)
    rows = []
    for kind_number, kind in enumerate(KINDS):
        for number in range(count):
            rng = np.random.default_rng([SEED, kind_number, number])
            moire, truth = kind(files, rng)
            name = f"{kind.__name__}_{number:03d}"
            _eight_bits(moire).save(out / f"{name}_moire.jpg", quality=int(rng.integers(80, 96)))
            _eight_bits(truth).save(out / f"{name}_clean.png")
            strength = 255 * np.sqrt(np.mean((moire - truth) ** 2))
            rows.append((name, kind.__name__, f"{strength:.2f}"))
    with (out / LABELS).open("w", newline="") as file:
        csv.writer(file).writerows([("name", "kind", "strength"), *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 20)
