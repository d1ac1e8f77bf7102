"""The proof at the end of a run: planned = cleaned + copied + quarantined."""

from collections import Counter
from dataclasses import dataclass

from demoire.errors import ProofError
from pipelines.names import shown
from pipelines.plan.manifest import Plan
from pipelines.publish.marker import is_published
from pipelines.publish.table import read_report
from pipelines.rows import source_name
from pipelines.storage.open import open_place


@dataclass(frozen=True)
class Proof:
    """What was counted: rows of the reports, and files of the mirrors."""

    cleaned: int
    copied: int
    quarantined: int
    files: int

    @property
    def images(self) -> int:
        return self.cleaned + self.copied + self.quarantined


def prove(plan: Plan) -> Proof:
    """Count what is under DST against the plan: the rows of each report, and whether each mirror is
    there.

    Raises ProofError naming the sources that differ.
    """
    place = open_place(plan.dst)
    total: Counter[str] = Counter()
    wrong = []
    for planned in plan.sources:
        marker = is_published(place, planned.source, plan.fingerprint, plan.sample)
        if marker is None:
            wrong.append(f"{source_name(planned.source)} (its mirror is not there)")
            continue
        counts = Counter(
            read_report(place, planned.source.id, ["status"]).column("status").to_pylist()
        )
        if counts.total() != planned.rows or counts != Counter(
            cleaned=marker.cleaned, copied=marker.copied, quarantined=marker.quarantined
        ):
            wrong.append(
                f"{source_name(planned.source)} (planned {planned.rows}, found {counts.total()})"
            )
        total += counts + Counter(files=marker.files)
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ProofError(
            f"The count does not come out for {', '.join(map(shown, wrong[:5]))}{more}: run the same command again."
        )
    return Proof(total["cleaned"], total["copied"], total["quarantined"], total["files"])
