"""Which thread runs which batch: the asking one with all cores or the GPU, or one of the lanes.

On a GPU each batch runs in the asking thread, as soon as there is one. On a CPU batches run beside
each other and beside encoding, one to a lane. What is left is run with all cores together:

- the last batch of a run, where all cores are done with it earlier than a single one;
- windows where memory is scarce: the networks take up to 0.8 GB for one, so one at a time has
  to do.
"""

import time
from enum import Enum, auto
from queue import SimpleQueue
from typing import Generic

from demoire.cleaning.batches import Batch, CellBatch, ModelQueue, WindowBatch
from demoire.cleaning.engine import Engine
from demoire.cleaning.events import Event, FromModel, MachineFailed
from demoire.cleaning.image_job import ImageJob, K
from demoire.cleaning.lanes import Lanes
from demoire.cleaning.model_run import run_batch, take_results


class _Turn(Enum):
    HERE = auto()  # with all cores, or the GPU
    BESIDE = auto()  # in a lane
    LATER = auto()  # when what is at work has ended


class ModelTurns(Generic[K]):
    """What waits for the models, and whose turn it is. Used by the thread that asks for results."""

    def __init__(
        self,
        engine: Engine,
        lanes: Lanes,
        windows_at_once: int,
        events: "SimpleQueue[Event[K]]",
    ) -> None:
        """Take the lanes.

        Args:
            engine: The networks.
            lanes: Have a part of the cores each, where the networks compute on a CPU.
            windows_at_once: For how many there is memory.
            events: Where lanes report.
        """
        self.waiting = ModelQueue[K]()
        self._engine = engine
        self._lanes = lanes
        self._windows_at_once = windows_at_once
        self._events = events
        self._held: Batch[K] | None = None  # a window whose turn comes later
        self._pace = _Pace[K]()

    def begin(self, *, more_may_come: bool) -> list[ImageJob[K]] | None:
        """Give batches to lanes while they have room, or run one in this thread.

        Args:
            more_may_come: Whether there are further images, of which nothing waits yet.

        Returns:
            Where one was run here, the images that can move on; None where none was.
        """
        if self._engine.computes_on != "cpu":
            if not self.waiting:
                return None
            return self._run(self.waiting.next_batch(self._engine.batch_pixels))
        while (self.waiting or self._held) and self._lanes.have_room:
            batch = self._next()
            match self._turn(batch, more_may_come=more_may_come):
                case _Turn.HERE:
                    return self._run(batch)
                case _Turn.LATER:
                    self._held = batch
                    return None
                case _Turn.BESIDE:
                    self._begin_beside(batch)
        return None

    def take(self, event: FromModel[K]) -> list[ImageJob[K]]:
        """Take what a lane reports; the images that can move on."""
        self._lanes.note_end()
        if isinstance(event.batch, WindowBatch):
            self._pace.end(event.batch)
        return take_results(event.results)

    def _next(self) -> Batch[K]:
        """Cells before windows: the more windows are known, the more evenly they can be spread.

        But a short batch of cells is filled up and takes as long as a full one. So it waits for
        further cells while there are windows to go on with, except for the last one, which may
        have all cores at the end.
        """
        windows = self.waiting.windows
        if self._held is not None:
            windows += 1
        cells = self.waiting.next_cells(self._engine.batch_pixels, may_be_short=windows < 2)
        if cells is not None:
            return cells
        if self._held is None:
            return self.waiting.next_window()
        held = self._held
        self._held = None
        return held

    def _turn(self, batch: Batch[K], *, more_may_come: bool) -> _Turn:
        nobody_works = self._lanes.at_work == 0
        is_last = not (more_may_come or self.waiting or self._held)
        if is_last and nobody_works:
            return _Turn.HERE
        match batch:
            case CellBatch():
                return _Turn.BESIDE
            case WindowBatch():
                if self._windows_at_once == 1:
                    return _Turn.HERE if nobody_works else _Turn.LATER
                if not self._lanes.is_one_free or self._has_all_windows:
                    return _Turn.LATER
                if is_last and self._pace.is_worth_waiting(batch.pixels, self._lanes.count):
                    return _Turn.LATER
                return _Turn.BESIDE

    @property
    def _has_all_windows(self) -> bool:
        return self._pace.at_work >= self._windows_at_once

    def _run(self, batch: Batch[K]) -> list[ImageJob[K]]:
        return take_results(run_batch(self._engine, batch))

    def _begin_beside(self, batch: Batch[K]) -> None:
        def work() -> None:
            try:
                results = run_batch(self._engine, batch)
            except Exception as error:
                self._events.put(MachineFailed(error))
            else:
                self._events.put(FromModel(batch, results))

        if isinstance(batch, WindowBatch):
            self._pace.begin(batch)
        self._lanes.begin(work)


class _Pace(Generic[K]):
    """How long windows take in a lane, as far as the last one tells."""

    def __init__(self) -> None:
        self._begun: dict[int, tuple[float, int]] = {}  # by batch: when, and its pixels
        self._seconds_a_pixel = 0.0

    @property
    def at_work(self) -> int:
        """How many batches of windows lanes have in hand."""
        return len(self._begun)

    def begin(self, batch: WindowBatch[K]) -> None:
        """A lane gets this batch."""
        self._begun[id(batch)] = (time.monotonic(), batch.pixels)

    def end(self, batch: WindowBatch[K]) -> None:
        """It is done."""
        begun, pixels = self._begun.pop(id(batch))
        self._seconds_a_pixel = (time.monotonic() - begun) / pixels

    def is_worth_waiting(self, pixels: int, lanes: int) -> bool:
        """Whether windows of so many pixels are done earlier by all cores together, later, than
        by one lane now.
        """
        now = time.monotonic()
        left = 0.0
        for begun, others in self._begun.values():
            left = max(left, begun + others * self._seconds_a_pixel - now)
        alone = pixels * self._seconds_a_pixel
        return left + alone / lanes < alone
