"""What the detector says about an image's cells, filled in as it gets to them."""

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.turns import FURTHER_TURNS, with_further_looks
from demoire.cleaning.verdict import can_be_judged
from demoire.moire import KINDS


class CellScores:
    """The probabilities of an image's cells, filled in as the detector gets to them."""

    turns = (0,)  # quarter turns in which the detector is to look at each of them

    def __init__(self, probabilities: NDArray[np.float32], cells: tuple[int, ...]) -> None:
        """Start with `probabilities` (all cells, 4), of which those of `cells` are to come."""
        self.cells = cells
        self.probabilities = probabilities
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

    def put(self, cell: int, probabilities: NDArray[np.float32], turn: int = 0) -> None:
        """Note what the detector says about one cell, (4,)."""
        self.probabilities[cell] = probabilities
        self._missing -= 1

    @property
    def complete(self) -> bool:
        """Whether the detector is done with all of them."""
        return self._missing == 0


class TurnedScores:
    """Means over all turns for the cells in doubt, filled in as the detector gets to them."""

    turns = FURTHER_TURNS

    def __init__(self, first: NDArray[np.float32], cells: tuple[int, ...]) -> None:
        """Start with what the first look said of all cells (cells, 4); `cells` are in doubt."""
        self.cells = cells
        self._first = first
        self._further: dict[tuple[int, int], NDArray[np.float32]] = {}

    def put(self, cell: int, probabilities: NDArray[np.float32], turn: int = 0) -> None:
        """Note what the detector says about one cell after `turn` quarter turns, (4,)."""
        self._further[turn, cell] = probabilities

    @property
    def complete(self) -> bool:
        """Whether the detector is done with all of them."""
        return len(self._further) == len(self.turns) * len(self.cells)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of all cells, (cells, 4), once it is."""
        further = []
        for turn in self.turns:
            further.append(np.stack([self._further[turn, cell] for cell in self.cells]))
        return with_further_looks(self._first, self.cells, further)
