"""One launch of a job: what all of its steps need, made once and handed down."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from demoire.progress import Progress, in_silence
from pipelines.clean.stopping import OrderlyStop
from pipelines.destination.destination import Destination
from pipelines.job import CleanJob
from pipelines.steps import Step, plainly


@dataclass(frozen=True)
class Launch:
    """One launch of a job, in one process.

    Attributes:
        job: What is to be done.
        destination: Everything under the job's DST.
        run_id: Names this launch in rows and notes; ids sort by time.
        step: Wraps every step, so that a scheduler can make a task of each.
        progress: Told of "plan" (sources), "wait" (seconds, for a node of the cluster), "clean"
            (images) and "publish" (sources).
        stop: Turns a signal into an orderly end.
    """

    job: CleanJob
    destination: Destination
    run_id: str
    step: Step = plainly
    progress: Progress = in_silence
    stop: OrderlyStop = field(default_factory=OrderlyStop)

    @staticmethod
    def of(job: CleanJob, step: Step = plainly, progress: Progress = in_silence) -> "Launch":
        """A launch of this job now."""
        return Launch(job, Destination.of_run(job.dst), new_run_id(), step, progress)


def new_run_id() -> str:
    """An id for one launch. Ids sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"
