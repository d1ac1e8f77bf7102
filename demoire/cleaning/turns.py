"""The cells that decide about an image in doubt, looked at in all four turns.

A pattern is one whichever way up it lies, but the detector's score of it is not quite the same each
way: by chance a weave or a row of tiles may score as high as moiré. The mean over turns is right
more often, and most of all where the first look was chosen for being high.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.verdict import Rules, is_in_doubt
from demoire.models.detector import deciding_cells, image_score

# Quarter turns, counterclockwise, beside the first look at the picture as it lies.
FURTHER_TURNS = (1, 2, 3)

_LEAST_PROBABILITY = 1e-9


def cells_in_doubt(probabilities: NDArray[np.float32], rules: Rules) -> tuple[int, ...]:
    """The cells that have to be looked at in further turns; none where the score is clear.

    Args:
        probabilities: (cells, 4) in the order of `KINDS`; no rows where nothing was judged.
        rules: The thresholds.
    """
    if rules.restore_all or not len(probabilities):
        return ()
    score, _ = image_score(probabilities)
    if not is_in_doubt(score, rules):
        return ()
    return tuple(int(cell) for cell in deciding_cells(probabilities))


def quarter_turned(view: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """A cell's view, (256, 256, 3), after so many quarter turns."""
    return np.rot90(view, turn)


def with_further_looks(
    first: NDArray[np.float32], cells: Sequence[int], further: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The probabilities of all cells, where some have been looked at again.

    Args:
        first: What the first look said of all of them, (cells, 4).
        cells: Those in doubt.
        further: What each further look said of these, (cells in doubt, 4).
    """
    doubtful = list(cells)
    means = first.copy()
    means[doubtful] = mean_of_looks(np.stack([first[doubtful], *further]))
    return means


def mean_of_looks(looks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of cells from several looks at each, by the mean of their logarithms.

    Args:
        looks: (looks, cells, 4) in the order of `KINDS`, each row of sum 1.

    Returns:
        (cells, 4), each row of sum 1.
    """
    logarithms = np.log(np.maximum(looks.astype(np.float64), _LEAST_PROBABILITY))
    means = np.exp(logarithms.mean(axis=0))
    probabilities: NDArray[np.float32] = means / means.sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32)
