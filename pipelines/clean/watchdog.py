"""A wave that stands still is ended, so that one process of Ray does not hold the night.

Ray restarts workers that die. It does not notice one that stands still, and it waits for ever, or
for minutes, where a helper of its own (raylet, GCS) dies or stands still. So the rows of a wave are
awaited in a thread of their own, and the run's own thread looks every other second whether Ray's
helpers live, and whether anything was finished lately: a unit came back, or a worker told the
wave's gate of one more image. Costs two threads and a small request every five seconds.

On a cluster nodes may vanish. Ray starts what they had in hand again where it finds room, and waits
where it finds none: the units of such a worker would hold up the wave's end. So a wave ends where
nothing was finished for two minutes and no living node has a unit in hand, once nodes have gone.
The next wave is planned for the nodes that are left, or waits for some.

Calls of Ray before, between and after the waves cannot be awaited like that; for those there is
`pipelines.clean.session_watch`.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import ray
from ray.actor import ActorHandle

from pipelines.clean.gate import GateCount
from pipelines.clean.nodes import living_nodes
from pipelines.clean.own_ray import own_ray, stalled

_LOOK_AGAIN = 2.0  # seconds
_PATIENCE_WITH_LOST_NODES = 120.0  # seconds
_LONGEST_END = 60.0  # seconds, of a wave that is given up
_BETWEEN_QUESTIONS = 5.0  # seconds, to the gate
_LONGEST_ANSWER = 30.0  # seconds

_LOG = logging.getLogger(__name__)

Row: TypeAlias = dict[str, Any]


class NodesLostError(Exception):
    """What is left of the wave was in the hands of nodes that have gone."""


_given_up = threading.Event()  # of the wave of this process; there is one at a time


class EndIfGivenUp:
    """Ends what Ray Data does for a wave that is given up: one of its execution callbacks.

    Nothing else ends it from outside; its actors would claim nodes beside those of the next wave.
    """

    def before_execution_starts(self, executor: object) -> None:
        """Nothing to do."""

    def on_execution_step(self, executor: object) -> None:
        """Called several times a second.

        Raises:
            NodesLostError: The wave was given up.
        """
        if _given_up.is_set():
            raise NodesLostError

    def after_execution_succeeds(self, executor: object) -> None:
        """Nothing to do."""

    def after_execution_fails(self, executor: object, error: Exception) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class _End:
    """The rows have come to their end, or to an error."""

    error: BaseException | None = None


class WatchedRows:
    """The rows of a wave, awaited in a thread of their own.

    Args:
        rows: Begins the wave and gives its rows.
        gate: The wave's gate, which counts finished images.
        patience: Seconds without anything finished after which the wave has stalled.
    """

    def __init__(
        self, rows: Callable[[], Iterator[Row]], gate: ActorHandle[Any], patience: float
    ) -> None:
        self._rows = rows
        self._gate = gate
        self._patience = patience
        self._arrived: queue.SimpleQueue[Row | _End] = queue.SimpleQueue()
        self._last_progress = time.monotonic()
        self._over = threading.Event()
        self._seen_nodes: set[str] = set()
        self._waits_in_vain = False  # for what nodes had in hand that have gone

    def __iter__(self) -> Iterator[Row]:
        """Each row as it comes.

        Raises:
            StalledError: The wave stands still.
            NodesLostError: It waits for nodes that have gone.
            Exception: What the rows raised.
        """
        _given_up.clear()
        for target in (self._await_rows, self._ask_gate):
            threading.Thread(target=target, name="demoire-wave", daemon=True).start()
        try:
            while True:
                item = self._next()
                if isinstance(item, dict):
                    yield item
                    continue
                if item.error is not None:
                    raise item.error
                return
        finally:
            self._over.set()

    def _next(self) -> Row | _End:
        while True:
            try:
                item = self._arrived.get(timeout=_LOOK_AGAIN)
            except queue.Empty:
                self._check()
                continue
            self._last_progress = time.monotonic()
            return item

    def _check(self) -> None:
        failure = own_ray.failed_helper()
        if failure is not None:
            raise stalled(failure)
        idle = time.monotonic() - self._last_progress
        if self._waits_in_vain and idle > _PATIENCE_WITH_LOST_NODES:
            _given_up.set()  # which the rows will tell of
            if idle > _PATIENCE_WITH_LOST_NODES + _LONGEST_END:
                raise stalled("nodes have gone, and the wave could not be ended")
        if idle > self._patience:
            minutes = f"{self._patience / 60:g} minutes"
            raise stalled(
                f"no image was finished for {minutes}; where one may take longer, raise "
                "--stall-minutes"
            )

    def _await_rows(self) -> None:
        try:
            for row in self._rows():
                self._arrived.put(row)
        except BaseException as error:
            self._arrived.put(_End(error))
        else:
            self._arrived.put(_End())

    def _ask_gate(self) -> None:
        """Note the time whenever the gate has counted more images than before, and whether anybody
        who is still there has a unit in hand.
        """
        counted = 0
        while not self._over.wait(_BETWEEN_QUESTIONS):
            try:
                question: ray.ObjectRef[GateCount] = self._gate.count.remote()
                count = ray.get(question, timeout=_LONGEST_ANSWER)
                living = {node.id for node in living_nodes()}
            except Exception as error:  # no answer is no progress, whatever the cause
                _LOG.debug("The gate does not answer: %r", error)
                continue
            if count.images != counted:
                counted = count.images
                self._last_progress = time.monotonic()
            self._seen_nodes |= living
            some_have_gone = bool(self._seen_nodes - living)
            self._waits_in_vain = some_have_gone and not count.nodes_at_work & living
