"""Trying again what is in quarantine, and taking it into the mirrors that are there."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from demoire.cleaning.config import CleanerConfig
from demoire.errors import SourceChangedError, UsageError
from demoire.progress import Progress, in_silence
from demoire.reasons import Reason
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan
from pipelines.job import CleanJob, RunSummary
from pipelines.launch import Launch, new_run_id
from pipelines.layout import position_of
from pipelines.plan.next_attempt import AttemptedImage, plan_next_attempt
from pipelines.run import check_checksums, finish, run_job, work_off, write_report
from pipelines.steps import Step, plainly

_LOG = logging.getLogger(__name__)

_NOT_RETRIED = (Reason.UNSAFE_NAME, Reason.FOREIGN_OBJECT)


@dataclass(frozen=True)
class RetryOrder:
    """What a retry does otherwise than the run before; None: the same."""

    reason: str | None = None  # try only what is in quarantine for this reason
    config: CleanerConfig | None = None
    workers: int | None = None
    # Where it is done is said anew each time; see `CleanJob`.
    gpus: int | None = None
    ray_address: str | None = None
    stall_minutes: float = CleanJob.stall_minutes


def retry(
    dst: str,
    order: RetryOrder = RetryOrder(),
    *,
    step: Step = plainly,
    progress: Progress = in_silence,
) -> RunSummary:
    """Clean once more what is in quarantine under DST, and take it into the mirrors.

    Where one of the sources was replaced since it was planned, the run before is repeated first, as
    `demoire clean` would; then what is still in quarantine is tried.

    Args:
        dst: Where a finished run lies.
        order: What to try again, and how.
        step: Wraps every step, for a scheduler.
        progress: Told of "plan" (sources), "clean" (images) and "publish" (sources).

    Raises:
        UsageError: DST holds no finished run, or nothing is in quarantine for that reason.
        SourceChangedError: A source changes faster than it is planned.
        StoppedError: A signal asked to stop.
    """
    destination = Destination.of_run(dst)
    latest = destination.manifests.latest()
    chosen = list(_in_quarantine(destination, latest, order.reason))
    if not chosen:
        raise UsageError(_nothing_to_try(destination, latest, order.reason))
    before = destination.notes.last_job()
    if before is None:
        raise UsageError(
            f"{destination.place.full()} holds no finished run: run `demoire clean` first."
        )
    job = CleanJob(
        src=latest.src,
        dst=dst,
        config=order.config or before.config,
        workers=order.workers or before.workers,
        gpus=order.gpus,
        ray_address=order.ray_address,
        stall_minutes=order.stall_minutes,
        sample=latest.sample,
        fixity=before.fixity,
        also=latest.also,
    )
    launch = Launch(job, destination, new_run_id(), step, progress)
    with launch.stop.listening():
        try:
            return _retry_images(launch, chosen)
        except SourceChangedError as change:
            _LOG.warning("%s", change)
        # By the configuration of the run before: by that the next run decides what is done.
        summary = run_job(replace(job, config=before.config), step, progress)
        still = list(_in_quarantine(destination, destination.manifests.latest(), order.reason))
        if not still:
            return summary
        return _retry_images(launch, still)


def _retry_images(launch: Launch, chosen: Sequence["_QuarantinedImage"]) -> RunSummary:
    """Clean these images once more, under the next generation.

    Raises:
        SourceChangedError: A source is no longer what was planned.
    """
    start = time.monotonic()
    destination = launch.destination
    plan = plan_next_attempt(destination, chosen, launch.job.config)
    work = work_off(launch, plan.id)
    latest = destination.manifests.latest()
    launch.step(check_checksums)(launch, latest.id)
    launch.step(write_report)(launch)
    if work.change:
        raise SourceChangedError(work.change)
    return finish(launch, latest.id, work, time.monotonic() - start)


@dataclass(frozen=True)
class _QuarantinedImage(AttemptedImage):
    """An image in quarantine."""

    reason: str


def _in_quarantine(
    destination: Destination, plan: Plan, reason: str | None
) -> Iterator[_QuarantinedImage]:
    """The images in quarantine for this reason, or for any, that a retry can help.

    An unsafe name is as unsafe the next time, and what stands in the mirror's way is not moved by
    another attempt. An archive that cannot be opened has one row without
    a position.
    """
    destination.shelves.refresh()
    reports = destination.reports.reader(["image_id", "status", "reason"])
    for planned in plan.sources:
        source_id = planned.source.id
        marker = destination.markers.read(source_id)
        if marker is None:
            continue
        for row in reports.rows(source_id).to_pylist():
            position = position_of(row["image_id"])
            if row["status"] != "quarantined" or position < 0:
                continue
            if row["reason"] in _NOT_RETRIED or reason not in (None, row["reason"]):
                continue
            yield _QuarantinedImage(source_id, position, marker.generation, row["reason"] or "")


def _nothing_to_try(destination: Destination, plan: Plan, reason: str | None) -> str:
    """What to say where no image can be tried again for this reason, or for any."""
    what = "in quarantine" if reason is None else f"of reason {reason}"
    nothing = f"Nothing {what} under {destination.place.full()} can be tried again"
    others = {image.reason for image in _in_quarantine(destination, plan, None)}
    if others:
        return f"{nothing}; what can be has reason {' or '.join(sorted(others))}."
    return (
        f"{nothing}. An archive that cannot be opened is read again by `demoire clean`, "
        "once it has been repaired."
    )
