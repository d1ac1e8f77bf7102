"""Publishing many sources at a time: one Ray task a source, or one a shelf of small ones, on
whatever machine has room.

The driver keeps the units of at most 64 sources and shelves in flight, so its memory does not grow
with the collection.
"""

import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import groupby

import ray

from demoire.errors import DemoireError, SourceChangedError
from demoire.progress import Progress
from pipelines.clean.cluster import (
    StorageEnvironment,
    is_death,
    own_error,
    storage_environment,
)
from pipelines.clean.own_ray import own_ray, stalled
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan, PlanScope, SourcePlan
from pipelines.publish.publish import publish_source
from pipelines.publish.shelf import publish_shelf
from pipelines.publish.shelving import put_on_shelves
from pipelines.records import Unit

_PUBLISH_CPUS = 0.5
_IN_FLIGHT = 64  # sources and shelves handed to Ray at one time
_LOOK_AGAIN = 2.0  # seconds
_SLOWEST = 1e6  # bytes a second at which a large source may be published


@dataclass
class _Work:
    """What one task publishes: a source, or those of one shelf that are to be published."""

    shelf_id: str | None = None
    sources: list[tuple[SourcePlan, list[Unit]]] = field(default_factory=list)
    bundles: dict[str, str] = field(default_factory=dict)  # that its units are committed with

    @property
    def size(self) -> int:
        """Bytes of its sources."""
        return sum(planned.source.size for planned, _ in self.sources)


def publish_together(
    destination: Destination,
    plan: Plan,
    sources: AbstractSet[str],
    progress: Progress,
    patience: float,
) -> list[str]:
    """Publish these sources of a plan on the Ray that runs.

    Args:
        destination: Where their units are committed and their mirrors go.
        plan: What they are of.
        sources: Their ids.
        progress: Called as ("publish", sources done, sources of the plan).
        patience: Seconds without a published source after which the work stands still; a large one
            has a second more for each megabyte.

    Returns:
        What there is to say of sources that are not what was planned any more; they are not
        published.

    Raises:
        DemoireError: What a task raised, or that its process died twice.
        StalledError: Nothing was published for too long, or Ray itself failed.
    """
    if not plan.generation:
        put_on_shelves(destination, plan, sources)
    publish = ray.remote(num_cpus=_PUBLISH_CPUS, max_retries=1)(_publish)
    scope = plan.scope
    environment = storage_environment()
    destination.ledger.bundles.refresh()
    running: dict[ray.ObjectRef[list[str]], _Work] = {}
    changed: list[str] = []
    done = len(plan.sources) - len(sources)

    def await_one() -> None:
        nonlocal done
        largest = max(work.size for work in running.values())
        task = first_finished(list(running), patience + largest / _SLOWEST)
        changed.extend(_changes_of(task))
        done += len(running.pop(task).sources)
        progress("publish", done, len(plan.sources))

    for work in _work(destination, plan, sources):
        task = publish.remote(destination, work, scope, environment)
        running[task] = work
        if len(running) == _IN_FLIGHT:
            await_one()
    while running:
        await_one()
    return changed


def _publish(
    destination: Destination, work: _Work, scope: PlanScope, environment: StorageEnvironment
) -> list[str]:
    """Publish one source or shelf, in whatever process and on whatever machine.

    The work tells where its units are committed and its sources shelved, so that no task reads all
    markers.
    """
    environment.install()
    destination.ledger.bundles.learn(work.bundles)
    homes = {}
    if work.shelf_id is not None:
        homes = {planned.source.id: work.shelf_id for planned, _ in work.sources}
    destination.shelves.learn(homes)
    if work.shelf_id is not None:
        return publish_shelf(destination, work.shelf_id, work.sources, scope)
    for planned, units in work.sources:
        try:
            publish_source(destination, planned, units, scope)
        except SourceChangedError as change:
            return [str(change)]
    return []


def _work(destination: Destination, plan: Plan, wanted: AbstractSet[str]) -> Iterator[_Work]:
    """What is to be published of a plan, task by task.

    The sources of a shelf lie together in the plan that they were put there by, and more or less
    so in later ones.
    """
    shelves = destination.shelves
    waiting: dict[str, int] = {}  # sources still to come, by shelf
    for planned in plan.sources:
        shelf_id = shelves.shelf_of(planned.source.id)
        if shelf_id is not None and planned.source.id in wanted:
            waiting[shelf_id] = waiting.get(shelf_id, 0) + 1
    gathered: dict[str, _Work] = {}
    for planned, units in _by_source(destination, plan, wanted):
        shelf_id = shelves.shelf_of(planned.source.id)
        work = _Work(shelf_id)
        if shelf_id is not None:
            work = gathered.setdefault(shelf_id, work)
            waiting[shelf_id] -= 1
        work.sources.append((planned, units))
        for unit in units:
            bundle_id = destination.ledger.bundles.bundle_of(unit.id)
            if bundle_id is not None:
                work.bundles[unit.id] = bundle_id
        if shelf_id is None:
            yield work
        elif waiting[shelf_id] == 0:
            yield gathered.pop(shelf_id)


def _by_source(
    destination: Destination, plan: Plan, wanted: AbstractSet[str]
) -> Iterator[tuple[SourcePlan, list[Unit]]]:
    """The wanted sources with their units, which may be none; one source in memory at a time.

    The manifest has the units in the order of the sources, so one pass over both is enough.
    """
    groups = groupby(destination.manifests.units(plan), lambda unit: unit.source.id)
    group = next(groups, None)
    for planned in plan.sources:
        units: list[Unit] = []
        if group is not None and group[0] == planned.source.id:
            units = list(group[1])
            group = next(groups, None)
        if planned.source.id in wanted:
            yield planned, units


def first_finished(
    running: "list[ray.ObjectRef[list[str]]]", patience: float
) -> "ray.ObjectRef[list[str]]":
    """The first of these tasks that is finished.

    Raises:
        StalledError: None is for too long, or Ray itself failed.
    """
    began = time.monotonic()
    while True:
        finished, _ = ray.wait(running, num_returns=1, timeout=_LOOK_AGAIN)
        if finished:
            return finished[0]
        failure = own_ray.failed_helper()
        if failure is not None:
            raise stalled(failure)
        if time.monotonic() - began > patience:
            minutes = f"{patience / 60:.0f} minutes"
            raise stalled(
                f"no archive or folder was published for {minutes}; where one may take longer, "
                "raise --stall-minutes"
            )


def _changes_of(task: "ray.ObjectRef[list[str]]") -> list[str]:
    """What there is to say of the task's sources that have changed; the others are published.

    Raises:
        DemoireError: What the task raised, or that its process died.
    """
    try:
        return ray.get(task)
    except Exception as error:
        own = own_error(error)
        if own is not None:
            raise own from error
        if is_death(error):
            raise DemoireError(
                "The process that wrote a mirror died, and died again: see whether this machine "
                "has enough memory and temporary space, then run the same command again."
            ) from error
        raise
