"""Decode, judge, restore and encode many images at a time, overlapped.

Decoding threads feed the models, which run in the thread that asks for results, on batches of cells
and windows gathered across images; encoding threads blend, measure and write. What is in flight is
bounded in megapixels (`demoire.cleaning.budget`), so memory does not grow with the number of
images. No queue has a bound besides: each image in flight is in one state at a time, and the next
one is decoded when one has left.

Each thread reports to one queue of events, so that the scheduler waits in a single spot. It alone
moves an image from one state to the next (`demoire.cleaning.image_job`), and it never waits while
the models have something to do, except for the encoding threads' turn on a CPU.
"""

import queue
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, assert_never

from demoire.cleaning.batches import ModelQueue
from demoire.cleaning.budget import Budget, megapixels_in_flight
from demoire.cleaning.decision import decide, is_gain
from demoire.cleaning.decoding import Decoding
from demoire.cleaning.encoding import Encoding
from demoire.cleaning.engine import Engine
from demoire.cleaning.events import DecoderEnded, Event, FromDecoder, FromEncoder, MachineFailed
from demoire.cleaning.image_job import (
    BeingJudged,
    BeingJudgedAgain,
    BeingRestored,
    Copied,
    Decoded,
    Done,
    Failed,
    ImageJob,
    K,
    Opened,
    Waiting,
    Written,
)
from demoire.cleaning.model_run import ModelRun
from demoire.cleaning.result import Cleaned
from demoire.cleaning.threads import share_of_machine
from demoire.cleaning.verdict import Rules, detection_from
from demoire.memory import memory_limit
from demoire.reasons import Reason


class Scheduler(Generic[K]):
    """One run over many images."""

    def __init__(
        self,
        engine: Engine,
        rules: Rules,
        items: Iterable[tuple[K, bytes]],
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
        share = share_of_machine() if engine.computes_on == "cpu" else memory_share
        limit = megapixels_in_flight(engine.computes_on, memory_limit().total, share)
        self._budget = Budget(limit)
        self._decoding = Decoding(items, rules, self._budget, self._events)
        takes_turns = engine.computes_on == "cpu"
        self._encoding = Encoding(rules, self._events, takes_turns=takes_turns)
        self._waiting = ModelQueue[K]()
        self._model = ModelRun[K](engine)
        self._ready: deque[tuple[K, Cleaned]] = deque()
        self._in_flight = 0  # images that are decoded and not ready

    def results(self) -> Iterator[tuple[K, Cleaned]]:
        """Run, and give each result as soon as it is there; closing the iterator ends the run.

        Raises:
            MachineError: The machine refuses what every image needs.
        """
        try:
            self._decoding.start()
            while self._decoding.running or self._in_flight:
                self._take_events(wait=not self._is_models_turn())
                if self._is_models_turn():
                    self._run_models()
                    self._encoding.start(model_has_work=bool(self._waiting))
                while self._ready:
                    yield self._ready.popleft()
        finally:
            self._decoding.close()
            self._encoding.stop()
            self._decoding.join()
        if self._decoding.source_error is not None:
            raise self._decoding.source_error

    def _is_models_turn(self) -> bool:
        return bool(self._waiting) and not self._encoding.has_its_turn

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
                    self._encoding.note_end()
                    self._move_on(job)
                case MachineFailed(error):
                    raise error

    def _run_models(self) -> None:
        batch = self._waiting.next_batch(self._engine.batch_pixels)
        for job in self._model.run(batch):
            self._move_on(job)

    def _move_on(self, job: ImageJob[K]) -> None:
        """Bring an image whose state has come to its end to the next one."""
        match job.state:
            case Decoded(picture):
                self._judge(job, BeingJudged.begin(picture))
            case BeingJudged() as state:
                self._decide(job, state)
            case BeingRestored():
                self._encoding.add(job)
            case Copied(reason, detection):
                self._leave(job, job.as_it_came("copied", reason, detection))
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

    def _judge(self, job: ImageJob[K], state: BeingJudged | BeingJudgedAgain) -> None:
        job.state = state
        self._waiting.add_cells(job, state)
        if state.scores.complete:  # too small: there is nothing to judge
            self._move_on(job)

    def _decide(self, job: ImageJob[K], state: BeingJudged) -> None:
        job.state = decide(state, self._rules, self._engine)
        match job.state:
            case BeingRestored() as restoring:
                self._waiting.add_windows(job, restoring)
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
