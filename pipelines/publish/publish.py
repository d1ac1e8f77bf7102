"""Publishing a source once all its units are committed: its mirror, its report, its marker.

First the mirror (`pipelines.publish.mirror`) and its record, then the report's table with the
previews beside it, and last the marker. As long as the marker fits the source and the mirror is
there, nothing is done again; whatever died in between is done again with the same result. What
stands in the mirror's way and is not ours stays there (`pipelines.destination.ours`). Small sources
are published together, in the same order (`pipelines.publish.shelf`).

Costs one read and one write of the source, and for the previews about 30 ms a megapixel of at most
twenty images.
"""

from collections.abc import Sequence

from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope, SourcePlan
from pipelines.destination.published import Published
from pipelines.publish.previews import draw_previews, renew_previews, write_previews
from pipelines.publish.publication import Publication, mirror_source, patch_source
from pipelines.records import Unit
from pipelines.rows import source_name


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
    return _write_down(destination, mirror_source(destination, planned, units, scope))


def publish_retry(
    destination: Destination, planned: SourcePlan, units: Sequence[Unit], scope: PlanScope
) -> Published:
    """Take what a retry made of some images into a source's mirror and report; all else stays.

    Args:
        destination: What holds the mirror.
        planned: What the retry's plan says of the source.
        units: All of it.
        scope: What the retry's plan was made for.

    Raises:
        DemoireError: The source was never published, or a unit is not committed.
    """
    return _write_down(destination, patch_source(destination, planned, units, scope))


def _write_down(destination: Destination, publication: Publication) -> Published:
    """Write the record of a mirror that is written, then its rows and pictures, then the marker."""
    publication.claims.record(publication.record)
    source = publication.source
    rows = publication.rows()
    destination.reports.write(source.id, rows.sound(publication.tables(destination)))
    home_id = destination.shelves.shelf_of(source.id) or source.id
    drawn = draw_previews(source, rows.most_changed, publication.members, publication.cleaned)
    if publication.before is not None:
        renew_previews(destination.place, home_id, drawn, frozenset())
    elif home_id != source.id:
        renew_previews(destination.place, home_id, drawn, {source_name(source)})
    else:
        write_previews(destination.place, home_id, list(drawn))
    marker = publication.marker(rows)
    destination.markers.write(marker)
    return marker
