"""The decoded pictures of one part of a field folder, and what is made of them for training.

`demoire.training.field_tiles` draws the detector's tiles from them and
`demoire.training.field_twins` the restorer's pairs. Both cut, turn, resize and process in the same
way.

They are kept decoded: 3 bytes a pixel, and 8 for pattern layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.moire import MoireKind
from demoire.simulate.arrays import Scene
from demoire.simulate.draws import log_uniform
from demoire.simulate.pairs import read_scenes
from demoire.simulate.processing import MARGIN, ProcessingShares, draw_scale, process, source_side
from demoire.training.config import FieldConfig
from demoire.training.field import FieldPart, read_pair
from demoire.training.patterns import PatternLayer, lay_pattern_over, take_pattern

_T = TypeVar("_T")

# Pieces of pictures that are drawn, of which one should show a pattern. One in two or three does.
TRIES = 60

_LARGE = 1.2e6  # px; a larger picture is drawn no more often
_LEAST_KNOWN = 0.1  # of a pattern layer; with less there is hardly a window to cut
_EVERYWHERE = np.full((1, 1), 255, np.uint8)


@dataclass(frozen=True)
class Twins:
    """A tile and what a restorer should make of it."""

    moire: Scene  # (S, S, 3)
    clean: Scene  # (S, S, 3); where there is no moiré, the same array
    kind: MoireKind
    # (S, S) or (1, 1) uint8: how far the clean one is known to be right, 255 for wholly
    known: NDArray[np.uint8]

    @classmethod
    def of_clean(cls, tile: Scene) -> "Twins":
        """A tile without moiré, which is its own twin."""
        return cls(tile, tile, "none", _EVERYWHERE)

    @classmethod
    def exact(cls, moire: Scene, clean: Scene, kind: MoireKind) -> "Twins":
        """Twins between which the pattern alone makes the difference."""
        return cls(moire, clean, kind, _EVERYWHERE)

    def cut(self, side: int, rng: np.random.Generator) -> "Twins":
        """The same square of all, `side` px wide; as they are where they are no wider."""
        if self.moire.shape[0] <= side:
            return self
        window = random_window(self.moire, side, rng)
        moire = self.moire[window]
        clean = moire if self.clean is self.moire else self.clean[window]
        is_known_everywhere = self.known.shape == (1, 1)
        known = self.known if is_known_everywhere else self.known[window]
        return Twins(moire, clean, self.kind, known)

    def turned(self, rng: np.random.Generator) -> "Twins":
        """Turned and mirrored at random, all alike."""
        seed = int(rng.integers(2**31))
        moire = turned(self.moire, np.random.default_rng(seed))
        known = turned(self.known, np.random.default_rng(seed))
        if self.clean is self.moire:
            return Twins(moire, moire, self.kind, known)
        clean = turned(self.clean, np.random.default_rng(seed))
        return Twins(moire, clean, self.kind, known)


class FieldPictures:
    """What a part of a field folder has, but for pictures with moiré that have no twin."""

    def __init__(
        self,
        part: FieldPart,
        others: Sequence[Path],
        drawn: Sequence[Scene],
        config: FieldConfig,
    ) -> None:
        """Decode them all.

        Args:
            part: Field pictures.
            others: Further clean pictures, to be processed.
            drawn: Clean drawings, which only processing makes alike to pictures.
            config: Which sources are drawn more often than others.
        """
        clean = part.of("clean", "clean_hard")
        self.clean = read_scenes([picture.path for picture in clean])
        emphasis = [config.emphasis.get(picture.source, 1.0) for picture in clean]
        self._weights = _shares_of_scenes(self.clean, emphasis)
        self._others = read_scenes(others)
        self.drawn = drawn
        pairs = [read_pair(pair) for pair in part.pairs]
        self.photographs = [photograph for photograph, _ in pairs]
        self.shown = [shown for _, shown in pairs]
        self.patterns: list[PatternLayer] = list(map(take_pattern, self.photographs, self.shown))
        self.layers = [pattern for pattern in self.patterns if pattern.known >= _LEAST_KNOWN]

    def field_scene(self, rng: np.random.Generator) -> Scene:
        """A clean field picture."""
        return self.clean[int(rng.choice(len(self.clean), p=self._weights))]

    def any_scene(self, rng: np.random.Generator) -> Scene:
        """A clean field picture, one of the others or a drawing."""
        share = rng.random()
        if share < 0.7:
            return self.field_scene(rng)
        pictures = self._others if share < 0.92 and self._others else self.drawn
        return one_of(pictures, rng) if pictures else self.field_scene(rng)

    def laid_over(
        self,
        size: int,
        strengths: tuple[float, float],
        shares: ProcessingShares,
        rng: np.random.Generator,
    ) -> tuple[Scene, Scene] | None:
        """A tile with a real pattern and its twin without, after the same processing.

        Args:
            size: Side of the tiles, px.
            strengths: Between which RMS, in 1/255, the pattern's is drawn.
            shares: How often each step of the processing is taken.
            rng: Decides everything else.

        Returns:
            (size, size, 3) each; None where the piece of pattern that was drawn shows nothing.
        """
        scene = self.any_scene(rng)
        crop = cut(scene, source_side(size, draw_fitting_scale(scene, size, 0.6, 1.4, rng)), rng)
        strength = log_uniform(rng, *strengths)
        laid = lay_pattern_over(crop, one_of(self.layers, rng), strength, rng)
        if laid is None:
            return None
        return _processed_alike(laid, crop, size, shares, rng)


def as_stored(scene: Scene, size: int, rng: np.random.Generator) -> Scene:
    """A tile at the pixels of the file, turned."""
    return turned(cut(scene, size, rng), rng)


def through_processing(
    scene: Scene,
    size: int,
    rng: np.random.Generator,
    shares: ProcessingShares | None = None,
    scales: tuple[float, float] = (0.5, 1.5),
) -> Scene:
    """A tile of a scene that went through cameras, editors and web services once more."""
    side = source_side(size, draw_fitting_scale(scene, size, *scales, rng))
    return turned(process(cut(scene, side, rng), size, rng, shares), rng)


def draw_fitting_scale(
    scene: Scene, size: int, lowest: float, highest: float, rng: np.random.Generator
) -> float:
    """Not so small that the scene would have to be mirrored to fill the tile."""
    fills = (size + MARGIN) / min(scene.shape[:2])
    return draw_scale(rng, max(lowest, min(1.0, fills)), highest)


def random_window(
    picture: NDArray[np.uint8], side: int, rng: np.random.Generator
) -> tuple[slice, slice]:
    """Rows and columns of a square of this side, or as large as the picture has room for."""
    side = min(side, *picture.shape[:2])
    top = int(rng.integers(picture.shape[0] - side + 1))
    left = int(rng.integers(picture.shape[1] - side + 1))
    return slice(top, top + side), slice(left, left + side)


def one_of(choices: Sequence[_T], rng: np.random.Generator) -> _T:
    """One of several, all as often."""
    return choices[int(rng.integers(len(choices)))]


def cut(scene: Scene, side: int, rng: np.random.Generator) -> Scene:
    """A square of a scene, mirrored at its right and lower edge where it is too small."""
    top = int(rng.integers(max(1, scene.shape[0] - side + 1)))
    left = int(rng.integers(max(1, scene.shape[1] - side + 1)))
    crop = scene[top : top + side, left : left + side]
    missing = side - crop.shape[0], side - crop.shape[1]
    if max(missing) > 0:
        crop = cv2.copyMakeBorder(crop, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
    return np.ascontiguousarray(crop)


def turned(tile: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(S, S) or (S, S, 3) turned by quarters and mirrored at random."""
    quarters = np.rot90(tile, int(rng.integers(4)))
    return np.ascontiguousarray(quarters[:, ::-1] if rng.random() < 0.5 else quarters)


def _shares_of_scenes(scenes: Sequence[Scene], emphasis: Sequence[float]) -> NDArray[np.float64]:
    """How often each scene is drawn: by the root of its area, times its emphasis."""
    areas = np.array([min(scene.shape[0] * scene.shape[1], _LARGE) for scene in scenes])
    weights: NDArray[np.float64] = np.sqrt(areas) * np.array(emphasis)
    return weights / float(weights.sum())


def _processed_alike(
    one: Scene, other: Scene, size: int, shares: ProcessingShares, rng: np.random.Generator
) -> tuple[Scene, Scene]:
    """Two pictures after the very same processing: the same noise, the same compression."""
    seed = int(rng.integers(2**31))
    processed_one = process(one, size, np.random.default_rng(seed), shares)
    processed_other = process(other, size, np.random.default_rng(seed), shares)
    return processed_one, processed_other
