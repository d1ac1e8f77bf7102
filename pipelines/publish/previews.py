"""The pictures before and after that a source's publication leaves for the report."""

import heapq
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq

from demoire.errors import ImageError
from pipelines import layout
from pipelines.names import as_text, shown
from pipelines.publish.payloads import CleanedPayloads
from pipelines.records import Member, Source
from pipelines.report.crops import preview_pair
from pipelines.report.previews import SHOWN, Preview
from pipelines.rows import source_name
from pipelines.sources.inner_positions import page_number, reading_order
from pipelines.sources.read import read_members
from pipelines.storage.local import local_temporary
from pipelines.storage.place import Place

_LOG = logging.getLogger(__name__)


def draw_previews(
    source: Source,
    most_changed: Sequence[tuple[float, int]],
    members: Mapping[int, Member],
    cleaned: CleanedPayloads,
) -> Iterator[Preview]:
    """Before and after of the images that changed most, in the source's order.

    Args:
        source: Where the originals are read from.
        most_changed: (PSNR, position) of each image. Those that are not at hand are passed over.
        members: By position.
        cleaned: The cleaned images at hand.
    """
    figures = {position: psnr for psnr, position in most_changed if position in cleaned.positions}
    if not figures:
        return
    chosen = [members[position] for position in sorted(figures, key=reading_order)]
    for member, before in read_members(source, chosen):
        if isinstance(before, ImageError):
            _tell_missing(source, member, before)
            continue
        try:
            small_before, small_after = preview_pair(before, cleaned(member.position))
        except (ImageError, ValueError) as error:
            _tell_missing(source, member, error)
            continue
        yield Preview(
            source=source_name(source),
            member=as_text(member.name),
            page=page_number(source, member),
            psnr_vs_input=figures[member.position],
            before=small_before,
            after=small_after,
        )


def write_previews(place: Place, home_id: str, previews: Sequence[Preview]) -> None:
    """Keep the most changed of these as the pictures of a source, or of a shelf; none where there
    are none.
    """
    path = layout.previews_table(home_id)
    if not previews:
        place.delete(path)
        place.delete(layout.earlier_previews_table(home_id))
        return
    best = heapq.nsmallest(SHOWN, previews, key=lambda preview: preview.psnr_vs_input)
    with local_temporary() as local:
        pq.write_table(pa.Table.from_pylist([asdict(preview) for preview in best]), local)
        place.put_file(local, path)


def renew_previews(
    place: Place, home_id: str, drawn: Iterable[Preview], replaced: AbstractSet[str]
) -> None:
    """Take new pictures among those of a source or shelf, as far as they changed most.

    Args:
        place: DST.
        home_id: The source or shelf.
        drawn: The new ones.
        replaced: Names of the sources whose pictures so far go.
    """
    previews = list(drawn)
    for preview in read_previews(place, home_id):
        if preview.source not in replaced:
            previews.append(preview)
    write_previews(place, home_id, previews)


def read_previews(place: Place, home_id: str) -> list[Preview]:
    """The pictures of a source or shelf as an earlier publication left them, maybe one of version
    0.1.
    """
    for path in (layout.previews_table(home_id), layout.earlier_previews_table(home_id)):
        if place.exists(path):
            with place.open(path) as file:
                return [Preview(**row) for row in pq.read_table(file).to_pylist()]
    return []


def _tell_missing(source: Source, member: Member, error: Exception) -> None:
    """A preview is for people, so the lack of one stops nothing; but it is no secret either."""
    name = shown(member.name)
    _LOG.warning("No preview of %s in %s: %s", name, shown(source_name(source)), error)
