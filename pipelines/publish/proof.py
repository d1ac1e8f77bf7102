"""The proof at the end: planned = cleaned + copied + quarantined."""

from collections import Counter
from dataclasses import dataclass

from demoire.errors import ProofError
from pipelines.destination.destination import Destination
from pipelines.destination.markers import Published
from pipelines.destination.plans import Plan, SourcePlan
from pipelines.names import shown
from pipelines.rows import source_name

_NAMED = 5  # sources that the error names


@dataclass(frozen=True)
class Proof:
    """What was counted: rows of the reports, files of the mirrors, and sums of the markers."""

    cleaned: int = 0
    copied: int = 0
    quarantined: int = 0
    files: int = 0
    others: int = 0  # members that are no images
    megapixels: float = 0.0
    moire_before: float = 0.0  # sums over the cleaned
    moire_after: float = 0.0

    @property
    def images(self) -> int:
        """All images, whatever became of them."""
        return self.cleaned + self.copied + self.quarantined

    def __add__(self, other: "Proof") -> "Proof":
        return Proof(
            cleaned=self.cleaned + other.cleaned,
            copied=self.copied + other.copied,
            quarantined=self.quarantined + other.quarantined,
            files=self.files + other.files,
            others=self.others + other.others,
            megapixels=self.megapixels + other.megapixels,
            moire_before=self.moire_before + other.moire_before,
            moire_after=self.moire_after + other.moire_after,
        )


def prove(destination: Destination, plan: Plan) -> Proof:
    """Count what is under DST against the plan: the rows of each report, and whether each mirror is
    there.

    Raises:
        ProofError: It names the sources that differ.
    """
    total = Proof()
    wrong = []
    for planned in plan.sources:
        marker = destination.markers.fitting(planned.source, plan.fingerprint, plan.sample)
        if marker is None:
            wrong.append(f"{source_name(planned.source)} (its mirror is not there)")
            continue
        table = destination.reports.read(planned.source.id, ["status"])
        statuses = Counter(table.column("status").to_pylist())
        if not _comes_out(statuses, planned, marker):
            counted = f"planned {planned.rows}, found {statuses.total()}"
            wrong.append(f"{source_name(planned.source)} ({counted})")
        total += Proof(
            cleaned=statuses["cleaned"],
            copied=statuses["copied"],
            quarantined=statuses["quarantined"],
            files=marker.files,
            others=marker.others,
            megapixels=marker.megapixels,
            moire_before=marker.moire_before,
            moire_after=marker.moire_after,
        )
    if wrong:
        raise _not_proved(wrong)
    return total


def _comes_out(statuses: Counter[str], planned: SourcePlan, marker: Published) -> bool:
    """Whether a source's rows are as many as planned, and of each status as many as published."""
    published = Counter(
        cleaned=marker.cleaned, copied=marker.copied, quarantined=marker.quarantined
    )
    return statuses.total() == planned.rows and statuses == published


def _not_proved(wrong: list[str]) -> ProofError:
    names = ", ".join(shown(name) for name in wrong[:_NAMED])
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return ProofError(f"The count does not come out for {names}{more}: run the same command again.")
