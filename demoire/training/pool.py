"""Things that are drawn once each, by their number, and kept: a training that sees them again."""

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

_Thing = TypeVar("_Thing")


class DrawnPool(Generic[_Thing]):
    """A number of drawn things, each made when it is first asked for.

    Attributes:
        size: How many there are; 0 where nothing is to be kept.
    """

    def __init__(self, size: int, seed: int, make: Callable[[np.random.Generator], _Thing]) -> None:
        """Keep nothing yet.

        Args:
            size: How many things there are to be.
            seed: With a thing's number it decides what the thing is.
            make: Draws one.
        """
        self.size = size
        self._seed = seed
        self._make = make
        self._kept: dict[int, _Thing] = {}

    def one(self, rng: np.random.Generator) -> _Thing:
        """One of the things."""
        number = int(rng.integers(self.size))
        if number not in self._kept:
            self._kept[number] = self._make(np.random.default_rng([self._seed, number]))
        return self._kept[number]
