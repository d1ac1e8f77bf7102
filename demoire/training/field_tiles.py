"""Tiles of field pictures for the detector's training.

Half of them are as they are stored, at their native pixels: what a camera, a scanner or a web
service left in a picture is what a detector takes for moiré. The others go through a drawn camera,
editor and web service once more (`demoire.simulate.processing`), those with moiré and those without
by the same rules.

A tile takes 2 ms as stored and 10 to 15 processed, on one core.
"""

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.errors import UsageError
from demoire.moire import KINDS, MoireKind
from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import read_scenes
from demoire.simulate.processing import ProcessingShares
from demoire.training.config import FieldConfig, FieldTile
from demoire.training.field import FieldPart, Group
from demoire.training.field_pictures import (
    TRIES,
    FieldPictures,
    Twins,
    as_stored,
    one_of,
    random_window,
    through_processing,
    turned,
)
from demoire.training.pool import DrawnPool

LabelledTile = tuple[Scene, MoireKind]

_STRENGTHS = (2.5, 14.0)  # RMS in 1/255 of a pattern that is laid over
_VISIBLE = 3.0  # RMS in 1/255 that the pattern has to have after processing
_FINE, _HIDDEN = 2.0, 0.4  # px, sigma; and the share of a tile's own detail finer than that
_SEEN = 4.0  # RMS in 1/255 of a photograph's own pattern, where it is known
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
        pictures: FieldPictures,
        config: FieldConfig,
        size: int,
    ) -> None:
        """Decode the pictures that have moiré and no twin, too.

        Args:
            part: field pictures.
            pictures: those of the part that are decoded already.
            config: how often each kind of tile is drawn.
            size: side of a tile, px.
        """
        self.share = config.share
        self._pool = DrawnPool(config.pool, _POOL_SEED, self.made)
        self._size = size
        self._pictures = pictures
        self._screens = _scenes_of(part, "screens")
        self._halftone = _scenes_of(part, "halftone")
        self._texture = _scenes_of(part, "texture")
        self._makers: dict[FieldTile, Callable[[np.random.Generator], LabelledTile | None]] = {
            "stored": self._stored,
            "processed": self._processed,
            "drawn": self._drawn_tile,
            "shown": self._shown_tile,
            "twin": self._twin,
            "screen": self._screen,
            "layer": self._layer,
            "halftone": self._halftone_tile,
            "texture": self._texture_tile,
        }
        self._shares = _shares_of_kinds(config, self._makers, self._possible())

    def draw(self, rng: np.random.Generator) -> LabelledTile:
        """(size, size, 3) uint8 sRGB, and its kind; of the pool, where there is one."""
        if not self._pool.size:
            return self.made(rng)
        tile, kind = self._pool.one(rng)
        return turned(tile, rng), kind

    def twins(self, rng: np.random.Generator) -> Twins:
        """As `draw`, as a pair: a detector looks at no twin."""
        tile, kind = self.draw(rng)
        return Twins.exact(tile, tile, kind)

    def made(self, rng: np.random.Generator) -> LabelledTile:
        """As `draw`, and always made anew.

        Raises:
            UsageError: Nothing that is drawn shows a pattern.
        """
        makers = list(self._makers.values())
        for _ in range(TRIES):
            tile = makers[int(rng.choice(len(makers), p=self._shares))](rng)
            if tile is not None:
                return tile
        raise UsageError(
            "The pairs of the training part show no pattern; "
            "add pairs that do, or leave them out of field.mix."
        )

    def _possible(self) -> set[FieldTile]:
        """What can be drawn of the pictures that are there."""
        needs: dict[FieldTile, Sequence[object]] = {
            "stored": self._pictures.clean,
            "processed": self._pictures.clean,
            "drawn": self._pictures.drawn,
            "shown": self._pictures.shown,
            "twin": self._pictures.layers if self._pictures.clean else (),
            "screen": [*self._screens, *self._pictures.photographs],
            "layer": self._pictures.layers if self._pictures.clean else (),
            "halftone": self._halftone,
            "texture": self._texture,
        }
        return {name for name, pictures in needs.items() if len(pictures)}

    # Without moiré

    def _stored(self, rng: np.random.Generator) -> LabelledTile:
        return as_stored(self._pictures.field_scene(rng), self._size, rng), KINDS[0]

    def _processed(self, rng: np.random.Generator) -> LabelledTile:
        return through_processing(self._pictures.any_scene(rng), self._size, rng), KINDS[0]

    def _drawn_tile(self, rng: np.random.Generator) -> LabelledTile:
        noisy = ProcessingShares(sensor=0.5, noise=0.3)
        drawing = one_of(self._pictures.drawn, rng)
        return through_processing(drawing, self._size, rng, noisy), KINDS[0]

    def _shown_tile(self, rng: np.random.Generator) -> LabelledTile:
        """What a screen showed that was photographed."""
        return through_processing(one_of(self._pictures.shown, rng), self._size, rng), KINDS[0]

    def _twin(self, rng: np.random.Generator) -> LabelledTile | None:
        twins = self._pictures.laid_over(self._size, _STRENGTHS, _LAID, rng)
        return None if twins is None else (twins[1], KINDS[0])

    # With moiré

    def _screen(self, rng: np.random.Generator) -> LabelledTile | None:
        """Of pairs, only where the pattern can be seen: black and blurred places have none."""
        number = int(rng.integers(len(self._screens) + len(self._pictures.photographs)))
        if number >= len(self._pictures.photographs):
            alone = self._screens[number - len(self._pictures.photographs)]
            return _with_moire(alone, self._size, rng), "screen"
        photograph = self._pictures.photographs[number]
        window = random_window(photograph, round(self._size * 1.2), rng)
        if self._pictures.patterns[number].strength(window) < _SEEN:
            return None
        return _with_moire(photograph[window], self._size, rng), "screen"

    def _halftone_tile(self, rng: np.random.Generator) -> LabelledTile:
        return _with_moire(one_of(self._halftone, rng), self._size, rng), "halftone"

    def _texture_tile(self, rng: np.random.Generator) -> LabelledTile:
        return _with_moire(one_of(self._texture, rng), self._size, rng), "texture"

    def _layer(self, rng: np.random.Generator) -> LabelledTile | None:
        twins = self._pictures.laid_over(self._size, _STRENGTHS, _LAID, rng)
        if twins is None:
            return None
        laid, clean = twins
        return (laid, "screen") if _is_visible(laid, clean) else None


def _with_moire(scene: Scene, size: int, rng: np.random.Generator) -> Scene:
    """A tile of a scene that has moiré: as it is stored, or gently processed."""
    if rng.random() < 0.4:
        return as_stored(scene, size, rng)
    return through_processing(scene, size, rng, _GENTLE, (0.75, 1.3))


def _scenes_of(part: FieldPart, group: Group) -> list[Scene]:
    return read_scenes([picture.path for picture in part.of(group)])


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


def _is_visible(laid: Scene, clean: Scene) -> bool:
    """Whether a pattern can be seen: gravel and noise hide what is plain to see on a wall."""
    without = clean.astype(np.float32)
    busy = _rms(without - cv2.GaussianBlur(without, (0, 0), _FINE))
    strength = _rms(laid.astype(np.float32) - without)
    return strength >= max(_VISIBLE, _HIDDEN * busy)


def _rms(difference: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(difference))))
