"""One source whose mirror is written, and what has to be recorded of it: objects, rows and marker.

`write_mirror` puts everything that is published of a source into its mirror.
`pipelines.publish.order` says what is recorded then, and in which order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain, islice

import pyarrow as pa

from demoire.errors import DemoireError
from demoire.reasons import Reason
from pipelines.destination.announcements import Announcements
from pipelines.destination.claims import MirrorClaims
from pipelines.destination.destination import Destination
from pipelines.destination.mirror_record import MirrorRecord
from pipelines.destination.plans import PlanScope, SourcePlan
from pipelines.destination.published import Published
from pipelines.names import shown
from pipelines.plan.units import make_unit
from pipelines.publish.committed import CommittedUnits
from pipelines.publish.foreign_rows import without_foreign
from pipelines.publish.loose_files import mirror_folder, patch_folder
from pipelines.publish.mirror import Mirror, mirror_archive, patch_archive
from pipelines.publish.payloads import CleanedPayloads
from pipelines.publish.table import ReportRows, with_rows_replaced
from pipelines.records import REPORT_SCHEMA, Member, Source, Unit
from pipelines.rows import UnitAttempt, quarantined, rows_to_table, withheld_row
from pipelines.sources.given import all_given, src_of
from pipelines.sources.inner_positions import by_container, is_in_paged_file
from pipelines.sources.members import whole_archive

_ROWS_AT_ONCE = 5000  # of what is in no unit; a row takes some 3 KB until it is in a table


@dataclass(frozen=True)
class Publication:
    """A source whose mirror is written."""

    planned: SourcePlan
    scope: PlanScope
    done: CommittedUnits
    cleaned: CleanedPayloads
    members: Mapping[int, Member]  # the planned ones, by position
    claims: MirrorClaims
    mirror: Mirror
    record: MirrorRecord
    before: Published | None = None  # the marker that a retry goes by; None if all was written

    @property
    def source(self) -> Source:
        """The source."""
        return self.planned.source

    @property
    def foreign(self) -> AbstractSet[str]:
        """Paths at which something of somebody else's lies."""
        return self.claims.foreign

    def rows(self) -> ReportRows:
        """What makes its rows sound and counts them."""
        return ReportRows(self.source, self.mirror.refused, self.mirror.late)

    def tables(self, destination: Destination) -> Iterator[pa.Table]:
        """Its rows as its units and the plan give them; after a retry with those that stay."""
        ledger = destination.ledger
        if self.before is None:
            uncleaned = _uncleaned(self.planned, self._late_without_rows, self.scope.fingerprint)
            tables = chain(self.done.tables(ledger), uncleaned)
            yield from self._without_foreign(tables)
            return
        before = destination.reports.read(self.source.id).cast(REPORT_SCHEMA)
        if self.foreign and self.source.kind != "folder":
            yield from self._without_foreign([before])
        else:
            tried = pa.concat_tables(self._without_foreign(self.done.tables(ledger)))
            yield with_rows_replaced(before, tried)

    def marker(self, rows: ReportRows) -> Published:
        """Its marker.

        Args:
            rows: What its rows come to, once all are counted.
        """
        foreign = len(self.record.paths("foreign"))
        marker = Published(
            source_id=self.source.id,
            path=self.source.path,
            version=self.source.version,
            fingerprint=self.scope.fingerprint,
            sample=self.scope.sample,
            generation=self.scope.generation,
            size=self.mirror.size,
            files=self.mirror.files - foreign,
            folders=self.mirror.folders,
            withheld=self.mirror.withheld,
            others=self.planned.others,
            cleaned=rows.statuses["cleaned"],
            copied=rows.statuses["copied"],
            quarantined=rows.statuses["quarantined"],
            megapixels=rows.megapixels,
            moire_before=rows.moire_before,
            moire_after=rows.moire_after,
            foreign=foreign,
            left=len(self.record.paths("left")),
            late_rows=len(self._late_without_rows),
            rows_digest=rows.digest.hexdigest(),
        )
        if self.before is None:
            return marker
        # It stays that of the run before: by its configuration the next run decides what is done.
        return replace(
            marker,
            fingerprint=self.before.fingerprint,
            sample=self.before.sample,
            others=self.before.others,
            late_rows=self.before.late_rows,
        )

    @property
    def _late_without_rows(self) -> list[Member]:
        """What DST refused of that which has no row yet: it is no image, or a whole archive."""
        if self.planned.damaged is not None:
            return []
        return [one for one in self.mirror.late if one.position not in self.members]

    def _without_foreign(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        return without_foreign(tables, self.source, self.members, self.foreign)


def write_mirror(
    destination: Destination,
    planned: SourcePlan,
    units: Sequence[Unit],
    scope: PlanScope,
    announcements: Announcements | None = None,
) -> Publication:
    """Write the mirror of a source whose units are committed.

    What a retry made of some images is taken into the mirror that is there, and all else in it
    stays. So a retry needs nothing of what `gc` removes.

    Args:
        destination: Where the units are committed and the mirror goes.
        planned: What was planned for the source.
        units: All of it.
        scope: What the plan was made for.
        announcements: See `MirrorClaims`.

    Raises:
        SourceChangedError: The source is no longer what was planned.
        DemoireError: A unit is not committed, or a retry's source was never published.
    """
    source = planned.source
    before = _published_before(destination, source) if scope.generation else None
    done = CommittedUnits.of(units, destination.ledger, scope.fingerprint)
    cleaned = CleanedPayloads(destination.ledger, done.commits)
    members = _by_position(units)
    src = src_of(source, all_given(scope.src, scope.also))
    claims = MirrorClaims(destination, source, src, announcements)
    if before is None:
        mirror = _whole_mirror(planned, scope, claims, cleaned, members)
    else:
        mirror = _patched_mirror(planned, scope, claims, cleaned, members, before)
    mirror = replace(mirror, late=_pages_for_files(mirror.late, members))
    record = claims.new_record(whole=before is None)
    return Publication(planned, scope, done, cleaned, members, claims, mirror, record, before)


def _published_before(destination: Destination, source: Source) -> Published:
    """The marker of a source that a retry goes by.

    Raises:
        DemoireError: There is none.
    """
    marker = destination.markers.read(source.id)
    if marker is None:
        raise DemoireError(
            f"{shown(source.uri)} is not published yet: run `demoire clean` before a retry."
        )
    return marker


def _whole_mirror(
    planned: SourcePlan,
    scope: PlanScope,
    claims: MirrorClaims,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
) -> Mirror:
    """Write all of a source's mirror."""
    source = planned.source
    if source.kind == "folder":
        return mirror_folder(
            source, claims, cleaned, members, planned.withheld, rewrite=scope.rewrite
        )
    if planned.withheld:
        return Mirror(0, 0, withheld=1)
    # A sample's plan does not know how many members there are in all.
    on_pages = sum(1 for position in members if is_in_paged_file(position))
    whole = planned.images - on_pages + planned.unsafe + planned.others
    count = whole if scope.sample is None else None
    return mirror_archive(source, claims, cleaned, members, count, rewrite=scope.rewrite)


def _patched_mirror(
    planned: SourcePlan,
    scope: PlanScope,
    claims: MirrorClaims,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
    before: Published,
) -> Mirror:
    """Put what a retry cleaned into the mirror that is there."""
    source = planned.source
    objects = before.files + before.foreign
    mirror = Mirror(before.size, objects, before.folders, before.withheld)
    if not cleaned.positions:
        return mirror
    if source.kind == "folder":
        patched = patch_folder(source, claims, cleaned, members, rewrite=scope.rewrite)
        return replace(
            mirror,
            files=objects - patched.withheld,
            withheld=mirror.withheld + patched.withheld,
            late=patched.late,
            refused=patched.refused,
        )
    if claims.is_foreign(source.path):
        return mirror
    return patch_archive(source, claims, cleaned, members, rewrite=scope.rewrite)


def _by_position(units: Sequence[Unit]) -> dict[int, Member]:
    members: dict[int, Member] = {}
    for unit in units:
        members.update((member.position, member) for member in unit.members)
    return members


def _pages_for_files(late: Sequence[Member], members: Mapping[int, Member]) -> tuple[Member, ...]:
    """What DST refused, each file of pages replaced by its pages: the report rows are theirs."""
    pages = by_container(members.values())
    refused: list[Member] = []
    for member in late:
        for one in pages.get(member.position, [member]):
            refused.append(replace(one, kind="withheld", reason=member.reason))
    return tuple(refused)


def _uncleaned(planned: SourcePlan, late: Sequence[Member], fingerprint: str) -> Iterator[pa.Table]:
    """The rows of what is in no unit: unsafe members, unreadable archives, withheld objects."""
    source = planned.source
    attempt = UnitAttempt(make_unit(source, [], fingerprint), 0, fingerprint, run_id="")
    reason = Reason.UNSAFE_NAME
    members = planned.unsafe_members
    if planned.damaged is not None:
        reason = Reason.UNREADABLE
        members = (whole_archive(source, "unsafe"),)
    rows = chain(
        (quarantined(member, reason.value, attempt).row for member in members),
        (withheld_row(member, attempt) for member in chain(planned.withheld, late)),
    )
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield rows_to_table(some)
