"""Batches through the models: what they say goes into the states of the images in the batch.

Where a model fails on a batch, its parts are tried one by one, so that what is wrong with one image
does not fall on the others.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Generic

from demoire.cleaning.batches import Batch, CellBatch, CellTask, WindowBatch, WindowTask
from demoire.cleaning.blend import Change
from demoire.cleaning.engine import Engine
from demoire.cleaning.image_job import (
    BeingJudged,
    BeingJudgedAgain,
    BeingRestored,
    ImageJob,
    K,
    grid_of,
)
from demoire.cleaning.verdict import ChangeKind, change_kind
from demoire.cleaning.windows import Window
from demoire.errors import ImageError
from demoire.imaging.codecs.raster import Pixels
from demoire.reasons import Reason

_LOG = logging.getLogger(__name__)


class ModelRun(Generic[K]):
    """Runs batches on an engine, in the thread that asks for results."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, batch: Batch[K]) -> list[ImageJob[K]]:
        """Run a batch. What belongs to images that have failed meanwhile is left out.

        Returns:
            Images that can move on: all their cells or windows are done, or they have failed.
        """
        match batch:
            case CellBatch(tasks):
                return self._judge(tasks)
            case WindowBatch(tasks):
                return self._restore(tasks)

    def _judge(self, tasks: Sequence[CellTask[K]]) -> list[ImageJob[K]]:
        work: list[tuple[CellTask[K], BeingJudged | BeingJudgedAgain]] = []
        for task in tasks:
            state = task.job.state
            if isinstance(state, BeingJudged | BeingJudgedAgain):
                work.append((task, state))
        if not work:
            return []
        start = time.perf_counter()
        views = [grid_of(state.picture).view(state.pixels, task.cell) for task, state in work]
        try:
            probabilities = self._engine.judge(views)
        except Exception as error:
            if len(work) == 1:
                return [_given_up(work[0][0].job, error)]
            return self._one_by_one(CellBatch([task]) for task, _ in work)
        share = (time.perf_counter() - start) / len(work)
        moving = []
        for (task, state), of_cell in zip(work, probabilities, strict=True):
            task.job.spend("detect", share)
            state.scores.put(task.cell, of_cell)
            if state.scores.complete:
                moving.append(task.job)
        return moving

    def _restore(self, tasks: Sequence[WindowTask[K]]) -> list[ImageJob[K]]:
        work: list[tuple[WindowTask[K], BeingRestored]] = []
        for task in tasks:
            state = task.job.state
            if isinstance(state, BeingRestored):
                work.append((task, state))
        if not work:
            return []
        start = time.perf_counter()
        windows = [state.windows[task.index] for task, state in work]
        try:
            cuts = [
                window.cut(state.decision.picture.pixels)
                for window, (_, state) in zip(windows, work, strict=True)
            ]
            changes = self._engine.restore(windows, cuts)
        except Exception as error:
            if len(work) == 1:
                return [_given_up(work[0][0].job, error)]
            return self._one_by_one(WindowBatch([task]) for task, _ in work)
        share = (time.perf_counter() - start) / len(work)
        moving = []
        for (task, state), window, of_window in zip(work, windows, changes, strict=True):
            job = task.job
            job.spend("restore", share)
            if job.state is not state:
                continue  # another of its windows has just failed
            _take(job, state, window, of_window)
            if job.state is not state or state.complete:
                moving.append(job)
        return moving

    def _one_by_one(self, batches: Iterable[Batch[K]]) -> list[ImageJob[K]]:
        moving: list[ImageJob[K]] = []
        for batch in batches:
            moving += self.run(batch)
        return moving


def _take(
    job: ImageJob[K], state: BeingRestored, window: Window, changes: Sequence[Change]
) -> None:
    """Look at what is added to each tile of a window, and blend it; or give the image up."""
    for tile, change in zip(window.tiles, changes, strict=True):
        _look_at(change, state.decision.picture.pixels[tile.reach.slices], job)
        if job.state is not state:
            return
        state.blending.add(tile.number, change)


def _look_at(change: Change, before: Pixels, job: ImageJob[K]) -> None:
    """Give the image up where a change cannot be moiré that was taken out."""
    match change_kind(change, before):
        case ChangeKind.BROKEN:
            message = "The restorer gave no usable picture."
            job.fail(ImageError(Reason.CLEANING_FAILED, message))
        case ChangeKind.DRAWN:
            message = "The pattern is too strong for moiré; the image is copied as it is."
            job.fail(ImageError(Reason.DRAWN_PATTERN, message))


def _given_up(job: ImageJob[K], error: Exception) -> ImageJob[K]:
    """The image that a model fails on even when it is alone in the batch."""
    _LOG.error("The model failed on image %r.", job.key, exc_info=error)
    message = f"The model failed on this image: {error}"
    job.fail(ImageError(Reason.CLEANING_FAILED, message))
    return job
