"""How a page is read before and after cleaning, in several readings, and whether it is worse.

The measure is the character error rate: edits (a letter put in, taken out or exchanged) that lead
from what was read to the true text, a true character. White space counts as one space each.

What tesseract reads hangs on single pixels: where noise of one level is added to a page, and
nothing else is done, every third one is read otherwise, better or worse. So a page that was changed
is read several times before and as often after. The first reading is of the page as it is; for each
of the others it is moved by a pixel or two, and has noise of -1, 0 or 1 of 255, the same before as
after. The differences between the two readings of each pair are what cleaning did, and chance.

A page is surely worse if the mean of these differences is above zero by more than they scatter: a
one-sided paired t-test at 5 %. Of five readings that is a mean of 0.95 standard deviations. So of
pages with which nothing but chance has happened up to 5 % are surely worse, and as many surely
better; the fewer, the more of them are read alike in each reading.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.tesseract import read_text

_LARGEST_MOVE = 2  # px
_CHANCE = 0.05  # of a page that is neither worse nor better, to be found surely worse


@dataclass(frozen=True)
class TextErrors:
    """Character error rates of a page, 0 where all is read.

    Attributes:
        before: Of each reading of the page as it was; the first one is of the page undisturbed.
        after: Of the page as it is, disturbed in the same ways. A page that was not changed is read
            once, and that reading stands for both.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def is_worse(self) -> bool:
        """Whether the error of the undisturbed page grows at all."""
        return self.after[0] > self.before[0]

    @property
    def is_surely_worse(self) -> bool:
        """Whether it grows by more than chance."""
        return _surely_grows(self.before, self.after)

    @property
    def is_surely_better(self) -> bool:
        """Whether it falls by more than chance."""
        return _surely_grows(self.after, self.before)


def compare_text(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    truth: str,
    language: str,
    readings: int,
) -> TextErrors:
    """Read a page before and after.

    Args:
        before: (H, W, 3) sRGB.
        after: The same page, cleaned; the very array of `before` where it was not changed.
        truth: What is written on it, at least one character, as `as_plain_text` leaves it.
        language: As tesseract calls it.
        readings: How often it is read before, and as often after; at least 2.
    """
    if after is before:
        error = character_error(read_text(before, language), truth)
        return TextErrors((error,), (error,))
    errors_before: list[float] = []
    errors_after: list[float] = []
    for number in range(readings):
        for picture, errors in ((before, errors_before), (after, errors_after)):
            read = read_text(disturbed(picture, number), language)
            errors.append(character_error(read, truth))
    return TextErrors(tuple(errors_before), tuple(errors_after))


def disturbed(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) for the reading of this number; for the first one, 0, as it is."""
    if number == 0:
        return picture
    down, right = divmod(number, _LARGEST_MOVE + 1)
    moved = picture[down % (_LARGEST_MOVE + 1) :, right:]
    noise = np.random.default_rng(number).integers(-1, 2, moved.shape, np.int8)
    return np.asarray(cv2.add(moved, noise, dtype=cv2.CV_8U))


def character_error(read: str, truth: str) -> float:
    """Edits that lead from what was read to the truth, a character of the truth."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(read, truth) / len(truth)


def _surely_grows(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Whether errors grow from the first to the second, by more than their growth scatters."""
    from scipy.stats import t

    growth = np.subtract(second, first)
    mean = float(growth.mean())
    if mean <= 0:
        return False
    error_of_mean = float(growth.std(ddof=1)) / math.sqrt(len(growth))
    bound = float(t.ppf(1 - _CHANCE, len(growth) - 1))
    return mean > bound * error_of_mean
