"""Publishing a source once all its units are committed: its mirror, its report, its marker.

The mirror is written first (`pipelines.publish.mirror`); then what became of each image is recorded
(`pipelines.publish.order`). Nothing is done again as long as the marker fits the source and the
mirror is there. Files of other people that stand in the mirror's way stay where they are
(`pipelines.destination.ours`). Small sources are published together (`pipelines.publish.shelf`).

Costs one read and one write of the source, and for the previews about 30 ms a megapixel of at most
twenty images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope, SourcePlan
from pipelines.destination.published import Published
from pipelines.publish.order import write_down
from pipelines.publish.previews import draw_previews, renew_previews, write_previews
from pipelines.publish.publication import Publication, write_mirror
from pipelines.publish.table import ReportRows
from pipelines.records import Unit
from pipelines.rows import source_name


def publish_source(
    destination: Destination, planned: SourcePlan, units: Sequence[Unit], scope: PlanScope
) -> Published:
    """Publish a source whose units are committed.

    What a retry made of some images is taken into its mirror and report, and all else stays.

    Args:
        destination: Where the units are committed and the mirror goes.
        planned: What was planned for the source.
        units: All of it.
        scope: What the plan was made for.

    Raises:
        SourceChangedError: The source is no longer what was planned.
        DemoireError: A unit is not committed, or a retry's source was never published.
    """
    publication = write_mirror(destination, planned, units, scope)
    (marker,) = write_down(_OneSource(destination), [publication])
    return marker


@dataclass(frozen=True)
class _OneSource:
    """The home of one source: its own objects, or its part of a shelf's."""

    destination: Destination

    def record(self, publications: Sequence[Publication]) -> None:
        for publication in publications:
            publication.claims.record(publication.record)

    def write_rows(self, publications: Sequence[Publication]) -> list[ReportRows]:
        rows_of = []
        for publication in publications:
            rows = publication.rows()
            tables = publication.tables(self.destination)
            self.destination.reports.write(publication.source.id, rows.sound(tables))
            rows_of.append(rows)
        return rows_of

    def write_previews(
        self, publications: Sequence[Publication], rows_of: Sequence[ReportRows]
    ) -> None:
        place = self.destination.place
        for publication, rows in zip(publications, rows_of, strict=True):
            source = publication.source
            home_id = self.destination.shelves.shelf_of(source.id) or source.id
            drawn = draw_previews(
                source, rows.most_changed, publication.members, publication.cleaned
            )
            if publication.before is not None:
                renew_previews(place, home_id, drawn, frozenset())
            elif home_id != source.id:
                renew_previews(place, home_id, drawn, {source_name(source)})
            else:
                write_previews(place, home_id, list(drawn))

    def mark(self, markers: Sequence[Published]) -> None:
        for marker in markers:
            self.destination.markers.write(marker)
