"""The whole job: plan -> waves of cleaning -> publish -> report -> prove.

`run_job` is what `demoire clean` does. It may be killed at any point and run again with the same
job: units that are committed and sources that are published are passed over. Run again when all is
done, it looks at the sources' versions and at the markers, and writes nothing. A source that
changes while the job runs is planned anew, once all others are published. On SIGTERM or Ctrl-C the
units in work are finished, and no others are begun.

Each step is a function of small values that can be called by itself; `step` wraps every call, so
that a scheduler can make a task of each. The plain command passes none.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeVar
from uuid import uuid4

import ray

from demoire.cleaning.config import CleanerConfig
from demoire.errors import DemoireError, SourceChangedError, UsageError
from pipelines.clean.actor import Work
from pipelines.clean.cluster import (
    StorageEnvironment,
    is_death,
    own_error,
    ray_session,
    storage_environment,
)
from pipelines.clean.ledger import Ledger
from pipelines.clean.stopping import stops_in_order
from pipelines.clean.wave import WAVE_UNITS, clean_wave
from pipelines.clean.worker_weights import keep_weights
from pipelines.gc import Collected, gc
from pipelines.layout import BOOKKEEPING, REPORT
from pipelines.names import shown
from pipelines.plan.manifest import LATEST, Plan, SourcePlan, load_plan, read_units
from pipelines.plan.plan import make_plan, make_retry_plan
from pipelines.plan.units import pieces
from pipelines.publish.marker import PUBLISHED, read_marker
from pipelines.publish.proof import Proof, prove
from pipelines.publish.publish import UNSAFE, publish_retry, publish_source
from pipelines.publish.table import read_report
from pipelines.records import Unit
from pipelines.report.build import build_report
from pipelines.rows import Origin, quarantined
from pipelines.sources.discover import discover
from pipelines.status import Status, is_done, status
from pipelines.storage.open import check_places, open_place
from pipelines.storage.place import Place

__all__ = ["CleanJob", "Collected", "Status", "Summary", "gc", "retry", "run_job", "status"]

RUNS = f"{BOOKKEEPING}/runs"
PAGE = f"{REPORT}/index.html"

_PLANS = 3  # times that a collection may change under a run
_IDLE_WAVES = 3  # waves in a row that change nothing
_PUBLISH_CPUS = 0.5
_PUBLISHED_AHEAD = 64  # sources handed to Ray at one time

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")
Step = Callable[[Callable[..., Any]], Callable[..., Any]]
# "plan" (sources), "clean" (images) or "publish" (sources); done, of
Progress = Callable[[str, float, float], None]


def plainly(function: Callable[..., Result]) -> Callable[..., Result]:
    """The step wrapper of a run without a scheduler: nothing is wrapped."""
    return function


def in_silence(phase: str, done: float, total: float) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True)
class CleanJob:
    """What is to be cleaned, where to, and how. Holds no credentials: those stay in the
    environment.
    """

    src: str
    dst: str
    config: CleanerConfig = CleanerConfig()
    workers: int | None = None  # actors; None: one a GPU, or one for about four cores
    ray_address: str | None = None  # of a cluster; None: this machine
    sample: int | None = None  # clean only so many images, chosen evenly

    def to_dict(self) -> dict[str, Any]:
        """The job as JSON holds it."""
        return asdict(self)

    @staticmethod
    def from_dict(facts: dict[str, Any]) -> "CleanJob":
        return CleanJob(**{**facts, "config": CleanerConfig(**facts["config"])})


@dataclass(frozen=True)
class Summary:
    """What a job came to. The counts are of all that is published of it, `seconds` and `mps` of
    this run.
    """

    run_id: str
    images: int
    cleaned: int
    copied: int
    quarantined: int
    others: int  # members that are no images, mirrored untouched
    megapixels: float
    seconds: float
    mps: float  # megapixels cleaned by the second of cleaning; 0 if nothing was left to clean
    moire_before: float | None  # means over the cleaned
    moire_after: float | None
    report: str  # full path of the HTML page


@dataclass(frozen=True)
class WaveDone:
    """A wave as the loop over waves sees it."""

    left: int  # units before it
    # (committed, deadly) units before it; something of it has to change every wave
    state: tuple[int, int] = (0, 0)
    megapixels: float = 0.0
    seconds: float = 0.0
    # sources that are not what was planned: id -> what to say
    changed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Worked:
    """What was left to do, now that it is done."""

    published: int = 0  # sources
    megapixels: float = 0.0  # cleaned
    seconds: float = 0.0  # of cleaning
    changed: str = ""  # what to say of a source that is not what was planned; all others are done


def run_job(job: CleanJob, step: Step = plainly, progress: Progress = in_silence) -> Summary:
    """Do the job, or what is left of it.

    Raises UsageError and its kind for what the user can put right, ProofError if the count does not
    come out, SourceChangedError if a source changes faster than it is planned, StoppedError if a
    signal asked to stop.
    """
    start, run_id = time.monotonic(), _new_run_id()
    for again in range(_PLANS - 1, -1, -1):
        try:
            plan_id = step(plan_units)(job, progress)
        except SourceChangedError:  # between being listed and being looked into
            if not again:
                raise
            continue
        worked = _work_off(job, plan_id, run_id, step, progress)
        if not worked.changed:
            break
        _LOG.warning("%s", worked.changed)
    if worked.published or not open_place(job.dst).exists(PAGE):
        step(write_report)(job.dst)
    if worked.changed:
        raise SourceChangedError(worked.changed)
    return _finish(job, plan_id, run_id, time.monotonic() - start, worked, step)


def retry(
    dst: str,
    reason: str | None = None,
    *,
    config: CleanerConfig | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    step: Step = plainly,
    progress: Progress = in_silence,
) -> Summary:
    """Clean once more what is in quarantine under DST (for `reason`, or all of it), and take it
    into the mirrors.

    config: of this attempt; None: that of the run before. Raises UsageError if DST holds no
    finished run, or nothing is in quarantine for that reason.
    """
    start, run_id = time.monotonic(), _new_run_id()
    place, latest = open_place(dst), load_plan(dst)
    chosen = list(_in_quarantine(place, latest, reason))
    if not chosen:
        raise UsageError(
            f"Nothing{f' of reason {reason}' if reason else ''} is in quarantine under {place.full()}."
        )
    before = _last_job(place)
    job = CleanJob(
        latest.src,
        dst,
        config or before.config,
        workers or before.workers,
        ray_address,
        latest.sample,
    )
    markers = (
        read_marker(place, source_id) for source_id in {source_id for source_id, _ in chosen}
    )
    generation = 1 + max(marker.generation for marker in markers if marker is not None)
    plan_id = make_retry_plan(dst, chosen, job.config.fingerprint(), generation).id
    worked = _work_off(job, plan_id, run_id, step, progress)
    step(write_report)(dst)
    if worked.changed:
        raise SourceChangedError(worked.changed)
    return _finish(job, latest.id, run_id, time.monotonic() - start, worked, step)


# The steps


def plan_units(job: CleanJob, progress: Progress = in_silence) -> str:
    """Look at the sources and plan what is to be done; the plan's id. The latest plan is kept where
    it still fits.
    """
    check_places(job.src, job.dst)
    place, fingerprint = open_place(job.dst), job.config.fingerprint()
    if job.sample is not None:
        _check_sample(place)
    elif (latest := _latest_plan(place)) is not None and _fits(latest, job, fingerprint):
        return latest.id
    return make_plan(
        job.src, job.dst, fingerprint, job.sample, lambda done, of: progress("plan", done, of)
    ).id


def clean_next_wave(
    job: CleanJob,
    plan_id: str,
    run_id: str,
    progress: Progress = in_silence,
    left_out: AbstractSet[str] = frozenset(),
    careful: bool = False,
) -> WaveDone:
    """Clean what is left of a plan, at most one wave of it.

    left_out: ids of sources that have changed. careful: find out what dies before any actor has a
    unit.
    """
    ledger, plan, wave = Ledger(job.dst), load_plan(job.dst, plan_id), uuid4().hex
    committed = ledger.committed()
    deadly = ledger.poisonous(committed)
    state = len(committed), len(deadly)
    place = open_place(job.dst)
    passed_over = left_out | {
        planned.source.id for planned in plan.sources if is_done(place, plan, planned)
    }
    units: list[Unit] = []
    left = images = 0
    for unit in _open_units(plan, passed_over, committed, deadly):
        if unit.id in deadly:  # halved down to this one image
            _give_up(ledger, unit, Origin(unit, ledger.start(unit, wave), plan.fingerprint, run_id))
            left += 1
            continue
        left, images = left + 1, images + len(unit.members)
        if len(units) < WAVE_UNITS:
            units.append(unit)
    if not units:
        return WaveDone(left, state)
    done = plan.images - images
    progress("clean", done, plan.images)

    def one_more(count: int, megapixels: float) -> None:
        nonlocal done
        done += count
        progress("clean", done, plan.images)

    weights = keep_weights(job.dst, job.config)
    work = Work(job.dst, job.config, plan.fingerprint, run_id, wave, careful, weights)
    with ray_session(job.ray_address):
        result = clean_wave(units, work, job.workers, one_more)
    return WaveDone(left, state, result.megapixels, result.seconds, result.changed)


def publish_sources(
    job: CleanJob,
    plan_id: str,
    progress: Progress = in_silence,
    left_out: AbstractSet[str] = frozenset(),
) -> Worked:
    """Publish all sources of a plan that are not published yet, several at a time, but for those
    left out.
    """
    plan, place = load_plan(job.dst, plan_id), open_place(job.dst)
    waiting = {
        planned.source.id for planned in plan.sources if not is_done(place, plan, planned)
    } - left_out
    done = len(plan.sources) - len(waiting)
    running: list[ray.ObjectRef] = []
    with ray_session(job.ray_address):
        publish = ray.remote(num_cpus=_PUBLISH_CPUS, max_retries=1)(_publish)
        facts, environment = replace(plan, sources=()), storage_environment()
        changed = []
        for planned, units in _by_source(plan, waiting):
            running.append(publish.remote(facts, planned, units, environment))
            if len(running) == _PUBLISHED_AHEAD:
                changed += _await_one(running)
                progress("publish", done := done + 1, len(plan.sources))
        while running:
            changed += _await_one(running)
            progress("publish", done := done + 1, len(plan.sources))
    return Worked(len(waiting) - len(changed), changed="".join(changed[:1]))


def write_report(dst: str) -> str:
    """The report's page from the report tables; its path."""
    return build_report(dst)


def prove_counts(dst: str, plan_id: str) -> Proof:
    """Planned = cleaned + copied + quarantined. Raises ProofError."""
    return prove(load_plan(dst, plan_id))


# What the steps are made of


def _work_off(job: CleanJob, plan_id: str, run_id: str, step: Step, progress: Progress) -> Worked:
    """Waves until every unit is committed, then the mirrors; without the sources that turn out to
    have changed.
    """
    place, plan = open_place(job.dst), load_plan(job.dst, plan_id)
    if all(is_done(place, plan, planned) for planned in plan.sources):
        return Worked()
    megapixels = seconds = 0.0
    changed: dict[str, str] = {}
    before, idle = None, 0
    with ray_session(job.ray_address), stops_in_order():
        while (
            wave := step(clean_next_wave)(job, plan_id, run_id, progress, changed.keys(), idle > 0)
        ).left:
            megapixels, seconds = megapixels + wave.megapixels, seconds + wave.seconds
            idle = idle + 1 if wave.state == before and not wave.changed else 0
            before = wave.state
            changed |= wave.changed
            if idle == _IDLE_WAVES:
                raise DemoireError(
                    f"{wave.left} units cannot be finished: their workers die whatever is tried; "
                    "see whether this machine has enough memory, then run the same command again."
                )
        worked = step(publish_sources)(job, plan_id, progress, changed.keys())
    changed_at_all = next(iter(changed.values()), worked.changed)
    return Worked(worked.published, megapixels, seconds, changed_at_all)


def _open_units(
    plan: Plan, published: AbstractSet[str], committed: AbstractSet[str], deadly: AbstractSet[str]
) -> Iterator[Unit]:
    """What is left of a plan: units, and pieces of those that had to be halved."""
    for unit in read_units(plan.dst, plan.id):
        if unit.source.id not in published:
            yield from pieces(unit, plan.fingerprint, committed, deadly).open


def _give_up(ledger: Ledger, unit: Unit, origin: Origin) -> None:
    """Quarantine the one image that kills whatever process touches it."""
    _LOG.warning(
        "%s in %s kills its process; it goes into quarantine.",
        unit.members[0].name,
        shown(unit.source.uri),
    )
    ledger.commit(
        unit,
        origin.attempt,
        [quarantined(member, "native_crash", origin) for member in unit.members],
    )


def _by_source(plan: Plan, wanted: AbstractSet[str]) -> Iterator[tuple[SourcePlan, list[Unit]]]:
    """The wanted sources of a plan with their units, which may be none, a source in memory at a
    time.
    """
    groups = groupby(read_units(plan.dst, plan.id), lambda unit: unit.source.id)
    source_id, units = next(groups, ("", iter(())))
    for planned in plan.sources:
        own = []
        if planned.source.id == source_id:
            own = list(units)
            source_id, units = next(groups, ("", iter(())))
        if planned.source.id in wanted:
            yield planned, own


def _publish(
    plan: Plan, planned: SourcePlan, units: list[Unit], environment: StorageEnvironment
) -> None:
    """Publish one source, in whatever process and on whatever machine."""
    environment.install()
    if plan.generation:
        publish_retry(planned, units, plan.dst, plan.fingerprint, plan.generation)
    else:
        publish_source(planned, units, plan.dst, plan.fingerprint, plan.sample)


def _await_one(running: list[ray.ObjectRef]) -> list[str]:
    """Take out one that is done; what there is to say if its source has changed.

    Raises what else it raised, DemoireError if its process died.
    """
    done, running[:] = ray.wait(running, num_returns=1)
    try:
        ray.get(done)
    except Exception as error:
        own = own_error(error)
        if isinstance(own, SourceChangedError):
            return [str(own)]
        if own:
            raise own from error
        if is_death(error):
            raise DemoireError(
                "The process that wrote a mirror died, and died again: see whether this machine has enough memory and "
                "temporary space, then run the same command again."
            ) from error
        raise
    return []


def _latest_plan(place: Place) -> Plan | None:
    return load_plan(place.uri) if place.exists(LATEST) else None


def _fits(latest: Plan, job: CleanJob, fingerprint: str) -> bool:
    """Whether the latest plan is that of this job, over sources that have not changed since."""
    if (latest.src, latest.fingerprint, latest.sample) != (job.src, fingerprint, None):
        return False
    return [planned.source for planned in latest.sources] == discover(job.src)


def _check_sample(place: Place) -> None:
    """A sample's mirrors would take the place of whole ones. Raises UsageError."""
    for entry in place.list(PUBLISHED):
        marker = read_marker(place, entry.name.removesuffix(".json"))
        if marker is not None and marker.sample is None:
            raise UsageError(
                f"{place.full()} holds a whole cleaned collection: give a sample another DST."
            )


def _in_quarantine(place: Place, plan: Plan, reason: str | None) -> Iterator[tuple[str, int]]:
    """(source id, position) of the images in quarantine that another attempt can be made at."""
    for planned in plan.sources:
        if read_marker(place, planned.source.id) is None:
            continue
        table = read_report(place, planned.source.id, ["image_id", "status", "reason"])
        for row in table.to_pylist():
            position = int(row["image_id"].rpartition("/")[2])
            again = row["status"] == "quarantined" and position >= 0 and row["reason"] != UNSAFE
            if again and reason in (None, row["reason"]):
                yield planned.source.id, position


def _last_job(place: Place) -> CleanJob:
    """The job of the last run that was finished. Raises UsageError."""
    runs = sorted(entry.name for entry in place.list(RUNS))
    if not runs:
        raise UsageError(f"{place.full()} holds no finished run: run `demoire clean` first.")
    return CleanJob.from_dict(json.loads(place.read(f"{RUNS}/{runs[-1]}"))["job"])


def _new_run_id() -> str:
    """Sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"


def _finish(
    job: CleanJob, plan_id: str, run_id: str, seconds: float, worked: Worked, step: Step
) -> Summary:
    """Prove the count, and note what the run came to; a run that had nothing to do leaves no
    note.
    """
    proof = step(prove_counts)(job.dst, plan_id)
    place, plan = open_place(job.dst), load_plan(job.dst, plan_id)
    markers = [
        marker for p in plan.sources if (marker := read_marker(place, p.source.id)) is not None
    ]
    cleaned = proof.cleaned or None
    summary = Summary(
        run_id=run_id,
        images=proof.images,
        cleaned=proof.cleaned,
        copied=proof.copied,
        quarantined=proof.quarantined,
        others=sum(marker.others for marker in markers),
        megapixels=sum(marker.megapixels for marker in markers),
        seconds=seconds,
        mps=worked.megapixels / worked.seconds if worked.seconds else 0.0,
        moire_before=sum(marker.moire_before for marker in markers) / cleaned if cleaned else None,
        moire_after=sum(marker.moire_after for marker in markers) / cleaned if cleaned else None,
        report=place.full(PAGE),
    )
    if worked.published:
        note = {"job": job.to_dict(), "plan": plan_id, "summary": asdict(summary)}
        place.write(f"{RUNS}/{run_id}.json", json.dumps(note, indent=2).encode())
    return summary
