"""Cells and windows of all images that wait for the model, in batches across images."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias

import numpy as np

from demoire.cleaning.cell_scores import Look
from demoire.cleaning.image_job import (
    BeingJudgedAgain,
    BeingRestored,
    ImageJob,
    K,
    WithDetector,
)
from demoire.moire import CELL


@dataclass(frozen=True)
class CellTask(Generic[K]):
    """One cell of an image, for the detector."""

    job: ImageJob[K]
    look: Look


@dataclass(frozen=True)
class WindowTask(Generic[K]):
    """One window of an image, for the restorer."""

    job: ImageJob[K]
    index: int  # among the image's windows


@dataclass(frozen=True)
class CellBatch(Generic[K]):
    """Cells that the detector judges together."""

    tasks: Sequence[CellTask[K]]


@dataclass(frozen=True)
class WindowBatch(Generic[K]):
    """Windows that the restorer gets together; all are of one form."""

    tasks: Sequence[WindowTask[K]]
    pixels: int  # of all of them


Batch: TypeAlias = CellBatch[K] | WindowBatch[K]


@dataclass(frozen=True)
class _WindowForm:
    """What windows must have in common to go into one batch."""

    height: int
    width: int
    channels: int
    dtype: np.dtype[Any]

    @property
    def area(self) -> int:
        return self.height * self.width


class ModelQueue(Generic[K]):
    """All that waits for the model. Cells of several images share a batch, windows of one form too.

    Used by one thread.
    """

    def __init__(self) -> None:
        self._cells: deque[CellTask[K]] = deque()
        self._windows: dict[_WindowForm, deque[WindowTask[K]]] = {}  # no deque is empty

    def __bool__(self) -> bool:
        return bool(self._cells or self._windows)

    def add_cells(self, job: ImageJob[K], state: WithDetector) -> None:
        """Let an image's cells wait; those of a restored one in front, so that it can leave."""
        tasks = [CellTask(job, look) for look in state.scores.looks]
        if isinstance(state, BeingJudgedAgain):
            self._cells.extendleft(tasks)
        else:
            self._cells.extend(tasks)

    def add_windows(self, job: ImageJob[K], state: BeingRestored) -> None:
        """Let all windows of an image wait."""
        pixels = state.decision.picture.pixels
        for index, window in enumerate(state.windows):
            form = _WindowForm(*window.shape, pixels.shape[2], pixels.dtype)
            self._windows.setdefault(form, deque()).append(WindowTask(job, index))

    @property
    def windows(self) -> int:
        """How many windows wait."""
        return sum(len(waiting) for waiting in self._windows.values())

    def next_batch(self, pixels: int) -> Batch[K]:
        """Take a batch: of windows if one is full, else of cells, else of what windows there are.

        Full batches of windows come first because an image that is restored is nearest to leaving;
        cells come before short ones because they may bring further windows.

        Args:
            pixels: How many pixels a batch may have; one task is always taken.
        """
        full = self._full_form(pixels)
        if full is None and self._cells:
            return self._take_cells(pixels)
        form = full or next(iter(self._windows))
        return self._take_windows(form, pixels)

    def next_cells(self, pixels: int, *, may_be_short: bool) -> CellBatch[K] | None:
        """Take a batch of cells, with `pixels` as above; None where none waits, or too few do."""
        if may_be_short or len(self._cells) >= _cells_in(pixels):
            return self._take_cells(pixels) if self._cells else None
        return None

    def next_window(self) -> WindowBatch[K]:
        """Take a single window; one must wait."""
        return self._take_windows(next(iter(self._windows)), 1)

    def _full_form(self, pixels: int) -> _WindowForm | None:
        for form, waiting in self._windows.items():
            if len(waiting) * form.area >= pixels:
                return form
        return None

    def _take_cells(self, pixels: int) -> CellBatch[K]:
        count = min(len(self._cells), _cells_in(pixels))
        return CellBatch([self._cells.popleft() for _ in range(count)])

    def _take_windows(self, form: _WindowForm, pixels: int) -> WindowBatch[K]:
        waiting = self._windows[form]
        count = min(len(waiting), max(1, pixels // form.area))
        batch = WindowBatch([waiting.popleft() for _ in range(count)], count * form.area)
        if not waiting:
            del self._windows[form]
        return batch


def _cells_in(pixels: int) -> int:
    """How many cells a full batch has."""
    return max(1, pixels // CELL**2)
