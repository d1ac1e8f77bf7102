"""The proof at the end, for each source and in total.

    planned rows    = cleaned + copied + quarantined + withheld
    listed objects  = mirrored + withheld
    rows            = those that its marker was written with

An object is an archive, a loose file, a link, or a folder that was listed itself. What is withheld
is not in the mirror, and has a row with the reason.
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from demoire.errors import ProofError
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan, SourcePlan
from pipelines.destination.published import Published
from pipelines.destination.reports import ROW_NAMES, RowsDigest
from pipelines.names import as_text, shown
from pipelines.rows import source_name

_NAMED = 5  # sources that the error names
WITHHELD_NAMED = 5  # objects that the proof names; the report has all


@dataclass(frozen=True)
class Proof:
    """What was counted: rows of the reports, files of the mirrors, and sums of the markers."""

    cleaned: int = 0
    copied: int = 0
    quarantined: int = 0
    withheld: int = 0  # objects that are not in the mirror
    files: int = 0  # objects that are in it
    others: int = 0  # members that are no images
    megapixels: float = 0.0
    moire_before: float = 0.0  # sums over the cleaned
    moire_after: float = 0.0
    # The first of what is withheld, each with its reason.
    names: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """All images, whatever became of them."""
        return self.cleaned + self.copied + self.quarantined

    def __add__(self, other: "Proof") -> "Proof":
        return Proof(
            cleaned=self.cleaned + other.cleaned,
            copied=self.copied + other.copied,
            quarantined=self.quarantined + other.quarantined,
            withheld=self.withheld + other.withheld,
            files=self.files + other.files,
            others=self.others + other.others,
            megapixels=self.megapixels + other.megapixels,
            moire_before=self.moire_before + other.moire_before,
            moire_after=self.moire_after + other.moire_after,
            names=(*self.names, *other.names)[:WITHHELD_NAMED],
        )


def prove(destination: Destination, plan: Plan) -> Proof:
    """Count what is under DST against the plan: the rows of each report, and whether each mirror is
    there.

    A source whose rows are of another making than its marker is published again by the next run.

    Raises:
        ProofError: It names the sources that differ.
    """
    total = Proof()
    wrong = []
    destination.shelves.refresh()
    reports = destination.reports.reader(["member", "reason", *ROW_NAMES])
    for planned in plan.sources:
        marker = destination.markers.fitting(planned.source, plan.fingerprint, plan.sample)
        if marker is None:
            wrong.append(f"{source_name(planned.source)} (its mirror is not there)")
            continue
        table = reports.rows(planned.source.id)
        statuses = Counter(table.column("status").to_pylist())
        difference = _difference(statuses, planned, marker)
        if not _is_of(marker, table):
            destination.markers.withdraw(marker)
            difference = "its rows are those of another run"
        if difference:
            wrong.append(f"{source_name(planned.source)} ({difference})")
        total += Proof(
            cleaned=statuses["cleaned"],
            copied=statuses["copied"],
            quarantined=statuses["quarantined"],
            withheld=marker.withheld + marker.foreign,
            files=marker.files + marker.folders,
            others=marker.others,
            megapixels=marker.megapixels,
            moire_before=marker.moire_before,
            moire_after=marker.moire_after,
            names=_withheld_names(planned, table) if statuses["withheld"] else (),
        )
    if wrong:
        raise _not_proved(wrong)
    return total


def _is_of(marker: Published, rows: pa.Table) -> bool:
    """Whether these are the rows that a source was published with."""
    if not marker.rows_digest:
        return True
    digest = RowsDigest()
    digest.add(rows)
    return digest.hexdigest() == marker.rows_digest


def _difference(statuses: Counter[str], planned: SourcePlan, marker: Published) -> str:
    """What does not come out of a source; '' if all does."""
    rows = planned.rows + marker.late_rows
    if statuses.total() != rows:
        return f"planned {rows}, found {statuses.total()}"
    for status, published in (
        ("cleaned", marker.cleaned),
        ("copied", marker.copied),
        ("quarantined", marker.quarantined),
    ):
        if statuses[status] != published:
            return f"published {published} {status}, found {statuses[status]}"
    # Where something foreign lies, what would be there is withheld.
    mirrored = marker.files + marker.folders
    withheld = marker.withheld + marker.foreign
    if planned.objects and planned.objects != mirrored + withheld:
        return f"listed {planned.objects}, mirrored {mirrored} and withheld {withheld} objects"
    return ""


def _withheld_names(planned: SourcePlan, table: pa.Table) -> tuple[str, ...]:
    """The first of what is withheld of a source, each with its reason."""
    names = []
    withheld = table.filter(pc.equal(table["status"], "withheld"))
    for row in withheld.slice(0, WITHHELD_NAMED).to_pylist():
        name = f"{as_text(planned.source.path)}/{row['member']}".strip("/")
        names.append(f"{name or '/'} ({row['reason']})")
    return tuple(names)


def _not_proved(wrong: list[str]) -> ProofError:
    names = ", ".join(shown(name) for name in wrong[:_NAMED])
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return ProofError(f"The count does not come out for {names}{more}: run the same command again.")
