"""What the detector says about an image's cells, filled in as it gets to them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.turns import FURTHER_TURNS, with_further_looks
from demoire.cleaning.verdict import can_be_judged
from demoire.moire import KINDS


class Look(NamedTuple):
    """One look of the detector at a cell."""

    cell: int
    turn: int = 0  # quarter turns in which it is shown


class CellScores:
    """The probabilities of an image's cells, filled in as the detector gets to them."""

    def __init__(self, probabilities: NDArray[np.float32], cells: tuple[int, ...]) -> None:
        """Start with `probabilities` (all cells, 4), of which those of `cells` are to come."""
        self.probabilities = probabilities
        self._cells = cells
        self._missing = len(cells)

    @classmethod
    def of(cls, height: int, width: int) -> "CellScores":
        """Those of a picture nobody has judged; without cells where it is too small for that.

        Args:
            height: Of the picture, px.
            width: Likewise.
        """
        count = len(Grid(height, width)) if can_be_judged(height, width) else 0
        return cls(np.zeros((count, len(KINDS)), np.float32), tuple(range(count)))

    @property
    def looks(self) -> Iterator[Look]:
        """Those that the detector is to take."""
        return map(Look, self._cells)

    def put(self, look: Look, probabilities: NDArray[np.float32]) -> None:
        """Note what the detector says about one cell, (4,)."""
        self.probabilities[look.cell] = probabilities
        self._missing -= 1

    @property
    def complete(self) -> bool:
        """Whether the detector is done with all of them."""
        return self._missing == 0


class TurnedScores:
    """Means over all turns for the cells in doubt, filled in as the detector gets to them."""

    def __init__(self, first: NDArray[np.float32], cells: tuple[int, ...]) -> None:
        """Start with what the first look said of all cells (cells, 4); `cells` are in doubt."""
        self._first = first
        self._cells = cells
        self._further: dict[Look, NDArray[np.float32]] = {}

    @property
    def looks(self) -> Iterator[Look]:
        """Those that the detector is to take: at each of the cells in all further turns."""
        for turn in FURTHER_TURNS:
            for cell in self._cells:
                yield Look(cell, turn)

    def put(self, look: Look, probabilities: NDArray[np.float32]) -> None:
        """Note what the detector says about one cell after some turns, (4,)."""
        self._further[look] = probabilities

    @property
    def complete(self) -> bool:
        """Whether the detector is done with all of them."""
        return len(self._further) == len(FURTHER_TURNS) * len(self._cells)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of all cells, (cells, 4), once it is."""
        further = []
        for turn in FURTHER_TURNS:
            looks = [Look(cell, turn) for cell in self._cells]
            further.append(np.stack([self._further[look] for look in looks]))
        return with_further_looks(self._first, self._cells, further)
