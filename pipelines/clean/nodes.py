"""The nodes that can work, and waiting for the first one where there is none yet.

A cluster that grows may begin with a head that has no CPU: it only plans. What brings a node is a
task that finds no room: Ray's autoscaler answers it. So a task that does nothing asks for what an
actor will need, and is taken back as soon as a node has come. A node takes from seconds to many
minutes; meanwhile nothing is wrong, and no watchdog runs. Only where none comes for two hours is
the run given up, since then the cluster may not be able to bring one.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import ray

from demoire.errors import DemoireError

_LONGEST_WAIT = 7200.0  # seconds
_LOOK_AGAIN = 1.0
_BETWEEN_REMINDERS = 600.0

_LOG = logging.getLogger(__name__)

OnWait = Callable[[float, float], None]  # seconds waited, and at most


@dataclass(frozen=True)
class Node:
    """What a living node has that an actor may claim."""

    id: str
    cpus: float
    gpus: float


def living_nodes() -> list[Node]:
    """Those that can work: a head without CPUs only plans."""
    list_nodes = cast(Callable[[], list[dict[str, Any]]], ray.nodes)  # Ray leaves it untyped
    nodes = []
    for node in list_nodes():
        resources = node["Resources"]
        if node["Alive"] and resources.get("CPU"):
            gpus = float(resources.get("GPU", 0))
            nodes.append(Node(node["NodeID"], float(resources["CPU"]), gpus))
    return nodes


def await_nodes(on_wait: OnWait, *, needs_gpu: bool) -> list[Node]:
    """The nodes that can work; where there is none, one is asked for and waited for.

    Args:
        on_wait: Told every second how long it has waited.
        needs_gpu: One of them has to have a GPU.

    Raises:
        DemoireError: None came.
    """
    nodes = living_nodes()
    if _is_enough(nodes, needs_gpu=needs_gpu):
        return nodes
    what = "node with a GPU" if needs_gpu else "node that can work"
    start = time.monotonic()
    reminded = -_BETWEEN_REMINDERS
    with _asked_for(needs_gpu=needs_gpu):
        while True:
            waited = time.monotonic() - start
            if waited - reminded >= _BETWEEN_REMINDERS:
                reminded = waited
                _LOG.warning(
                    "The cluster has no %s yet; one is asked for and waited for (%.0f minutes so "
                    "far, %.0f at most).",
                    what,
                    waited / 60,
                    _LONGEST_WAIT / 60,
                )
            on_wait(waited, _LONGEST_WAIT)
            time.sleep(_LOOK_AGAIN)
            nodes = living_nodes()
            if _is_enough(nodes, needs_gpu=needs_gpu):
                return nodes
            if time.monotonic() - start > _LONGEST_WAIT:
                raise DemoireError(
                    f"No {what} has come for {_LONGEST_WAIT / 60:.0f} minutes: see whether the "
                    "cluster may grow by one (its limits and quotas), then run the same command "
                    "again."
                )


def _is_enough(nodes: Sequence[Node], *, needs_gpu: bool) -> bool:
    if needs_gpu:
        return any(node.gpus for node in nodes)
    return bool(nodes)


@contextmanager
def _asked_for(*, needs_gpu: bool) -> Iterator[None]:
    """For the block a task waits for such a node."""
    gpus = 1 if needs_gpu else 0
    probe = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_do_nothing)
    task = probe.remote()
    try:
        yield
    finally:
        ray.cancel(task, force=True)


def _do_nothing() -> None:
    pass
