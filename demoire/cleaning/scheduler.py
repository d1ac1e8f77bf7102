"""Decode, judge, restore and encode many images at a time, overlapped.

Decoding threads feed the models, which get batches of cells and windows gathered across images;
lanes blend, measure and write. On a GPU the models run in the thread that asks for results, on a
CPU as a rule in the same lanes (`demoire.cleaning.model_turns`). What is in flight is bounded in
megapixels (`demoire.cleaning.budget`), so memory does not grow with the number of images. No queue
has a bound besides: each image in flight is in one state at a time, and the next one is decoded
when one has left.

Each thread reports to one queue of events, so that the scheduler waits in a single spot. It alone
moves an image from one state to the next (`demoire.cleaning.image_job`), and it never waits while
there is something to do that somebody could begin.
"""

import queue
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Generic, assert_never

from demoire.cleaning.budget import Budget, megapixels_in_flight, windows_at_once
from demoire.cleaning.decision import decide, is_gain
from demoire.cleaning.decoding import THREADS, Decoding
from demoire.cleaning.encoding import Encoding
from demoire.cleaning.engine import Engine
from demoire.cleaning.events import (
    DecoderEnded,
    Event,
    FromDecoder,
    FromEncoder,
    FromModel,
    MachineFailed,
)
from demoire.cleaning.grey_maker import GreyMaker
from demoire.cleaning.image_job import (
    BeingJudged,
    BeingJudgedAgain,
    BeingRestored,
    BeingTurned,
    Copied,
    Decoded,
    Done,
    Failed,
    ImageJob,
    K,
    Opened,
    Waiting,
    WithDetector,
    Written,
)
from demoire.cleaning.lanes import Lanes
from demoire.cleaning.model_turns import ModelTurns
from demoire.cleaning.result import Cleaned
from demoire.cleaning.threads import share_of_machine
from demoire.cleaning.turns import cells_in_doubt
from demoire.cleaning.verdict import Rules, detection_from
from demoire.file_bytes import FileBytes
from demoire.memory import memory_limit
from demoire.reasons import Reason


class Scheduler(Generic[K]):
    """One run over many images."""

    def __init__(
        self,
        engine: Engine,
        rules: Rules,
        items: Iterable[tuple[K, FileBytes]],
        memory_share: float = 1.0,
    ) -> None:
        """Take the images, and begin nothing.

        Args:
            engine: The networks.
            rules: What becomes of an image.
            items: A key and a file's bytes each.
            memory_share: How much of the machine's memory is for this process, 0..1; on a CPU it
                follows from the threads.
        """
        self._engine = engine
        self._rules = rules
        self._events: queue.SimpleQueue[Event[K]] = queue.SimpleQueue()
        memory = memory_limit().total
        if engine.computes_on == "cpu":
            memory_share = share_of_machine()
            self._lanes = Lanes.on_cores(engine.calls_at_once)
        else:
            self._lanes = Lanes(THREADS, torch_threads=1)
        self._budget = Budget(megapixels_in_flight(engine.computes_on, memory, memory_share))
        self._decoding = Decoding(items, rules, self._budget, self._events)
        self._encoding = Encoding(rules, self._lanes, self._events)
        self._greys = GreyMaker(engine, rules, self._lanes, self._events)
        windows = windows_at_once(memory, memory_share, self._lanes.count)
        self._models = ModelTurns(engine, self._lanes, windows, self._events)
        self._ready: deque[tuple[K, Cleaned]] = deque()
        self._in_flight = 0  # images that are decoded and not ready

    def results(self) -> Iterator[tuple[K, Cleaned]]:
        """Run, and give each result as soon as it is there; closing the iterator ends the run.

        Raises:
            MachineError: The machine refuses what every image needs.
        """
        has_changed = False
        try:
            self._decoding.start()
            while self._decoding.running or self._in_flight:
                self._take_events(wait=not has_changed)
                has_changed = self._begin_work()
                while self._ready:
                    yield self._ready.popleft()
        finally:
            self._decoding.close()
            self._lanes.close()
            self._decoding.join()
        if self._decoding.source_error is not None:
            raise self._decoding.source_error

    def _take_events(self, *, wait: bool) -> None:
        """Take all events that are there; at least one if told to wait."""
        while True:
            try:
                event = self._events.get(block=wait)
            except queue.Empty:
                return
            wait = False
            match event:
                case DecoderEnded():
                    self._decoding.running -= 1
                case FromDecoder(job):
                    self._in_flight += 1
                    self._move_on(job)
                case FromEncoder(job):
                    self._lanes.note_end()
                    self._move_on(job)
                case FromModel() as report:
                    for job in self._models.take(report):
                        self._move_on(job)
                case MachineFailed(error):
                    raise error

    def _begin_work(self) -> bool:
        """Begin all that somebody can do now; whether images have moved on meanwhile."""
        self._encoding.begin()  # first, since such an image is nearest to leaving
        moving = self._models.begin(more_may_come=self._decoding.running > 0)
        if moving is None:
            return False
        for job in moving:
            self._move_on(job)
        return True

    def _move_on(self, job: ImageJob[K]) -> None:
        """Bring an image whose state has come to its end to the next one."""
        match job.state:
            case Decoded(picture):
                self._judge(job, BeingJudged.begin(picture))
            case BeingJudged() | BeingTurned() as state:
                self._decide(job, state)
            case BeingRestored():
                self._encoding.add(job)
            case Copied(reason, detection, grey):
                copied = job.as_it_came("copied", reason, detection)
                self._leave(job, replace(copied, grey=grey))
            case Written() as state:
                self._judge(job, BeingJudgedAgain.begin(state))
            case BeingJudgedAgain() as state:
                self._conclude(job, state)
            case Failed(error, detection) as state:
                self._leave(job, job.as_it_came(state.status, error.reason, detection))
            case Waiting() | Opened() | Done() as state:
                raise AssertionError(f"{state} has no end")
            case _:
                assert_never(job.state)

    def _judge(self, job: ImageJob[K], state: WithDetector) -> None:
        job.state = state
        self._models.waiting.add_cells(job, state)
        if state.scores.complete:  # too small: there is nothing to judge
            self._move_on(job)

    def _decide(self, job: ImageJob[K], state: BeingJudged | BeingTurned) -> None:
        if isinstance(state, BeingJudged):
            doubtful = cells_in_doubt(state.scores.probabilities, self._rules)
            if doubtful:
                self._judge(job, BeingTurned.begin(state, doubtful))
                return
        job.state = decide(state, self._rules, self._engine)
        match job.state:
            case BeingRestored() as restoring:
                self._models.waiting.add_windows(job, restoring)
            case Copied(reason=Reason.BILEVEL) as copied if self._rules.makes_grey:
                self._greys.begin(job, copied, state.picture)
            case Copied():
                self._move_on(job)

    def _conclude(self, job: ImageJob[K], state: BeingJudgedAgain) -> None:
        after = detection_from(state.scores.probabilities, self._rules)
        if is_gain(state, after, self._rules):
            moire_after = after.moire if after.cells else None
            self._leave(job, job.restored(state, moire_after))
            return
        before = state.decision.detection
        self._leave(job, job.as_it_came("copied", Reason.NO_GAIN, before))

    def _leave(self, job: ImageJob[K], result: Cleaned) -> None:
        job.state = Done()
        self._in_flight -= 1
        self._budget.give(job)
        self._ready.append((job.key, result))
