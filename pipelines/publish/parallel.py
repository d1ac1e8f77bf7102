"""Publishing many sources at a time: one Ray task a source, on whatever machine has room.

The driver keeps the units of at most 64 sources in flight, so its memory does not grow with the
collection.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
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
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan, PlanScope, SourcePlan
from pipelines.publish.publish import publish_retry, publish_source
from pipelines.records import Unit

_PUBLISH_CPUS = 0.5
_IN_FLIGHT = 64  # sources handed to Ray at one time


def publish_together(
    destination: Destination, plan: Plan, sources: AbstractSet[str], progress: Progress
) -> list[str]:
    """Publish these sources of a plan on the Ray that runs.

    Args:
        destination: Where their units are committed and their mirrors go.
        plan: What they are of.
        sources: Their ids.
        progress: Called as ("publish", sources done, sources of the plan).

    Returns:
        What there is to say of sources that are not what was planned any more; they are not
        published.

    Raises:
        DemoireError: What a task raised, or that its process died twice.
    """
    publish = ray.remote(num_cpus=_PUBLISH_CPUS, max_retries=1)(_publish)
    scope = plan.scope
    environment = storage_environment()
    ledger = destination.ledger
    ledger.bundles.refresh()
    running: list[ray.ObjectRef[None]] = []
    changed: list[str] = []
    done = len(plan.sources) - len(sources)

    def await_one() -> None:
        nonlocal done
        finished, running[:] = ray.wait(running, num_returns=1)
        change = _change_of(finished[0])
        if change is not None:
            changed.append(change)
        done += 1
        progress("publish", done, len(plan.sources))

    for planned, units in _by_source(destination, plan, sources):
        bundles = {}
        for unit in units:
            bundle_id = ledger.bundles.bundle_of(unit.id)
            if bundle_id is not None:
                bundles[unit.id] = bundle_id
        running.append(publish.remote(destination, planned, units, scope, bundles, environment))
        if len(running) == _IN_FLIGHT:
            await_one()
    while running:
        await_one()
    return changed


def _publish(
    destination: Destination,
    planned: SourcePlan,
    units: list[Unit],
    scope: PlanScope,
    bundles: dict[str, str],
    environment: StorageEnvironment,
) -> None:
    """Publish one source, in whatever process and on whatever machine.

    `bundles` tells where some of the units are committed, so that no task reads all markers.
    """
    environment.install()
    destination.ledger.bundles.learn(bundles)
    if scope.generation:
        publish_retry(destination, planned, units, scope)
    else:
        publish_source(destination, planned, units, scope)


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


def _change_of(task: ray.ObjectRef[None]) -> str | None:
    """What there is to say if the task's source has changed; None if it is published.

    Raises:
        DemoireError: What else the task raised, or that its process died.
    """
    try:
        ray.get(task)
    except Exception as error:
        own = own_error(error)
        if isinstance(own, SourceChangedError):
            return str(own)
        if own is not None:
            raise own from error
        if is_death(error):
            raise DemoireError(
                "The process that wrote a mirror died, and died again: see whether this machine "
                "has enough memory and temporary space, then run the same command again."
            ) from error
        raise
    return None
