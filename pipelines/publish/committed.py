"""The committed units of one source: what its mirror and its report are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from demoire.errors import DemoireError
from pipelines.destination.commits import Commit
from pipelines.destination.ledger import Ledger
from pipelines.names import shown
from pipelines.plan.units import halves
from pipelines.records import REPORT_SCHEMA, Unit


@dataclass(frozen=True)
class CommittedUnits:
    """The planned units of a source, each with the commits that it is made of."""

    pairs: tuple[tuple[Unit, Commit], ...]

    @staticmethod
    def of(units: Sequence[Unit], ledger: Ledger, fingerprint: str) -> "CommittedUnits":
        """Look up the commits.

        The bundles are listed once, and only where something is not found without.

        Raises:
            DemoireError: A unit is not committed.
        """
        pairs: list[tuple[Unit, Commit]] = []
        has_looked = False
        for unit in units:
            commits = _commits(ledger, unit, fingerprint)
            if commits is None and not has_looked:
                ledger.bundles.refresh()
                has_looked = True
                commits = _commits(ledger, unit, fingerprint)
            if commits is None:
                raise DemoireError(
                    f"{shown(unit.source.uri)} is not wholly cleaned yet: "
                    "run the same command again."
                )
            pairs.extend((unit, commit) for commit in commits)
        return CommittedUnits(tuple(pairs))

    @property
    def commits(self) -> list[Commit]:
        """The commits in the order of their images."""
        return [commit for _, commit in self.pairs]

    def tables(self, ledger: Ledger) -> Iterator[pa.Table]:
        """The rows of each commit, under the unit that was planned, even where it was halved."""
        number = REPORT_SCHEMA.get_field_index("unit_id")
        for unit, commit in self.pairs:
            rows = ledger.rows(commit)
            unit_ids = pa.array([unit.id] * rows.num_rows, pa.string())
            yield rows.set_column(number, REPORT_SCHEMA.field(number), unit_ids)


def _commits(ledger: Ledger, unit: Unit, fingerprint: str) -> list[Commit] | None:
    """The commits that make up a planned unit: its own, or those of its halves; None where some of
    it is not committed.
    """
    commit = ledger.find(unit.id, look=False)
    if commit is not None:
        return [commit]
    if len(unit.members) == 1:
        return None
    commits: list[Commit] = []
    for half in halves(unit, fingerprint):
        of_half = _commits(ledger, half, fingerprint)
        if of_half is None:
            return None
        commits += of_half
    return commits
