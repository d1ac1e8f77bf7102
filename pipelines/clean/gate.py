"""The gate of a wave: workers pass it with every unit, so that a run which is to stop knows when
nothing is in work, and tell it of every image, so that a run knows whether its wave stands still.

One small Ray actor, asked once before a unit and told once after it: a millisecond each.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray.actor import ActorHandle, ActorMethod
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from demoire.errors import DemoireError

_LONGEST_UNIT = 600.0  # seconds; a worker that died in between never tells that it is done
_LOOK_AGAIN = 0.2  # seconds


@dataclass(frozen=True)
class GateCount:
    """What the gate knows of a wave.

    Attributes:
        images: That workers have finished so far.
        nodes_at_work: The ids of the nodes on which a unit was begun and not ended, as far as
            anybody has said; a worker that died is among them until it is back at work.
    """

    images: int
    nodes_at_work: frozenset[str]


class _Gate:
    def __init__(self) -> None:
        self._open = True
        self._inside: dict[str, str] = {}  # the node of each worker that has a unit in hand
        self._images = 0

    def enter(self, worker: str, node: str) -> bool:
        """Whether the worker may begin its unit."""
        if self._open:
            self._inside[worker] = node
        return self._open

    def leave(self, worker: str) -> None:
        """A unit is done."""
        self._inside.pop(worker, None)

    def count_image(self) -> None:
        """A worker has finished one more image."""
        self._images += 1

    def count(self) -> GateCount:
        """What is known by now."""
        return GateCount(self._images, frozenset(self._inside.values()))

    def close(self) -> int:
        """Let nobody in any more; how many are still inside."""
        self._open = False
        return len(self._inside)


@contextmanager
def gate_of_wave() -> Iterator[ActorHandle[Any]]:
    """A gate on the Ray that runs, for as long as the block takes.

    It is on the driver's node: those of the workers may vanish. Where the run ends with an error it
    stays until Ray ends: workers are still at their units, and Ray would tell the user of each call
    to a gate that is gone.
    """
    here = ray.get_runtime_context().get_node_id()
    remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Gate)
    remote = remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True))
    gate = cast(ActorHandle[Any], remote.remote())
    try:
        yield gate
    except (DemoireError, KeyboardInterrupt):
        raise
    except BaseException:
        ray.kill(gate)
        raise
    else:
        ray.kill(gate)


@contextmanager
def unit_in_work(gate: ActorHandle[Any]) -> Iterator[None]:
    """Pass the gate for the block.

    Behind a closed gate nobody comes back: the run ends, and its workers with it.
    """
    context = ray.get_runtime_context()
    worker = context.get_actor_id()
    while not ray.get(gate.enter.remote(worker, context.get_node_id())):
        time.sleep(_LOOK_AGAIN)
    try:
        yield
    finally:
        _tell(gate.leave, worker)


def count_image(gate: ActorHandle[Any]) -> None:
    """Tell the gate of one more finished image."""
    _tell(gate.count_image)


def _tell(method: ActorMethod, *arguments: object) -> None:
    """Call without waiting, and once only.

    A gate that has died and come back knows nothing of what it was told before, and one that ended
    with its wave need not know.
    """
    method.options(max_task_retries=0).remote(*arguments)


def wait_until_idle(gate: ActorHandle[Any]) -> None:
    """Close the gate and wait until no unit is in work, or until none can be any more."""
    end = time.monotonic() + _LONGEST_UNIT
    while ray.get(gate.close.remote()) and time.monotonic() < end:
        time.sleep(_LOOK_AGAIN)
