"""The notes that finished runs leave, by which a retry knows how the images were cleaned."""

import json
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from pipelines import layout
from pipelines.destination.stored_json import read_json
from pipelines.job import CleanJob, RunSummary
from pipelines.storage.place import Place


@dataclass(frozen=True)
class _Note:
    """What is read of a note; the plan and the summary stand in it for people."""

    job: CleanJob


_FORM = TypeAdapter(_Note)


class RunNotes:
    """The notes of finished runs under DST; their names sort by time."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def write(self, job: CleanJob, plan_id: str, summary: RunSummary) -> None:
        """Leave the note of a run."""
        note = {"job": job.to_dict(), "plan": plan_id, "summary": asdict(summary)}
        self._place.write(layout.run_note(summary.run_id), json.dumps(note, indent=2).encode())

    def last_job(self) -> CleanJob | None:
        """The job of the last run that was finished; None if there is none.

        Raises:
            UsageError: The note is damaged or of another version.
        """
        names = sorted(entry.name for entry in self._place.list(layout.RUNS))
        if not names:
            return None
        return read_json(self._place, f"{layout.RUNS}/{names[-1]}", _FORM).job
