"""The order in which finished mirrors are recorded, the same for every kind of home.

A home is where a source's record, rows, previews and marker live: its own objects, or those of the
shelf that it shares with other small sources. The record comes first, so that the next run knows
which objects of the mirror are ours; then the rows, with the previews beside them; and last the
marker, which says that all the rest is there. If a run dies in between, the next one finds sources
without a marker and publishes them again, with the same result.
"""

from collections.abc import Sequence
from typing import Protocol

from pipelines.destination.published import Published
from pipelines.publish.publication import Publication
from pipelines.publish.table import ReportRows


class Home(Protocol):
    """Where the bookkeeping of some sources lives. Each method is called once, in this order."""

    def record(self, publications: Sequence[Publication]) -> None:
        """Record which objects the mirrors hold."""

    def write_rows(self, publications: Sequence[Publication]) -> list[ReportRows]:
        """Write the report rows; returns the totals of each source."""

    def write_previews(
        self, publications: Sequence[Publication], rows_of: Sequence[ReportRows]
    ) -> None:
        """Write the pictures that changed most, before and after."""

    def mark(self, markers: Sequence[Published]) -> None:
        """Mark the sources as published."""


def write_down(home: Home, publications: Sequence[Publication]) -> list[Published]:
    """Record sources whose mirrors are written; returns their markers."""
    home.record(publications)
    rows_of = home.write_rows(publications)
    home.write_previews(publications, rows_of)
    markers = []
    for publication, rows in zip(publications, rows_of, strict=True):
        markers.append(publication.marker(rows))
    home.mark(markers)
    return markers
