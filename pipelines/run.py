"""The whole job: plan -> waves of cleaning -> publish -> checksums -> report -> prove.

`run_job` is what `demoire clean` does. It may be killed at any point and run again with the same
job: units that are committed and sources that are published are passed over. Run again when all is
done, it looks at the sources' versions and at the markers, and writes nothing, unless an extra was
installed since that lets it clean more (`pipelines.plan.newly_possible`). A source that changes
while the job runs is planned anew, once all others are published. On SIGTERM or Ctrl-C the units
in work are finished, and no others are begun; where none are, the run ends at once.

Each step is a function of the launch and small values; `Launch.step` wraps every call, so that a
scheduler can make a task of each. The plain command passes none.
"""

import logging
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from demoire.errors import SourceChangedError, UsageError
from demoire.imaging.pdf.passwords import passwords_in_use
from demoire.progress import Progress, in_silence
from demoire.reasons import Reason
from pipelines import layout
from pipelines.clean.cluster import ray_session
from pipelines.clean.node_extras import nodes_without_heic
from pipelines.destination.destination import Destination
from pipelines.destination.differences import differences
from pipelines.destination.plans import Plan, PlanScope
from pipelines.fixity.findings import Findings
from pipelines.fixity.fixity import check_fixity, is_fixity_due
from pipelines.job import CleanJob, RunSummary
from pipelines.launch import Launch
from pipelines.plan.newly_possible import newly_possible
from pipelines.plan.next_attempt import plan_next_attempt
from pipelines.plan.plan import make_plan
from pipelines.prune import prune
from pipelines.publish.parallel import publish_together
from pipelines.publish.proof import Proof, prove
from pipelines.report.build import build_report
from pipelines.sources.given import all_given, discover_given
from pipelines.steps import Step, plainly
from pipelines.storage.open import check_places
from pipelines.storage.place import Place
from pipelines.waves import clean_in_waves

_PLANS = 3  # times that a collection may change under a run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedSources:
    """What the publishing step did."""

    count: int
    change: str = ""  # what to say of a source that is not what was planned; '' if all are


@dataclass(frozen=True)
class WorkDone:
    """What was left of a plan, now that it is done."""

    published: int = 0  # sources
    megapixels: float = 0.0  # cleaned
    seconds: float = 0.0  # of cleaning
    # What to say of a source that is not what was planned; all others are done.
    change: str = ""

    @property
    def mps(self) -> float:
        """Megapixels a second of cleaning; 0 if nothing was left to clean."""
        return self.megapixels / self.seconds if self.seconds else 0.0


def run_job(job: CleanJob, step: Step = plainly, progress: Progress = in_silence) -> RunSummary:
    """Do the job, or what is left of it.

    Args:
        job: What to do.
        step: Wraps every step, for a scheduler.
        progress: Told of "plan" (sources), "clean" (images) and "publish" (sources).

    Raises:
        UsageError: What the user can put right.
        ProofError: The count does not come out.
        SourceChangedError: A source changes faster than it is planned.
        StoppedError: A signal asked to stop.
    """
    launch = Launch.of(job, step, progress)
    with launch.stop.listening():
        return _run(launch)


def _run(launch: Launch) -> RunSummary:
    start = time.monotonic()
    job = launch.job
    step = launch.step
    for number in range(1, _PLANS + 1):
        try:
            plan_id = step(plan_units)(launch)
        except SourceChangedError:  # between being listed and being indexed
            if number == _PLANS:
                raise
            continue
        work = work_off(launch, plan_id)
        if not work.change:
            break
        _LOG.warning("%s", work.change)
    if not work.change:
        work = work_off_newly_possible(launch, plan_id, work)
    if work.published or is_fixity_due(launch.destination, job.fixity):
        step(check_checksums)(launch, plan_id)
        step(write_report)(launch)
    elif _is_outdated(launch.destination.place):
        step(write_report)(launch)
    if work.change:
        raise SourceChangedError(work.change)
    return finish(launch, plan_id, work, time.monotonic() - start)


# The steps


def plan_units(launch: Launch) -> str:
    """Look at the sources and plan what is to be done; the plan's id.

    The latest plan is kept where it still fits.
    """
    job = launch.job
    destination = launch.destination
    for src in all_given(job.src, job.also):
        check_places(src, job.dst)
    scope = PlanScope(
        job.src,
        job.config.fingerprint(),
        job.sample,
        also=job.also,
        rewrite=job.config.rewrite,
    )
    if job.sample is not None:
        _check_sample(destination)
    else:
        latest = destination.manifests.find_latest()
        if latest is not None and _fits(latest, scope) and not _may_unlock(destination, latest):
            return latest.id
    plan = make_plan(destination, scope, launch.progress, merge=job.merge, office=job.config.office)
    return plan.id


def publish_sources(launch: Launch, plan_id: str, sources: AbstractSet[str]) -> PublishedSources:
    """Publish these sources of a plan, several at a time.

    Those that another run has published meanwhile are passed over.
    """
    plan = launch.destination.manifests.load(plan_id)
    waiting = sources - launch.destination.markers.done(plan, sources)
    patience = 60 * launch.job.stall_minutes
    with ray_session(launch.job.ray_address, patience):
        changes = publish_together(launch.destination, plan, waiting, launch.progress, patience)
    first_change = changes[0] if changes else ""
    return PublishedSources(len(waiting) - len(changes), first_change)


def check_checksums(launch: Launch, plan_id: str) -> Findings:
    """Which checksums in the archive cleaning made wrong; the job says whether they are updated."""
    plan = launch.destination.manifests.load(plan_id)
    return check_fixity(launch.destination, plan, launch.job.fixity)


def write_report(launch: Launch) -> str:
    """The report's page from the report tables; its path."""
    return build_report(launch.job.dst)


def prove_counts(launch: Launch, plan_id: str) -> Proof:
    """Planned = cleaned + copied + quarantined + withheld, and listed = mirrored + withheld.

    Raises:
        ProofError: It is not.
    """
    return prove(launch.destination, launch.destination.manifests.load(plan_id))


def prune_left(launch: Launch, plan_id: str) -> int:
    """Remove from the mirrors what has left SRC; how many objects that were."""
    return prune(launch.destination, launch.destination.manifests.load(plan_id))


# What the steps are put together by


def work_off(launch: Launch, plan_id: str) -> WorkDone:
    """Waves until every unit is committed, then the mirrors.

    Sources that turn out to have changed are left out.
    """
    plan = launch.destination.manifests.load(plan_id)
    open_sources = plan.source_ids - launch.destination.markers.done(plan)
    if not open_sources:
        return WorkDone()
    patience = 60 * launch.job.stall_minutes
    with ray_session(launch.job.ray_address, patience):
        cleaning = clean_in_waves(launch, plan_id, open_sources)
        unchanged = open_sources - cleaning.changed.keys()
        published = launch.step(publish_sources)(launch, plan_id, unchanged)
    change = next(iter(cleaning.changed.values()), published.change)
    return WorkDone(published.count, cleaning.megapixels, cleaning.seconds, change)


def work_off_newly_possible(launch: Launch, plan_id: str, work: WorkDone) -> WorkDone:
    """Clean what was copied only for lack of an extra which is installed by now.

    Args:
        launch: The launch that this is a step of.
        plan_id: The plan, all of which is published.
        work: What was done of it.

    Returns:
        The same, with what was done now.
    """
    destination = launch.destination
    images = list(newly_possible(destination, destination.manifests.load(plan_id)))
    if not images:
        return work
    lacking = nodes_without_heic(launch.job.ray_address, 60 * launch.job.stall_minutes)
    if lacking:
        _LOG.warning(
            "%d HEIC images stay as they are: %d nodes of the cluster lack demoire[heif]. Install "
            "it there, then run the same command again.",
            len(images),
            lacking,
        )
        return work
    again = plan_next_attempt(destination, images, launch.job.config)
    more = work_off(launch, again.id)
    return WorkDone(
        published=work.published + more.published,
        megapixels=work.megapixels + more.megapixels,
        seconds=work.seconds + more.seconds,
        change=more.change,
    )


def finish(launch: Launch, plan_id: str, work: WorkDone, seconds: float) -> RunSummary:
    """Prove the count, and note what the run came to.

    A run that had nothing to do leaves no note.
    """
    proof = launch.step(prove_counts)(launch, plan_id)
    pruned = 0
    if launch.job.prune:
        pruned = launch.step(prune_left)(launch, plan_id)
    if pruned:
        launch.step(write_report)(launch)
    plan = launch.destination.manifests.load(plan_id)
    differing = differences(launch.destination, plan)
    moire_before = None
    moire_after = None
    if proof.cleaned:
        moire_before = proof.moire_before / proof.cleaned
        moire_after = proof.moire_after / proof.cleaned
    summary = RunSummary(
        run_id=launch.run_id,
        images=proof.images,
        cleaned=proof.cleaned,
        copied=proof.copied,
        quarantined=proof.quarantined,
        others=proof.others,
        megapixels=proof.megapixels,
        seconds=seconds,
        mps=work.mps,
        moire_before=moire_before,
        moire_after=moire_after,
        report=launch.destination.place.full(layout.PAGE),
        foreign=differing.foreign,
        left=differing.left,
        pruned=pruned,
        withheld=proof.withheld,
        withheld_names=proof.names,
    )
    if work.published:
        launch.destination.notes.write(launch.job, plan_id, summary)
    return summary


def _fits(latest: Plan, scope: PlanScope) -> bool:
    """Whether the latest plan is that of this job, over sources that have not changed since."""
    if latest.scope != scope or not all(planned.is_complete for planned in latest.sources):
        return False
    return [planned.source for planned in latest.sources] == discover_given(scope.src, scope.also)


def _may_unlock(destination: Destination, latest: Plan) -> bool:
    """Whether there are passwords now, and PDF files that were locked when they were planned."""
    if not passwords_in_use():
        return False
    for unit in destination.manifests.units(latest):
        if any(member.reason == Reason.ENCRYPTED for member in unit.members):
            return True
    return False


def _is_outdated(place: Place) -> bool:
    """Whether the report's page is not there, or older than the plan: something may have left."""
    page = place.stat(layout.PAGE)
    plan = place.stat(layout.LATEST_PLAN)
    return page is None or (plan is not None and page.mtime < plan.mtime)


def _check_sample(destination: Destination) -> None:
    """A sample's mirrors would take the place of whole ones.

    Raises:
        UsageError: DST holds a whole collection.
    """
    for marker in destination.markers.all():
        if marker.sample is None:
            raise UsageError(
                f"{destination.place.full()} holds a whole cleaned collection: "
                "give a sample another DST."
            )
