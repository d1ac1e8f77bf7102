"""Publishing a source once all its units are committed: its mirror, its report, its marker.

First the mirror (`pipelines.publish.mirror`) and its record, then the report's table with the
previews beside it, and last the marker. As long as the marker fits the source and the mirror is
there, nothing is done again; whatever died in between is done again with the same result. What
stands in the mirror's way and is not ours stays there (`pipelines.destination.ours`).

Costs one read and one write of the source, and for the previews about 30 ms a megapixel of at most
twenty images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from demoire.errors import DemoireError
from demoire.reasons import Reason
from pipelines.destination.claims import MirrorClaims
from pipelines.destination.commits import Commit
from pipelines.destination.destination import Destination
from pipelines.destination.ledger import Ledger
from pipelines.destination.markers import Published
from pipelines.destination.mirrored import MirrorRecord
from pipelines.destination.plans import PlanScope, SourcePlan
from pipelines.names import shown
from pipelines.plan.units import halves, make_unit
from pipelines.publish.foreign_rows import without_foreign
from pipelines.publish.loose_files import mirror_folder, patch_folder
from pipelines.publish.mirror import (
    Mirror,
    mirror_archive,
    patch_archive,
)
from pipelines.publish.payloads import CleanedPayloads
from pipelines.publish.previews import draw_previews, read_previews, write_previews
from pipelines.publish.table import ReportWriter
from pipelines.records import REPORT_SCHEMA, Member, Unit
from pipelines.rows import UnitAttempt, as_text, quarantined, rows_to_table, withheld_row
from pipelines.sources.given import all_given, src_of
from pipelines.sources.inner_positions import container_position, is_inner


def publish_source(
    destination: Destination, planned: SourcePlan, units: Sequence[Unit], scope: PlanScope
) -> Published:
    """Publish a source whose units are committed.

    Args:
        destination: Where the units are committed and the mirror goes.
        planned: What was planned for the source.
        units: All of it.
        scope: What the plan was made for.

    Raises:
        SourceChangedError: The source is no longer what was planned.
        DemoireError: A unit is not committed.
    """
    source = planned.source
    place = destination.place
    done = _CommittedUnits.of(units, destination.ledger, scope.fingerprint)
    cleaned = CleanedPayloads(destination.ledger, done.commits)
    members = _by_position(units)
    claims = MirrorClaims(destination, source, src_of(source, all_given(scope.src, scope.also)))
    if source.kind == "folder":
        mirror = mirror_folder(source, claims, cleaned, members, planned.withheld)
    elif planned.withheld:
        mirror = Mirror(0, 0, withheld=1)
    else:
        # A sample's plan does not know how many members there are in all.
        whole = planned.images + planned.unsafe + planned.others
        count = whole if scope.sample is None else None
        mirror = mirror_archive(source, claims, cleaned, members, count)
    record = claims.record(whole=True)
    mirror = replace(mirror, late=_pages_for_files(mirror.late, members))
    report = ReportWriter(destination.reports, source, mirror.refused, mirror.late)
    late = _late_without_rows(planned, members, mirror)
    uncleaned = _uncleaned(planned, late, scope.fingerprint)
    tables = [*done.tables(destination.ledger), *uncleaned]
    report.write(without_foreign(tables, source, members, claims.foreign))
    previews = list(draw_previews(source, report.most_changed, members, cleaned))
    write_previews(place, source, previews)
    marker = replace(_marker(planned, mirror, report, scope), late_rows=len(late))
    marker = _with_objects(marker, mirror.files, record)
    destination.markers.write(marker)
    return marker


def publish_retry(
    destination: Destination, planned: SourcePlan, units: Sequence[Unit], scope: PlanScope
) -> Published:
    """Take what a retry made of some images into a source's mirror and report; all else stays.

    It is the mirror that is written anew, not the source: this needs nothing of what `gc` removes.

    Args:
        destination: What holds the mirror.
        planned: What the retry's plan says of the source.
        units: All of it.
        scope: What the retry's plan was made for.

    Raises:
        DemoireError: The source was never published, or a unit is not committed.
    """
    source = planned.source
    place = destination.place
    before = destination.markers.read(source.id)
    if before is None:
        raise DemoireError(
            f"{shown(source.uri)} is not published yet: run `demoire clean` before a retry."
        )
    done = _CommittedUnits.of(units, destination.ledger, scope.fingerprint)
    cleaned = CleanedPayloads(destination.ledger, done.commits)
    members = _by_position(units)
    claims = MirrorClaims(destination, source, src_of(source, all_given(scope.src, scope.also)))
    places = before.files + before.foreign
    mirror = Mirror(before.size, places, before.folders, before.withheld)
    if cleaned.positions and source.kind == "folder":
        patched = patch_folder(source, claims, cleaned, members)
        mirror = replace(
            mirror,
            files=places - patched.withheld,
            withheld=mirror.withheld + patched.withheld,
            late=_pages_for_files(patched.late, members),
            refused=patched.refused,
        )
    elif cleaned.positions and not claims.is_foreign(source.path):
        mirror = patch_archive(source, claims, cleaned, members)
    record = claims.record(whole=False)
    report = ReportWriter(destination.reports, source, mirror.refused, mirror.late)
    if claims.foreign and source.kind != "folder":
        rows = destination.reports.read(source.id).cast(REPORT_SCHEMA)
        report.write(without_foreign([rows], source, members, claims.foreign))
    else:
        tables = without_foreign(done.tables(destination.ledger), source, members, claims.foreign)
        report.replace(pa.concat_tables(tables))
    previews = read_previews(place, source)
    previews.extend(draw_previews(source, report.most_changed, members, cleaned))
    write_previews(place, source, previews)
    # The marker stays that of the run before: its configuration is what the next run goes by.
    kept_scope = replace(scope, fingerprint=before.fingerprint, sample=before.sample)
    marker = replace(
        _marker(planned, mirror, report, kept_scope),
        others=before.others,
        late_rows=before.late_rows,
    )
    marker = _with_objects(marker, mirror.files, record)
    destination.markers.write(marker)
    return marker


@dataclass(frozen=True)
class _CommittedUnits:
    """The planned units of a source, each with the commits that it is made of."""

    pairs: tuple[tuple[Unit, Commit], ...]

    @staticmethod
    def of(units: Sequence[Unit], ledger: Ledger, fingerprint: str) -> "_CommittedUnits":
        pairs: list[tuple[Unit, Commit]] = []
        for unit in units:
            commits = _commits(ledger, unit, fingerprint)
            pairs.extend((unit, commit) for commit in commits)
        return _CommittedUnits(tuple(pairs))

    @property
    def commits(self) -> list[Commit]:
        return [commit for _, commit in self.pairs]

    def tables(self, ledger: Ledger) -> Iterator[pa.Table]:
        """The rows of each commit, under the unit that was planned, even where it was halved."""
        number = REPORT_SCHEMA.get_field_index("unit_id")
        for unit, commit in self.pairs:
            rows = ledger.rows(commit)
            unit_ids = pa.array([unit.id] * rows.num_rows)
            yield rows.set_column(number, REPORT_SCHEMA.field(number), unit_ids)


def _commits(ledger: Ledger, unit: Unit, fingerprint: str) -> list[Commit]:
    """The commits that make up a planned unit: its own, or those of its halves."""
    commit = ledger.find(unit.id)
    if commit is not None:
        return [commit]
    if len(unit.members) == 1:
        raise DemoireError(
            f"{shown(unit.source.uri)} is not wholly cleaned yet: run the same command again."
        )
    first, second = halves(unit, fingerprint)
    return _commits(ledger, first, fingerprint) + _commits(ledger, second, fingerprint)


def _by_position(units: Sequence[Unit]) -> dict[int, Member]:
    return {member.position: member for unit in units for member in unit.members}


def _pages_for_files(late: Sequence[Member], members: Mapping[int, Member]) -> tuple[Member, ...]:
    """What DST refused, with the pages of a file in its place: they have the rows."""
    pages: dict[int, list[Member]] = {}
    for position, member in members.items():
        if is_inner(position):
            pages.setdefault(container_position(position), []).append(member)
    refused: list[Member] = []
    for member in late:
        for one in pages.get(member.position, [member]):
            refused.append(replace(one, kind="withheld", reason=member.reason))
    return tuple(refused)


def _late_without_rows(
    planned: SourcePlan, members: Mapping[int, Member], mirror: Mirror
) -> list[Member]:
    """What DST refused of that which has no row yet: it is no image, or a whole archive."""
    if planned.damaged is not None:
        return []
    return [member for member in mirror.late if member.position not in members]


def _uncleaned(planned: SourcePlan, late: Sequence[Member], fingerprint: str) -> Iterator[pa.Table]:
    """The rows of what no unit holds: unsafe members, an archive that cannot be opened, and what is
    withheld.
    """
    source = planned.source
    attempt = UnitAttempt(make_unit(source, [], fingerprint), 0, fingerprint, run_id="")
    reason = Reason.UNSAFE_NAME
    members = planned.unsafe_members
    if planned.damaged is not None:
        # One row for the whole archive, at a position that no member has.
        reason = Reason.UNREADABLE
        members = (Member(-1, "", "unsafe", -1, source.size, source.size, "stored", "", 0.0),)
    rows = [quarantined(member, reason.value, attempt).row for member in members]
    rows.extend(withheld_row(member, attempt) for member in (*planned.withheld, *late))
    if rows:
        yield rows_to_table(rows)


def _marker(
    planned: SourcePlan, mirror: Mirror, report: ReportWriter, scope: PlanScope
) -> Published:
    return Published(
        source_id=planned.source.id,
        path=as_text(planned.source.path),
        version=planned.source.version,
        fingerprint=scope.fingerprint,
        sample=scope.sample,
        generation=scope.generation,
        size=mirror.size,
        files=mirror.files,
        folders=mirror.folders,
        withheld=mirror.withheld,
        others=planned.others,
        cleaned=report.statuses["cleaned"],
        copied=report.statuses["copied"],
        quarantined=report.statuses["quarantined"],
        megapixels=report.megapixels,
        moire_before=report.moire_before,
        moire_after=report.moire_after,
    )


def _with_objects(marker: Published, places: int, record: MirrorRecord) -> Published:
    """The marker with its objects counted; `places`: of the mirror, free or taken."""
    foreign = len(record.paths("foreign"))
    left = len(record.paths("left"))
    return replace(marker, files=places - foreign, foreign=foreign, left=left)
