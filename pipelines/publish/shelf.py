"""Publishing the sources of one shelf together.

First all their mirrors are written; then one record of them, one table of rows, one of previews and
one marker, in the order of `pipelines.publish.order`. A source that has changed is left out, and
the others are published.

Costs, besides one read and one write of the sources, about fifteen requests for all of them, and as
many where only one of them is published again: the shelf's table and its state are written anew,
and the mirrors of the others are not touched. Memory holds the rows of a shelf, a thousand as a
rule.
"""

import heapq
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from demoire.errors import SourceChangedError
from pipelines.destination.announcements import Announcements
from pipelines.destination.destination import Destination
from pipelines.destination.ours import lie_in
from pipelines.destination.plans import PlanScope, SourcePlan
from pipelines.destination.published import Published
from pipelines.destination.reports import joined
from pipelines.destination.shelf_states import ShelvedSource
from pipelines.publish.order import write_down
from pipelines.publish.previews import draw_previews, renew_previews
from pipelines.publish.publication import Publication, write_mirror
from pipelines.publish.table import ReportRows
from pipelines.records import Unit
from pipelines.report.previews import SHOWN, Preview
from pipelines.rows import source_name

_SOURCES_AT_ONCE = 8  # each mostly waits for storage


def publish_shelf(
    destination: Destination,
    shelf_id: str,
    sources: Sequence[tuple[SourcePlan, Sequence[Unit]]],
    scope: PlanScope,
) -> list[str]:
    """Publish some of a shelf's sources, whose units are committed.

    Args:
        destination: Where the units are committed and the mirrors go.
        shelf_id: The shelf.
        sources: What was planned for each, and all of its units.
        scope: What the plan was made for.

    Returns:
        What there is to say of sources that are no longer what was planned; they are left out.

    Raises:
        DemoireError: A unit is not committed.
    """
    # In this order, as a run that has recorded its objects removes their announcements.
    announcements = Announcements(destination.place, shelf_id)
    announcements.look()
    destination.shelves.look_at(shelf_id)
    publications: list[Publication] = []
    changed: list[str] = []

    def mirror(one: tuple[SourcePlan, Sequence[Unit]]) -> Publication | str:
        planned, units = one
        try:
            publication = write_mirror(destination, planned, units, scope, announcements)
        except SourceChangedError as change:
            return str(change)
        publication.cleaned.let_go()  # or the segments of all of them would be in memory
        return publication

    with ThreadPoolExecutor(_SOURCES_AT_ONCE, thread_name_prefix="shelf") as pool:
        for written in pool.map(mirror, sources):
            if isinstance(written, str):
                changed.append(written)
            else:
                publications.append(written)
    if publications:
        write_down(_Shelf(destination, shelf_id, announcements), publications)
    return changed


@dataclass(frozen=True)
class _Shelf:
    """The home of all sources of a shelf, of which some are published."""

    destination: Destination
    shelf_id: str
    announcements: Announcements

    def record(self, publications: Sequence[Publication]) -> None:
        recorded = [ShelvedSource.recorded(publication.record) for publication in publications]
        self.destination.shelves.put(self.shelf_id, recorded)
        self.announcements.forget(lie_in(publication.source for publication in publications))

    def write_rows(self, publications: Sequence[Publication]) -> list[ReportRows]:
        rows_of: list[ReportRows] = []
        tables = {}
        for publication in publications:
            rows = publication.rows()
            sound = rows.sound(publication.tables(self.destination))
            tables[publication.source.id] = joined(sound)
            rows_of.append(rows)
        self.destination.reports.write_shelf(self.shelf_id, tables)
        return rows_of

    def write_previews(
        self, publications: Sequence[Publication], rows_of: Sequence[ReportRows]
    ) -> None:
        replaced = set()
        for publication in publications:
            if publication.before is None:
                replaced.add(source_name(publication.source))
        drawn = _most_changed(publications, rows_of)
        renew_previews(self.destination.place, self.shelf_id, drawn, replaced)

    def mark(self, markers: Sequence[Published]) -> None:
        published = [ShelvedSource.published(marker) for marker in markers]
        self.destination.shelves.put(self.shelf_id, published)


def _most_changed(
    publications: Sequence[Publication], rows_of: Sequence[ReportRows]
) -> Iterator[Preview]:
    """Before and after of the images that changed most in all of these sources."""
    ranked = []
    for number, rows in enumerate(rows_of):
        for psnr, position in rows.most_changed:
            ranked.append((psnr, number, position))
    chosen: dict[int, list[tuple[float, int]]] = {}
    for psnr, number, position in heapq.nsmallest(SHOWN, ranked):
        chosen.setdefault(number, []).append((psnr, position))
    for number in sorted(chosen):
        publication = publications[number]
        yield from draw_previews(
            publication.source, chosen[number], publication.members, publication.cleaned
        )
        publication.cleaned.let_go()
