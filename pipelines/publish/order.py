"""The order in which mirrors that are written are written down, told once for all kinds of homes.

A home is where a source's record, rows, previews and marker live: its own objects, or those of the
shelf that it shares with other small sources. In both the record comes first, so that the next run
knows what is ours in the mirror; then the rows with the previews beside them; and last the marker,
which says that all the rest is there. A run that dies in between has left nothing that the next one
does not know: it does the sources without a marker again, with the same result.
"""

from collections.abc import Sequence
from typing import Protocol

from pipelines.destination.published import Published
from pipelines.publish.publication import Publication
from pipelines.publish.table import ReportRows


class Home(Protocol):
    """Where what is said of some sources is kept. Its methods are called once each."""

    def record(self, publications: Sequence[Publication]) -> None:
        """Keep what the mirrors hold."""

    def write_rows(self, publications: Sequence[Publication]) -> list[ReportRows]:
        """Keep the report rows; what they come to, by source."""

    def write_previews(
        self, publications: Sequence[Publication], rows_of: Sequence[ReportRows]
    ) -> None:
        """Keep pictures of what changed most."""

    def mark(self, markers: Sequence[Published]) -> None:
        """Say that the sources are published."""


def write_down(home: Home, publications: Sequence[Publication]) -> list[Published]:
    """Write down sources whose mirrors are written.

    Returns:
        Their markers.
    """
    home.record(publications)
    rows_of = home.write_rows(publications)
    home.write_previews(publications, rows_of)
    markers = []
    for publication, rows in zip(publications, rows_of, strict=True):
        markers.append(publication.marker(rows))
    home.mark(markers)
    return markers
