"""The gate of a wave: workers pass it with every unit, so that a run which is to stop knows when
nothing is in work, and tell it of every image, so that a run knows whether its wave stands still.

One small Ray actor, asked once before a unit and told once after it: a millisecond each.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import ray
from ray.actor import ActorHandle

from demoire.errors import StalledError

_LONGEST_UNIT = 600.0  # seconds; a worker that died in between never tells that it is done
_LOOK_AGAIN = 0.2  # seconds


class _Gate:
    def __init__(self) -> None:
        self._open = True
        self._inside = 0
        self._images = 0

    def enter(self) -> bool:
        """Whether the worker may begin its unit."""
        if self._open:
            self._inside += 1
        return self._open

    def leave(self) -> None:
        """A unit is done."""
        self._inside -= 1

    def count_image(self) -> None:
        """A worker has finished one more image."""
        self._images += 1

    def images_done(self) -> int:
        """Images that workers have finished so far."""
        return self._images

    def close(self) -> int:
        """Let nobody in any more; how many are still inside."""
        self._open = False
        return self._inside


@contextmanager
def gate_of_wave() -> Iterator[ActorHandle[Any]]:
    """A gate on the Ray that runs, for as long as the block takes."""
    remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Gate)
    gate = cast(ActorHandle[Any], remote.remote())
    try:
        yield gate
    except StalledError:
        raise  # a Ray that stands still might never answer
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
    while not ray.get(gate.enter.remote()):
        time.sleep(_LOOK_AGAIN)
    try:
        yield
    finally:
        gate.leave.remote()


def wait_until_idle(gate: ActorHandle[Any]) -> None:
    """Close the gate and wait until no unit is in work, or until none can be any more."""
    end = time.monotonic() + _LONGEST_UNIT
    while ray.get(gate.close.remote()) and time.monotonic() < end:
        time.sleep(_LOOK_AGAIN)
