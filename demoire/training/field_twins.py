"""Pairs of field pictures for the restorer's training.

- "layer": a real pattern, taken off a registered pair, laid over a clean picture (which then has an
  exact twin), and both through the same editor and web service. Sharpening and compression that the
  two share stay in the target.
- "photograph": a photograph of a screen itself. What it should become is known where the screen
  showed something smooth, and the loss looks nowhere else: half a pixel of misregistration makes
  any edge a fault.
- "stored", "processed", "drawn": clean pictures, which should stay as they are.

A pair takes 30 to 40 ms on one core.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.errors import UsageError
from demoire.simulate.arrays import Scene, to_bytes
from demoire.simulate.processing import ProcessingShares
from demoire.training.config import FieldConfig, FieldTwin
from demoire.training.field_pictures import (
    TRIES,
    FieldPictures,
    Twins,
    as_stored,
    one_of,
    random_window,
    through_processing,
)
from demoire.training.patterns import PatternLayer
from demoire.training.pool import DrawnPool

_POOL_SEED = 7
_FAINTEST = 2.0  # RMS in 1/255 of a pattern that is laid over
_SEEN = 3.0  # RMS in 1/255 of a photograph's own pattern, where it is known
_LEAST_KNOWN = 0.3  # of a tile of a photograph; with less it teaches next to nothing
# Where less than this of a pattern is known, the target is not; where so much is, it is wholly.
_UNKNOWN, _KNOWN = 0.7, 0.95
# No noise is added. A photograph's own noise is part of its layer and goes with it, and noise that
# both pictures of a pair had would teach that it stays: trained so, less of the pattern went, too.
_LAID = ProcessingShares(sensor=0.0, noise=0.0, denoise=0.15, gray=0.1)


class FieldTwins:
    """Pairs of one part of a field folder, without end."""

    def __init__(self, pictures: FieldPictures, config: FieldConfig, size: int) -> None:
        """Take what there is.

        Args:
            pictures: Decoded field pictures.
            config: How often each kind of pair is drawn.
            size: Side of a tile, px.

        Raises:
            UsageError: There is no picture for any kind of pair that is to be drawn.
        """
        self.share = config.share
        self._size = size
        self._pictures = pictures
        self._strengths = (_FAINTEST, config.strongest)
        self._pool = DrawnPool(config.pool, _POOL_SEED, self.made)
        self._makers: list[Callable[[np.random.Generator], Twins | None]] = []
        shares: list[float] = []
        for name, maker in self._possible().items():
            self._makers.append(maker)
            shares.append(config.twins.get(name, 0.0))
        if not sum(shares) > 0:
            raise UsageError("The training part has no picture of any kind that field.twins draws.")
        self._shares = np.array(shares) / sum(shares)

    def twins(self, rng: np.random.Generator) -> Twins:
        """A pair; of the pool, where there is one."""
        if not self._pool.size:
            return self.made(rng)
        return self._pool.one(rng).turned(rng)

    def made(self, rng: np.random.Generator) -> Twins:
        """As `twins`, and always made anew.

        Raises:
            UsageError: Nothing that is drawn shows a pattern.
        """
        for _ in range(TRIES):
            maker = self._makers[int(rng.choice(len(self._makers), p=self._shares))]
            pair = maker(rng)
            if pair is not None:
                return pair
        raise UsageError(
            "The pairs of the training part show no pattern; "
            "add pairs that do, or leave them out of field.twins."
        )

    def _possible(self) -> dict[FieldTwin, Callable[[np.random.Generator], Twins | None]]:
        """What can be made of the pictures that are there."""
        pictures = self._pictures
        possible: dict[FieldTwin, Callable[[np.random.Generator], Twins | None]] = {}
        if pictures.clean and pictures.layers:
            possible["layer"] = self._layer
        if pictures.photographs:
            possible["photograph"] = self._photograph
        if pictures.clean:
            possible["stored"] = self._stored
            possible["processed"] = self._processed
        if len(pictures.drawn):
            possible["drawn"] = self._drawn
        return possible

    def _layer(self, rng: np.random.Generator) -> Twins | None:
        twins = self._pictures.laid_over(self._size, self._strengths, _LAID, rng)
        return None if twins is None else Twins.exact(*twins, kind="screen")

    def _photograph(self, rng: np.random.Generator) -> Twins | None:
        number = int(rng.integers(len(self._pictures.photographs)))
        photograph = self._pictures.photographs[number]
        pattern = self._pictures.patterns[number]
        scale = rng.uniform(0.75, 1.3)
        window = random_window(photograph, round(self._size / scale), rng)
        if not _SEEN <= pattern.strength(window) < np.inf:
            return None
        tile = photograph[window]
        known = _known(pattern, window)
        if min(tile.shape[:2]) < self._size / 1.3 or known.mean() < _LEAST_KNOWN:
            return None
        clean = tile.astype(np.float32) - 255 * pattern.change[window].astype(np.float32)
        side = self._size
        return Twins(
            _resized(tile.astype(np.float32), side),
            _resized(clean, side),
            "screen",
            _resized(255 * known, side),
        ).turned(rng)

    def _stored(self, rng: np.random.Generator) -> Twins:
        return Twins.of_clean(as_stored(self._pictures.field_scene(rng), self._size, rng))

    def _processed(self, rng: np.random.Generator) -> Twins:
        return Twins.of_clean(through_processing(self._pictures.any_scene(rng), self._size, rng))

    def _drawn(self, rng: np.random.Generator) -> Twins:
        return Twins.of_clean(as_stored(one_of(self._pictures.drawn, rng), self._size, rng))


def _known(pattern: PatternLayer, window: tuple[slice, slice]) -> NDArray[np.floating]:
    """(H, W) 0..1: where the photograph less its pattern is what the screen showed."""
    weights = pattern.weights[window].astype(np.float32)
    known: NDArray[np.floating] = np.clip((weights - _UNKNOWN) / (_KNOWN - _UNKNOWN), 0, 1)
    return known


def _resized(picture: NDArray[np.floating], side: int) -> Scene:
    shrinks = picture.shape[0] > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return to_bytes(cv2.resize(picture, (side, side), interpolation=method))
