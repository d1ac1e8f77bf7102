"""Batches through the models, and what they say into the states of the images in the batch.

The first may happen in any thread; the second belongs to the one that asks for results, as states
do. Where a model fails on a batch, its parts are tried one by one, so that what is wrong with one
image does not fall on the others.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.batches import Batch, CellBatch, CellTask, WindowBatch, WindowTask
from demoire.cleaning.engine import Engine, RestoredTile
from demoire.cleaning.image_job import (
    BeingRestored,
    ImageJob,
    K,
    WithDetector,
    grid_of,
)
from demoire.cleaning.turns import quarter_turned
from demoire.cleaning.verdict import ChangeKind, change_kind
from demoire.errors import ImageError, MachineError
from demoire.reasons import Reason

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgedCell(Generic[K]):
    """What the detector says about a cell."""

    task: CellTask[K]
    state: WithDetector  # of the image, when its cell was judged
    probabilities: NDArray[np.float32]  # (4,)
    seconds: float  # its share of what the batch took


@dataclass(frozen=True)
class RestoredWindow(Generic[K]):
    """What the restorer makes of a window's tiles, and what kind of change each is.

    From the first on that cannot be right, tiles are not looked at.
    """

    task: WindowTask[K]
    state: BeingRestored  # of the image, when its window was restored
    tiles: Sequence[RestoredTile]
    kinds: Sequence[ChangeKind]
    seconds: float  # its share of what the batch took


@dataclass(frozen=True)
class ModelFailed(Generic[K]):
    """A model fails on this image even when it is alone in the batch."""

    job: ImageJob[K]
    error: Exception


ModelResult: TypeAlias = JudgedCell[K] | RestoredWindow[K] | ModelFailed[K]


def run_batch(engine: Engine, batch: Batch[K]) -> list[ModelResult[K]]:
    """Run a batch. What belongs to images that have failed meanwhile is left out.

    Raises:
        MachineError: No image is to blame.
    """
    match batch:
        case CellBatch(tasks):
            return _judge(engine, tasks)
        case WindowBatch(tasks):
            return _restore(engine, tasks)


def take_results(results: Iterable[ModelResult[K]]) -> list[ImageJob[K]]:
    """Bring what the models say into the images' states.

    Returns:
        Images that can move on: all their cells or windows are done, or they have failed.
    """
    moving = []
    for result in results:
        match result:
            case JudgedCell(task, state):
                task.job.spend("detect", result.seconds)
                if task.job.state is not state:
                    continue  # another of its cells has failed meanwhile
                state.scores.put(task.look, result.probabilities)
                if state.scores.complete:
                    moving.append(task.job)
            case RestoredWindow(task, state):
                task.job.spend("restore", result.seconds)
                if task.job.state is not state:
                    continue  # another of its windows has failed meanwhile
                _blend(task.job, state, result)
                if task.job.state is not state or state.complete:
                    moving.append(task.job)
            case ModelFailed(job):
                if not isinstance(job.state, WithDetector | BeingRestored):
                    continue  # it has failed before
                _give_up(job, result.error)
                moving.append(job)
    return moving


def _judge(engine: Engine, tasks: Sequence[CellTask[K]]) -> list[ModelResult[K]]:
    work: list[tuple[CellTask[K], WithDetector]] = []
    for task in tasks:
        state = task.job.state
        if isinstance(state, WithDetector):
            work.append((task, state))
    if not work:
        return []
    start = time.perf_counter()
    views = [_view(task, state) for task, state in work]
    results: list[ModelResult[K]] = []
    probabilities = None
    try:
        probabilities = engine.judge(views)
    except MachineError:
        raise
    except Exception as error:
        if len(work) == 1:
            return [ModelFailed(work[0][0].job, error)]
    if probabilities is None:
        # Not within `except`: the error holds on to what lies on the device.
        for task, _ in work:
            results += _judge(engine, [task])
        return results
    share = (time.perf_counter() - start) / len(work)
    for (task, state), of_cell in zip(work, probabilities, strict=True):
        results.append(JudgedCell(task, state, of_cell, share))
    return results


def _view(task: CellTask[K], state: WithDetector) -> NDArray[np.uint8]:
    """What the detector gets of a cell, (256, 256, 3)."""
    view = grid_of(state.picture).view(state.pixels, task.look.cell)
    return quarter_turned(view, task.look.turn)


def _restore(engine: Engine, tasks: Sequence[WindowTask[K]]) -> list[ModelResult[K]]:
    work: list[tuple[WindowTask[K], BeingRestored]] = []
    for task in tasks:
        state = task.job.state
        if isinstance(state, BeingRestored):
            work.append((task, state))
    if not work:
        return []
    start = time.perf_counter()
    windows = [state.windows[task.index] for task, state in work]
    results: list[ModelResult[K]] = []
    restored = None
    try:
        cuts = [
            window.cut(state.decision.picture.pixels)
            for window, (_, state) in zip(windows, work, strict=True)
        ]
        restored = engine.restore(windows, cuts)
    except MachineError:
        raise
    except Exception as error:
        if len(work) == 1:
            return [ModelFailed(work[0][0].job, error)]
    if restored is None:
        for task, _ in work:
            results += _restore(engine, [task])
        return results
    share = (time.perf_counter() - start) / len(work)
    for (task, state), of_window in zip(work, restored, strict=True):
        kinds = _kinds(state, task.index, of_window)
        results.append(RestoredWindow(task, state, of_window, kinds, share))
    return results


def _kinds(state: BeingRestored, index: int, restored: Sequence[RestoredTile]) -> list[ChangeKind]:
    """Look at what becomes of each tile of a window, up to the first that cannot be right."""
    kinds = []
    for tile, of_tile in zip(state.windows[index].tiles, restored, strict=True):
        before = state.decision.picture.pixels[tile.reach.slices]
        kinds.append(change_kind(before, of_tile.pixels, of_tile.brightness))
        if kinds[-1] in _REFUSALS:
            break
    return kinds


_REFUSALS = {
    ChangeKind.BROKEN: (Reason.CLEANING_FAILED, "The restorer gave no usable picture."),
    ChangeKind.DRAWN: (
        Reason.DRAWN_PATTERN,
        "The pattern is too strong for moiré; the image is copied as it is.",
    ),
}
"""Changes that cannot be moiré that was taken out, and what becomes of the image."""


def _blend(job: ImageJob[K], state: BeingRestored, result: RestoredWindow[K]) -> None:
    """Blend the restored tiles of a window; or give the image up."""
    tiles = state.windows[result.task.index].tiles
    for tile, restored, kind in zip(tiles, result.tiles, result.kinds, strict=False):
        if kind in _REFUSALS:
            reason, message = _REFUSALS[kind]
            job.fail(ImageError(reason, message))
            return
        state.blending.add(tile.number, restored.pixels)


def _give_up(job: ImageJob[K], error: Exception) -> None:
    """Let an image go that a model fails on even when it is alone in the batch."""
    _LOG.error("The model failed on image %r.", job.key, exc_info=error)
    message = f"The model failed on this image: {error}"
    job.fail(ImageError(Reason.CLEANING_FAILED, message))
