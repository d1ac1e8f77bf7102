"""Tiles of field pictures for the detector's training.

Half of them are as they are stored, at their native pixels: what a camera, a scanner or a web
service left in a picture is what a detector takes for moiré. The others go through a drawn camera,
editor and web service once more (`demoire.simulate.processing`), those with moiré and those without
by the same rules.

A tile takes 2 ms as stored and 10 to 15 processed, on one core.
"""

from collections.abc import Callable, Iterable, Sequence
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
from demoire.training.field import FieldPart, Group, read_pair
from demoire.training.patterns import lay_pattern_over, take_pattern

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
        emphasis = [config.emphasis.get(picture.source, 1.0) for picture in clean]
        self._weights = _shares_of_scenes(self._clean, emphasis)
        self._others = [read_scene(path) for path in others]
        self._drawn = drawn
        self._screens = _scenes_of(part, "screens")
        self._halftone = _scenes_of(part, "halftone")
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
        self._shares = _shares_of_kinds(config, self._makers, self._possible())

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
        return _as_stored(self._field_scene(rng), self._size, rng), KINDS[0]

    def _processed(self, rng: np.random.Generator) -> LabelledTile:
        return _through_processing(self._any_scene(rng), self._size, rng), KINDS[0]

    def _drawn_tile(self, rng: np.random.Generator) -> LabelledTile:
        noisy = ProcessingShares(sensor=0.5, noise=0.3)
        return _through_processing(_one_of(self._drawn, rng), self._size, rng, noisy), KINDS[0]

    def _shown_tile(self, rng: np.random.Generator) -> LabelledTile:
        """What a screen showed that was photographed."""
        return _through_processing(_one_of(self._shown, rng), self._size, rng), KINDS[0]

    def _twin(self, rng: np.random.Generator) -> LabelledTile | None:
        twins = self._laid_over(rng)
        return None if twins is None else (twins[1], KINDS[0])

    # With moiré

    def _screen(self, rng: np.random.Generator) -> LabelledTile | None:
        """Of pairs, only where the pattern can be seen: black and blurred places have none."""
        number = int(rng.integers(len(self._screens) + len(self._photographs)))
        if number >= len(self._photographs):
            return _with_moire(
                self._screens[number - len(self._photographs)], self._size, rng
            ), "screen"
        photograph = self._photographs[number]
        window = _random_window(photograph, round(self._size * 1.2), rng)
        if self._patterns[number].strength(window) < _SEEN:
            return None
        return _with_moire(photograph[window], self._size, rng), "screen"

    def _halftone_tile(self, rng: np.random.Generator) -> LabelledTile:
        return _with_moire(_one_of(self._halftone, rng), self._size, rng), "halftone"

    def _layer(self, rng: np.random.Generator) -> LabelledTile | None:
        twins = self._laid_over(rng)
        if twins is None:
            return None
        laid, clean = twins
        return (laid, "screen") if _is_visible(laid, clean) else None

    def _laid_over(self, rng: np.random.Generator) -> tuple[Scene, Scene] | None:
        """A tile with a real pattern and its twin, after the same processing."""
        scene = self._any_scene(rng)
        crop = _cut(
            scene, source_side(self._size, _draw_scale(scene, self._size, 0.6, 1.4, rng)), rng
        )
        strength = float(np.exp(rng.uniform(*np.log(_STRENGTHS))))
        laid = lay_pattern_over(crop, _one_of(self._layers, rng), strength, rng)
        if laid is None:
            return None
        return _processed_alike(laid, crop, self._size, rng)

    # All

    def _field_scene(self, rng: np.random.Generator) -> Scene:
        return self._clean[int(rng.choice(len(self._clean), p=self._weights))]

    def _any_scene(self, rng: np.random.Generator) -> Scene:
        share = rng.random()
        if share < 0.7:
            return self._field_scene(rng)
        pictures = self._others if share < 0.92 and self._others else self._drawn
        return _one_of(pictures, rng) if pictures else self._field_scene(rng)


def _with_moire(scene: Scene, size: int, rng: np.random.Generator) -> Scene:
    """A tile of a scene that has moiré: as it is stored, or gently processed."""
    if rng.random() < 0.4:
        return _as_stored(scene, size, rng)
    return _through_processing(scene, size, rng, _GENTLE, (0.75, 1.3))


def _as_stored(scene: Scene, size: int, rng: np.random.Generator) -> Scene:
    return _turned(_cut(scene, size, rng), rng)


def _through_processing(
    scene: Scene,
    size: int,
    rng: np.random.Generator,
    shares: ProcessingShares | None = None,
    scales: tuple[float, float] = (0.5, 1.5),
) -> Scene:
    """A tile of a scene that went through cameras, editors and web services once more."""
    side = source_side(size, _draw_scale(scene, size, *scales, rng))
    return _turned(process(_cut(scene, side, rng), size, rng, shares), rng)


def _draw_scale(
    scene: Scene, size: int, lowest: float, highest: float, rng: np.random.Generator
) -> float:
    """Not so small that the scene would have to be mirrored to fill the tile."""
    fills = (size + MARGIN) / min(scene.shape[:2])
    return draw_scale(rng, max(lowest, min(1.0, fills)), highest)


def _scenes_of(part: FieldPart, group: Group) -> list[Scene]:
    return [read_scene(picture.path) for picture in part.of(group)]


def _shares_of_scenes(scenes: Sequence[Scene], emphasis: Sequence[float]) -> NDArray[np.float64]:
    """How often each scene is drawn: by the root of its area, times its emphasis."""
    areas = np.array([min(scene.shape[0] * scene.shape[1], _LARGE) for scene in scenes])
    weights: NDArray[np.float64] = np.sqrt(areas) * np.array(emphasis)
    return weights / float(weights.sum())


def _shares_of_kinds(
    config: FieldConfig, kinds: Iterable[FieldTile], possible: set[FieldTile]
) -> NDArray[np.float64]:
    """How often each kind of tile is drawn: never what there is no picture for.

    Raises:
        UsageError: There is no picture for any of them.
    """
    shares = []
    for kind in kinds:
        shares.append(config.mix.get(kind, 0.0) if kind in possible else 0.0)
    if not sum(shares) > 0:
        raise UsageError("The training part has no picture of any kind that field.mix draws.")
    return np.array(shares) / sum(shares)


def _processed_alike(
    one: Scene, other: Scene, size: int, rng: np.random.Generator
) -> tuple[Scene, Scene]:
    """Two pictures after the very same processing: the same noise, the same compression."""
    seed = int(rng.integers(2**31))
    processed_one = process(one, size, np.random.default_rng(seed), _LAID)
    processed_other = process(other, size, np.random.default_rng(seed), _LAID)
    return processed_one, processed_other


def _random_window(picture: Scene, side: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a square of this side, or as large as the picture has room for."""
    side = min(side, *picture.shape[:2])
    top = int(rng.integers(picture.shape[0] - side + 1))
    left = int(rng.integers(picture.shape[1] - side + 1))
    return slice(top, top + side), slice(left, left + side)


def _is_visible(laid: Scene, clean: Scene) -> bool:
    """Whether a pattern can be seen: gravel and noise hide what is plain to see on a wall."""
    without = clean.astype(np.float32)
    busy = _rms(without - cv2.GaussianBlur(without, (0, 0), _FINE))
    strength = _rms(laid.astype(np.float32) - without)
    return strength >= max(_VISIBLE, _HIDDEN * busy)


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
