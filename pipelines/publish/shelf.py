"""Publishing the sources of one shelf together, in the order in which a source is published alone.

First all their mirrors, and one record of them; then one table of rows and one of previews, and
last one marker. A run that dies in between has written nothing that the next one does not know, and
that one does the shelf's sources again, with the same result. A source that has changed is left
out, and the others are published.

Costs, besides one read and one write of the sources, about fifteen requests for all of them, and as
many where only one of them is published again: the shelf's table and its state are written anew,
and the mirrors of the others are not touched. Memory holds the rows of a shelf, a thousand as a
rule.
"""

import heapq
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from demoire.errors import SourceChangedError
from pipelines.destination.announcements import Announcements
from pipelines.destination.destination import Destination
from pipelines.destination.ours import lie_in
from pipelines.destination.plans import PlanScope, SourcePlan
from pipelines.destination.reports import joined
from pipelines.destination.shelf_states import ShelvedSource
from pipelines.publish.previews import draw_previews, renew_previews
from pipelines.publish.publication import Publication, mirror_source, patch_source
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
        write = patch_source if scope.generation else mirror_source
        try:
            publication = write(destination, planned, units, scope, announcements)
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
        recorded = [ShelvedSource.recorded(publication.record) for publication in publications]
        destination.shelves.put(shelf_id, recorded)
        announcements.forget(lie_in(publication.source for publication in publications))
        _write_down(destination, shelf_id, publications)
    return changed


def _write_down(
    destination: Destination, shelf_id: str, publications: Sequence[Publication]
) -> None:
    """Write rows and previews of mirrors that are recorded, then their markers."""
    rows_of: list[ReportRows] = []
    tables = {}
    for publication in publications:
        rows = publication.rows()
        sound = rows.sound(publication.tables(destination))
        tables[publication.source.id] = joined(sound)
        rows_of.append(rows)
    destination.reports.write_shelf(shelf_id, tables)
    drawn = _most_changed(publications, rows_of)
    replaced = set()
    for publication in publications:
        if publication.before is None:
            replaced.add(source_name(publication.source))
    renew_previews(destination.place, shelf_id, drawn, replaced)
    published = []
    for publication, rows in zip(publications, rows_of, strict=True):
        published.append(ShelvedSource.published(publication.marker(rows)))
    destination.shelves.put(shelf_id, published)


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
