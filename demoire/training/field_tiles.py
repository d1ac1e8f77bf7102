"""Tiles of field pictures for the detector's training.

Half of them are as they are stored, at their native pixels: what a camera, a scanner or a web
service left in a picture is what a detector takes for moiré. The others go through a drawn camera,
editor and web service once more (`demoire.simulate.processing`), those with moiré and those without
by the same rules.

A tile takes 2 ms as stored and 10 to 15 processed, on one core.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.errors import UsageError
from demoire.moire import KINDS, MoireKind
from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import read_scene
from demoire.simulate.processing import MARGIN, ProcessingShares, draw_scale, process, source_side
from demoire.training.config import FieldConfig, FieldTile
from demoire.training.field import FieldPart, read_pair
from demoire.training.patterns import lay_over, take_pattern

LabelledTile = tuple[Scene, MoireKind]
_T = TypeVar("_T")

_LARGE = 1.2e6  # px; a larger picture is drawn no more often
_LEAST_KNOWN = 0.1  # of a pattern layer; with less there is hardly a window to cut
_STRENGTHS = (2.5, 14.0)  # RMS in 1/255 of a pattern that is laid over
_VISIBLE = 3.0  # RMS in 1/255 that the pattern has to have after processing
_FINE, _HIDDEN = 2.0, 0.4  # px, sigma; and the share of a tile's own detail finer than that
_SEEN = 4.0  # RMS in 1/255 of a photograph's own pattern, where it is known
_TRIES = 8
_POOL_SEED = 6
# What has moiré is processed less: strong denoising or noise takes the pattern away, and the tile's
# kind with it.
_GENTLE = ProcessingShares(sensor=0.12, noise=0.2, denoise=0.12, gray=0.1)
_LAID = ProcessingShares(sensor=0.25, noise=0.2)


class FieldTiles:
    """Labelled tiles of the pictures of one part of a field folder, without end."""

    def __init__(
        self,
        part: FieldPart,
        others: Sequence[Path],
        drawn: Sequence[Scene],
        config: FieldConfig,
        size: int,
    ):
        """Decode all pictures: 3 bytes a pixel, and 8 for pattern layers.

        Args:
            part: field pictures.
            others: further clean pictures, to be processed.
            drawn: clean drawings, which only processing makes alike to pictures.
            config: how often each kind of tile is drawn.
            size: side of a tile, px.
        """
        self.share = config.share
        self._pool_size = config.pool
        self._pool: dict[int, LabelledTile] = {}
        self._size = size
        clean = part.of("clean", "clean_hard")
        self._clean = [read_scene(picture.path) for picture in clean]
        areas = np.array([min(scene.shape[0] * scene.shape[1], _LARGE) for scene in self._clean])
        emphasis = np.array([config.emphasis.get(picture.source, 1.0) for picture in clean])
        weights = np.sqrt(areas) * emphasis
        self._weights = weights / weights.sum()
        self._others = [read_scene(path) for path in others]
        self._drawn = drawn
        self._screens = [read_scene(picture.path) for picture in part.of("screens")]
        self._halftone = [read_scene(picture.path) for picture in part.of("halftone")]
        pairs = [read_pair(pair) for pair in part.pairs]
        self._photographs = [photograph for photograph, _ in pairs]
        self._shown = [shown for _, shown in pairs]
        self._patterns = list(map(take_pattern, self._photographs, self._shown))
        self._layers = [pattern for pattern in self._patterns if pattern.known >= _LEAST_KNOWN]
        self._makers: dict[FieldTile, Callable[[np.random.Generator], LabelledTile | None]] = {
            "stored": self._stored,
            "processed": self._processed,
            "drawn": self._drawn_tile,
            "shown": self._shown_tile,
            "twin": self._twin,
            "screen": self._screen,
            "layer": self._layer,
            "halftone": self._halftone_tile,
        }
        possible = self._possible()
        shares = np.array([config.mix.get(n, 0.0) * (n in possible) for n in self._makers])
        if not shares.sum() > 0:
            raise UsageError("The training part has no picture of any kind that field.mix draws.")
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> LabelledTile:
        """(size, size, 3) uint8 sRGB, and its kind; of the pool, where there is one."""
        if not self._pool_size:
            return self.made(rng)
        number = int(rng.integers(self._pool_size))
        if number not in self._pool:
            self._pool[number] = self.made(np.random.default_rng([_POOL_SEED, number]))
        tile, kind = self._pool[number]
        return _turned(tile, rng), kind

    def made(self, rng: np.random.Generator) -> LabelledTile:
        """As `draw`, and always made anew."""
        makers = list(self._makers.values())
        for _ in range(_TRIES):
            tile = makers[int(rng.choice(len(makers), p=self._shares))](rng)
            if tile is not None:
                return tile
        return makers[int(self._shares.argmax())](rng) or self.made(rng)

    def _possible(self) -> set[FieldTile]:
        """What can be drawn of the pictures that are there."""
        needs: dict[FieldTile, Sequence[object]] = {
            "stored": self._clean,
            "processed": self._clean,
            "drawn": self._drawn,
            "shown": self._shown,
            "twin": self._layers if self._clean else (),
            "screen": [*self._screens, *self._photographs],
            "layer": self._layers if self._clean else (),
            "halftone": self._halftone,
        }
        return {name for name, pictures in needs.items() if len(pictures)}

    # Without moiré

    def _stored(self, rng: np.random.Generator) -> LabelledTile:
        return self._as_stored(self._field_scene(rng), rng), KINDS[0]

    def _processed(self, rng: np.random.Generator) -> LabelledTile:
        return self._through_processing(self._any_scene(rng), rng), KINDS[0]

    def _drawn_tile(self, rng: np.random.Generator) -> LabelledTile:
        noisy = ProcessingShares(sensor=0.5, noise=0.3)
        return self._through_processing(_one_of(self._drawn, rng), rng, noisy), KINDS[0]

    def _shown_tile(self, rng: np.random.Generator) -> LabelledTile:
        """What a screen showed that was photographed."""
        return self._through_processing(_one_of(self._shown, rng), rng), KINDS[0]

    def _twin(self, rng: np.random.Generator) -> LabelledTile | None:
        twins = self._laid_over(rng)
        return None if twins is None else (twins[1], KINDS[0])

    # With moiré

    def _screen(self, rng: np.random.Generator) -> LabelledTile | None:
        """Of pairs, only where the pattern can be seen: black and blurred places have none."""
        number = int(rng.integers(len(self._screens) + len(self._photographs)))
        if number >= len(self._photographs):
            return self._with_moire(self._screens[number - len(self._photographs)], rng), "screen"
        photograph, pattern = self._photographs[number], self._patterns[number]
        side = min(round(self._size * 1.2), *photograph.shape[:2])
        top = int(rng.integers(photograph.shape[0] - side + 1))
        left = int(rng.integers(photograph.shape[1] - side + 1))
        place = slice(top, top + side), slice(left, left + side)
        if pattern.strength(place) < _SEEN:
            return None
        return self._with_moire(photograph[place], rng), "screen"

    def _halftone_tile(self, rng: np.random.Generator) -> LabelledTile:
        return self._with_moire(_one_of(self._halftone, rng), rng), "halftone"

    def _layer(self, rng: np.random.Generator) -> LabelledTile | None:
        twins = self._laid_over(rng)
        if twins is None:
            return None
        laid, clean = (twin.astype(np.float32) for twin in twins)
        # Gravel and noise hide what is plain to see on a wall.
        busy = _rms(clean - cv2.GaussianBlur(clean, (0, 0), _FINE))
        is_visible = _rms(laid - clean) >= max(_VISIBLE, _HIDDEN * busy)
        return (twins[0], "screen") if is_visible else None

    def _laid_over(self, rng: np.random.Generator) -> tuple[Scene, Scene] | None:
        """A tile with a real pattern and its twin, after the same processing."""
        scene = self._any_scene(rng)
        crop = _cut(scene, source_side(self._size, self._scale(scene, 0.6, 1.4, rng)), rng)
        strength = float(np.exp(rng.uniform(*np.log(_STRENGTHS))))
        laid = lay_over(crop, _one_of(self._layers, rng), strength, rng)
        if laid is None:
            return None
        seed = int(rng.integers(2**31))
        one, other = (
            process(side, self._size, np.random.default_rng(seed), _LAID) for side in (laid, crop)
        )
        return one, other

    def _with_moire(self, scene: Scene, rng: np.random.Generator) -> Scene:
        if rng.random() < 0.4:
            return self._as_stored(scene, rng)
        return self._through_processing(scene, rng, _GENTLE, (0.75, 1.3))

    # All

    def _field_scene(self, rng: np.random.Generator) -> Scene:
        return self._clean[int(rng.choice(len(self._clean), p=self._weights))]

    def _any_scene(self, rng: np.random.Generator) -> Scene:
        share = rng.random()
        if share < 0.7:
            return self._field_scene(rng)
        pictures = self._others if share < 0.92 and self._others else self._drawn
        return _one_of(pictures, rng) if pictures else self._field_scene(rng)

    def _as_stored(self, scene: Scene, rng: np.random.Generator) -> Scene:
        return _turned(_cut(scene, self._size, rng), rng)

    def _through_processing(
        self,
        scene: Scene,
        rng: np.random.Generator,
        shares: ProcessingShares | None = None,
        scales: tuple[float, float] = (0.5, 1.5),
    ) -> Scene:
        side = source_side(self._size, self._scale(scene, *scales, rng))
        return _turned(process(_cut(scene, side, rng), self._size, rng, shares), rng)

    def _scale(
        self, scene: Scene, lowest: float, highest: float, rng: np.random.Generator
    ) -> float:
        """Not so small that the scene would have to be mirrored to fill the tile."""
        fills = (self._size + MARGIN) / min(scene.shape[:2])
        return draw_scale(rng, max(lowest, min(1.0, fills)), highest)


def _rms(difference: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(difference))))


def _one_of(choices: Sequence[_T], rng: np.random.Generator) -> _T:
    return choices[int(rng.integers(len(choices)))]


def _cut(scene: Scene, side: int, rng: np.random.Generator) -> Scene:
    top = int(rng.integers(max(1, scene.shape[0] - side + 1)))
    left = int(rng.integers(max(1, scene.shape[1] - side + 1)))
    crop = scene[top : top + side, left : left + side]
    missing = side - crop.shape[0], side - crop.shape[1]
    if max(missing) > 0:
        crop = cv2.copyMakeBorder(crop, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
    return np.ascontiguousarray(crop)


def _turned(tile: NDArray[np.uint8], rng: np.random.Generator) -> Scene:
    turned = np.rot90(tile, int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)
