"""Removing from the mirror what has left SRC, where somebody asks for it.

Only what is recorded as ours and is unchanged goes. A source that has left SRC as a whole takes its
rows in the report with it: the report says what is in the mirror.
"""

from dataclasses import replace

from pipelines import layout
from pipelines.destination.destination import Destination
from pipelines.destination.differences import SourcesNow
from pipelines.destination.mirrored import MirrorRecord
from pipelines.destination.ours import OwnObjects
from pipelines.destination.plans import Plan


def prune(destination: Destination, plan: Plan) -> int:
    """Remove from the mirrors what has left SRC.

    Args:
        destination: Everything under DST.
        plan: The latest plan, of which all is published.

    Returns:
        How many objects were removed.
    """
    removed = 0
    sources = SourcesNow.of(plan)
    for record in destination.mirrored.all():
        if sources.have_lost(record):
            removed += _remove(destination, record, record.paths("mirrored", "left"))
            _forget(destination, record.source_id)
        elif sources.have(record) and record.paths("left"):
            removed += _remove(destination, record, record.paths("left"))
            _without_left(destination, record)
    return removed


def _remove(destination: Destination, record: MirrorRecord, paths: list[str]) -> int:
    """Remove these objects, as far as they are there, ours and unchanged."""
    place = destination.place
    ours = OwnObjects(destination, record.source_id)
    removed = 0
    for path in paths:
        entry = place.stat(path)
        if entry is not None and ours.has(entry):
            place.delete(path)
            removed += 1
    return removed


def _forget(destination: Destination, source_id: str) -> None:
    """Remove what is kept of a source; its record last, so that a killed run goes on here."""
    place = destination.place
    place.delete(layout.report_table(source_id))
    place.delete(layout.previews_table(source_id))
    place.delete(layout.publication_marker(source_id))
    destination.mirrored.delete(source_id)


def _without_left(destination: Destination, record: MirrorRecord) -> None:
    """Take what has left SRC out of a source's marker and record.

    Where somebody changed such an object, it is there still, and theirs now.
    """
    marker = destination.markers.read(record.source_id)
    if marker is not None:
        destination.markers.write(replace(marker, left=0))
    objects = tuple(item for item in record.objects if item.state != "left")
    destination.mirrored.write(replace(record, objects=objects))
