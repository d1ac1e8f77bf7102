"""One picture through the detector by itself, outside of any run over many."""

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import Grid
from demoire.cleaning.turns import (
    FURTHER_TURNS,
    cells_in_doubt,
    quarter_turned,
    with_further_looks,
)
from demoire.cleaning.verdict import Rules, can_be_judged
from demoire.imaging.codecs.raster import Pixels
from demoire.moire import KINDS

_CELLS_AT_ONCE = 64  # so that a large picture does not lie in memory a second time


def cell_probabilities(engine: Engine, pixels: Pixels, rules: Rules) -> NDArray[np.float32]:
    """What the detector says of each cell of a picture.

    Args:
        engine: Has the detector.
        pixels: (H, W, 1 or 3) uint8 or uint16.
        rules: When a picture is in doubt, so that it is looked at in further turns.

    Returns:
        (cells, 4) in the order of `KINDS`; no rows for a picture that is too small to be judged.
    """
    height, width = pixels.shape[:2]
    if not can_be_judged(height, width):
        return np.zeros((0, len(KINDS)), np.float32)
    grid = Grid(height, width)
    judged = []
    for start in range(0, len(grid), _CELLS_AT_ONCE):
        cells = range(start, min(start + _CELLS_AT_ONCE, len(grid)))
        judged.append(engine.judge([grid.view(pixels, cell) for cell in cells]))
    probabilities = np.concatenate(judged)
    doubtful = cells_in_doubt(probabilities, rules)
    if not doubtful:
        return probabilities
    views = [grid.view(pixels, cell) for cell in doubtful]
    further = []
    for turn in FURTHER_TURNS:
        further.append(engine.judge([quarter_turned(view, turn) for view in views]))
    return with_further_looks(probabilities, doubtful, further)
