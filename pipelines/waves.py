"""Cleaning in waves: what is not committed is cleaned, until all of it is.

A wave takes at most 5,000 units. Whatever died in one is simply open in the next; a unit that keeps
killing its process is halved, down to the one image, which goes into quarantine. Three waves in a
row that change nothing end the run.
"""

import logging
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from uuid import uuid4

from demoire.errors import DemoireError
from demoire.reasons import Reason
from pipelines.clean.actor import WaveOrder
from pipelines.clean.cluster import ray_session
from pipelines.clean.nodes import await_nodes
from pipelines.clean.pool import Pool, PoolWishes, plan_pool
from pipelines.clean.priority import working_niceness
from pipelines.clean.wave import WAVE_UNITS, WaveResult, clean_wave
from pipelines.clean.worker_weights import keep_weights
from pipelines.destination.plans import Plan
from pipelines.launch import Launch
from pipelines.names import shown
from pipelines.plan.bundles import bundle_units, is_small, open_parts
from pipelines.plan.units import parts_of
from pipelines.records import Bundle, Unit, units_in
from pipelines.rows import UnitAttempt, quarantined

_IDLE_WAVES = 3  # waves in a row that change nothing

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerState:
    """How far the ledger is. Something of it has to change with every wave."""

    committed: int  # units
    deadly: int  # units


@dataclass(frozen=True)
class WaveOutcome:
    """A wave as the loop over waves sees it."""

    open_units: int  # before it; 0: there was nothing left to do
    ledger: LedgerState  # before it
    result: WaveResult = field(default_factory=WaveResult)


@dataclass
class CleaningTotals:
    """What all waves of a launch came to."""

    megapixels: float = 0.0
    seconds: float = 0.0
    # Sources that are not what was planned: id -> what to say.
    changed: dict[str, str] = field(default_factory=dict)

    def add(self, result: WaveResult) -> None:
        """Count one more wave."""
        self.megapixels += result.megapixels
        self.seconds += result.seconds
        self.changed |= result.changed


def clean_in_waves(launch: Launch, plan_id: str, sources: AbstractSet[str]) -> CleaningTotals:
    """Wave after wave, until every unit of these sources is committed.

    Sources that turn out to have changed are left out from then on.

    Raises:
        DemoireError: Workers die whatever is tried, or what else a worker raised.
        StalledError: A wave stands still.
        StoppedError: A signal asked to stop.
    """
    clean = launch.step(clean_next_wave)
    totals = CleaningTotals()
    ledger_before: LedgerState | None = None
    idle_waves = 0
    while True:
        left = sources - totals.changed.keys()
        wave = clean(launch, plan_id, left, careful=idle_waves > 0)
        if wave.open_units == 0:
            return totals
        totals.add(wave.result)
        if wave.ledger == ledger_before and not wave.result.changed:
            idle_waves += 1
        else:
            idle_waves = 0
        ledger_before = wave.ledger
        if idle_waves == _IDLE_WAVES:
            raise DemoireError(
                f"{wave.open_units} units cannot be finished: their workers die whatever is tried; "
                "see whether this machine has enough memory, then run the same command again."
            )


def clean_next_wave(
    launch: Launch, plan_id: str, sources: AbstractSet[str], *, careful: bool = False
) -> WaveOutcome:
    """Clean what is left of a plan, at most one wave of it.

    Args:
        launch: The launch that this is a step of.
        plan_id: The plan.
        sources: Ids of the sources to clean.
        careful: Find out what dies before any actor has a unit in hand.
    """
    plan = launch.destination.manifests.load(plan_id)
    ledger = launch.destination.ledger
    wave_id = uuid4().hex
    committed = ledger.committed()
    deadly = ledger.deadly(committed)
    state = LedgerState(len(committed), len(deadly))
    work: list[Unit | Bundle] = []
    units_of_wave = 0
    open_units = 0
    open_images = 0
    for one in _open_work(launch, plan, sources, committed, deadly):
        units = units_in(one)
        open_units += len(units)
        if isinstance(one, Unit) and one.id in deadly:  # halved down to this one image
            _give_up(launch, plan, one, wave_id)
            continue
        open_images += sum(len(unit.members) for unit in units)
        if units_of_wave < WAVE_UNITS:
            work.append(one)
            units_of_wave += len(units)
    if not work:
        return WaveOutcome(open_units, state)
    images_done = plan.images - open_images
    launch.progress("clean", images_done, plan.images)

    def on_unit_done(images: int, megapixels: float) -> None:
        nonlocal images_done
        images_done += images
        launch.progress("clean", images_done, plan.images)

    order = WaveOrder(
        destination=launch.destination,
        config=launch.job.config,
        fingerprint=plan.fingerprint,
        run_id=launch.run_id,
        wave=wave_id,
        careful=careful,
        day=launch.destination.manifests.day_of(plan),
        weights=keep_weights(launch.destination.place, launch.job.config),
        # On a cluster that is for the cluster to say.
        niceness=working_niceness() if launch.job.ray_address is None else 0,
    )
    patience = 60 * launch.job.stall_minutes
    with ray_session(launch.job.ray_address, patience):
        result = clean_wave(
            work, order, _find_pool(launch), on_unit_done, launch.stop, patience=patience
        )
    return WaveOutcome(open_units, state, result)


def _find_pool(launch: Launch) -> Pool:
    """The actors for the nodes that are there; the first one is waited for."""
    job = launch.job
    wishes = PoolWishes(
        device=job.config.device,
        workers=job.workers,
        gpus=job.gpus,
        threads=job.config.threads,
        may_grow=job.ray_address is not None,
    )

    def on_wait(seconds: float, longest: float) -> None:
        launch.progress("wait", seconds, longest)

    nodes = await_nodes(on_wait, needs_gpu=wishes.needs_gpu and wishes.may_grow)
    return plan_pool(wishes, nodes)


def _open_work(
    launch: Launch,
    plan: Plan,
    sources: AbstractSet[str],
    committed: AbstractSet[str],
    deadly: AbstractSet[str],
) -> Iterator[Unit | Bundle]:
    """What is left of these sources: units, parts of those that had to be halved, and small ones
    that are cleaned together.
    """
    for group in bundle_units(launch.destination.manifests.units(plan)):
        open_ids: set[str] = set()  # of small ones
        for unit in group:
            if unit.source.id not in sources or unit.id in committed:
                continue
            if is_small(unit) and unit.id not in deadly:
                open_ids.add(unit.id)
            else:
                yield from parts_of(unit, plan.fingerprint, committed, deadly).open
        yield from open_parts(group, open_ids, deadly)


def _give_up(launch: Launch, plan: Plan, unit: Unit, wave_id: str) -> None:
    """Quarantine the one image that kills whatever process touches it."""
    _LOG.warning(
        "%s in %s kills its process; it goes into quarantine.",
        unit.members[0].name,
        shown(unit.source.uri),
    )
    ledger = launch.destination.ledger
    attempt = UnitAttempt(unit, ledger.start(unit, wave_id), plan.fingerprint, launch.run_id)
    reason = Reason.NATIVE_CRASH.value
    outcomes = [quarantined(member, reason, attempt) for member in unit.members]
    ledger.commit(unit, attempt.number, outcomes)
