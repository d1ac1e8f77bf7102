"""Cleaning in waves: what is not committed is cleaned, until all of it is.

A wave takes 5,000 units, or more where there are many actors: its start costs 7 to 10 s (on a
cluster up to 30), and is to be lost in what it does. The next one is planned while it runs
(`pipelines.plan.wave_plan`). Whatever died in one is simply open in the next; a unit that keeps
killing its process is halved, down to the one image, which goes into quarantine. Three waves in a
row that change nothing end the run.
"""

import logging
import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from uuid import uuid4

from demoire.errors import DemoireError
from demoire.imaging.provenance import fixed_day
from demoire.reasons import Reason
from pipelines.clean.actor import WaveOrder
from pipelines.clean.cluster import ray_session
from pipelines.clean.nodes import await_nodes
from pipelines.clean.pool import Pool, PoolWishes, card_here, plan_pool
from pipelines.clean.priority import working_niceness
from pipelines.clean.wave import WaveResult, clean_wave
from pipelines.clean.worker_weights import keep_weights
from pipelines.destination.plans import Plan
from pipelines.launch import Launch
from pipelines.names import shown
from pipelines.plan.wave_plan import LedgerState, PlanAhead, WavePlan, plan_wave
from pipelines.records import Unit
from pipelines.rows import UnitAttempt, quarantined

WAVE_UNITS = 5_000  # a Ray job's driver grows with its tasks
_UNITS_AN_ACTOR = 150  # in a wave; at the 10 s that one takes of a GPU, half an hour's work
_IDLE_WAVES = 3  # waves in a row that change nothing

_LOG = logging.getLogger(__name__)


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
    ahead = PlanAhead()
    totals = CleaningTotals()
    ledger_before: LedgerState | None = None
    idle_waves = 0
    while True:
        left = sources - totals.changed.keys()
        wave = clean(launch, plan_id, left, ahead, careful=idle_waves > 0)
        if wave.open_units == 0:
            return totals
        totals.add(wave.result)
        if wave.result.death or wave.result.changed:
            ahead.take()  # it does not hold any more
        has_moved = wave.result.units > 0 or bool(wave.result.changed)
        if has_moved or wave.ledger != ledger_before:
            idle_waves = 0
        else:
            idle_waves += 1
        ledger_before = wave.ledger
        if idle_waves == _IDLE_WAVES:
            raise DemoireError(
                f"{wave.open_units} units cannot be finished: their workers die whatever is tried; "
                "see whether this machine has enough memory, then run the same command again."
            )


def clean_next_wave(
    launch: Launch,
    plan_id: str,
    sources: AbstractSet[str],
    ahead: PlanAhead,
    *,
    careful: bool = False,
) -> WaveOutcome:
    """Clean what is left of a plan, at most one wave of it.

    Args:
        launch: The launch that this is a step of.
        plan_id: The plan.
        sources: Ids of the sources to clean.
        ahead: Has the plan of this wave, if it was made already, and gets that of the next one.
        careful: Find out what dies before any actor has a unit in hand.
    """
    plan = launch.destination.manifests.load(plan_id)
    wave_id = uuid4().hex
    wave = ahead.take()
    if wave is None or not wave.work:  # that nothing is left, only a plan made afresh can say
        wave = plan_wave(launch.destination, plan, sources, WAVE_UNITS)
    for unit in wave.hopeless:
        _give_up(launch, plan, unit, wave_id)
    if not wave.work:
        return WaveOutcome(wave.open_units, wave.ledger)
    images_done = plan.images - wave.open_images
    launch.progress("clean", images_done, plan.images)

    def on_unit_done(images: int) -> None:
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
        day=fixed_day() or launch.destination.manifests.day_of(plan),
        weights=keep_weights(launch.destination.place, launch.job.config),
        # On a cluster that is for the cluster to say.
        niceness=working_niceness() if launch.job.ray_address is None else 0,
    )
    patience = 60 * launch.job.stall_minutes
    with ray_session(launch.job.ray_address, patience):
        pool = _find_pool(launch)
        if not wave.is_last:
            _plan_next(launch, plan, sources, ahead, wave, pool)
        result = clean_wave(wave.work, order, pool, on_unit_done, launch.stop, patience=patience)
    return WaveOutcome(wave.open_units, wave.ledger, result)


def _plan_next(
    launch: Launch,
    plan: Plan,
    sources: AbstractSet[str],
    ahead: PlanAhead,
    wave: WavePlan,
    pool: Pool,
) -> None:
    """Begin to plan the wave after this one, for as many actors."""
    most_units = max(WAVE_UNITS, _UNITS_AN_ACTOR * pool.least)
    in_work = wave.unit_ids
    destination = launch.destination
    ahead.begin(lambda: plan_wave(destination, plan, sources, most_units, in_work))


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
    pool = plan_pool(wishes, nodes)
    if wishes.may_grow:
        return pool
    return replace(pool, device=card_here(pool.device, os.environ.get("CUDA_VISIBLE_DEVICES")))


def _give_up(launch: Launch, plan: Plan, unit: Unit, wave_id: str) -> None:
    """Quarantine the one image that kills whatever process touches it."""
    _LOG.warning(
        "%s in %s kills its process; it goes into quarantine.",
        shown(unit.members[0].name),
        shown(unit.source.uri),
    )
    ledger = launch.destination.ledger
    attempt = UnitAttempt(unit, ledger.start(unit, wave_id), plan.fingerprint, launch.run_id)
    reason = Reason.NATIVE_CRASH.value
    outcomes = [quarantined(member, reason, attempt) for member in unit.members]
    ledger.commit(unit, attempt.number, outcomes)
