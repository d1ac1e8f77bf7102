"""Removing from the mirror what has left SRC, where somebody asks for it.

Only what is recorded as ours and is unchanged goes, and folders that are empty then and not in SRC
any more. A source that has left SRC as a whole takes its rows in the report with it: the report
says what is in the mirror.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipelines import layout
from pipelines.destination.destination import Destination
from pipelines.destination.differences import SourcesNow
from pipelines.destination.mirror_record import MirrorRecord
from pipelines.destination.ours import OwnObjects
from pipelines.destination.plans import Plan
from pipelines.destination.published import Published
from pipelines.names import as_text
from pipelines.paths import folders_above
from pipelines.publish.previews import renew_previews
from pipelines.records import REPORT_SCHEMA
from pipelines.storage.empty_folders import remove_empty_folder
from pipelines.storage.place import Place


def prune(destination: Destination, plan: Plan) -> int:
    """Remove from the mirrors what has left SRC.

    Args:
        destination: Everything under DST.
        plan: The latest plan, of which all is published.

    Returns:
        How many objects were removed.
    """
    removed = 0
    lost: list[MirrorRecord] = []
    gone: set[str] = set()
    sources = SourcesNow.of(plan)
    folders = _EmptyFolders(destination.place, plan)
    for record in destination.mirrored.all():
        departure = sources.departure_of(record)
        if departure is None:
            continue
        removed += _remove(destination, record, departure.paths)
        folders.remove_above(departure.paths)
        if departure.is_whole:
            folders.remove_own(destination.markers.read(record.source_id))
            lost.append(record)
            gone.add(record.source_id)
        else:
            _without_left(destination, record)
        gone.update(as_text(path) for path in departure.paths)
    destination.grey_pictures.remove_of(gone)
    _forget(destination, lost)
    return removed


def _remove(destination: Destination, record: MirrorRecord, paths: list[str]) -> int:
    """Remove these objects, as far as they are there, ours and unchanged."""
    place = destination.place
    ours = OwnObjects(destination, record.source_id)
    removed = 0
    for path in paths:
        if ours.has_at(path):
            place.delete(path)
            removed += 1
    return removed


class _EmptyFolders:
    """Removes the folders of a mirror that are empty and are in SRC no longer.

    Args:
        place: DST.
        plan: The latest plan, which says what is in SRC.
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self._place = place
        self._kept: set[str] = {""}
        for planned in plan.sources:
            path = planned.source.path
            self._kept.update(folders_above(path))
            if planned.source.kind == "folder":
                self._kept.add(path)

    def remove_above(self, paths: Iterable[str]) -> None:
        """Remove the folders in which these objects were, as far up as they are empty."""
        for folder in sorted({path.rpartition("/")[0] for path in paths}):
            self._remove(folder)

    def remove_own(self, marker: Published | None) -> None:
        """Remove the folder that a source was, where the source was nothing but an empty folder."""
        if marker is not None and marker.folders:
            self._remove(marker.path)

    def _remove(self, folder: str) -> None:
        while folder not in self._kept and remove_empty_folder(self._place, folder):
            folder = folder.rpartition("/")[0]


def _forget(destination: Destination, records: Iterable[MirrorRecord]) -> None:
    """Remove what is kept of these sources; the records last, so that a killed run goes on here."""
    place = destination.place
    on_shelves: dict[str, list[MirrorRecord]] = {}
    for record in records:
        source_id = record.source_id
        shelf_id = destination.shelves.shelf_of(source_id)
        if shelf_id is not None:
            on_shelves.setdefault(shelf_id, []).append(record)
            continue
        destination.reports.delete(source_id)
        place.delete(layout.previews_table(source_id))
        place.delete(layout.publication_marker(source_id))
        destination.mirrored.delete(source_id)
    for shelf_id, of_shelf in on_shelves.items():
        _forget_on_shelf(destination, shelf_id, of_shelf)


def _forget_on_shelf(
    destination: Destination, shelf_id: str, records: Sequence[MirrorRecord]
) -> None:
    """Take sources off a shelf; one that is empty then goes with all of its objects."""
    source_ids = {record.source_id for record in records}
    if source_ids.issuperset(destination.shelves.members(shelf_id)):
        destination.reports.delete(shelf_id)
        destination.place.delete(layout.previews_table(shelf_id))
        destination.shelves.put(shelf_id, (), off=source_ids)
        return
    nothing = REPORT_SCHEMA.empty_table()
    destination.reports.write_shelf(shelf_id, dict.fromkeys(source_ids, nothing))
    names = set()
    for record in records:
        marker = destination.markers.read(record.source_id)
        if marker is not None:
            names.add(as_text(marker.path or record.src))
    renew_previews(destination.place, shelf_id, (), names)
    destination.shelves.put(shelf_id, (), off=source_ids)


def _without_left(destination: Destination, record: MirrorRecord) -> None:
    """Take what has left SRC out of a source's marker and record.

    Where somebody changed such an object, it is there still, and theirs now.
    """
    marker = destination.markers.read(record.source_id)
    if marker is not None:
        destination.markers.write(replace(marker, left=0))
    objects = tuple(item for item in record.objects if item.state != "left")
    destination.mirrored.write(replace(record, objects=objects))
