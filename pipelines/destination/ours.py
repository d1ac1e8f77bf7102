"""Which of the objects under DST are this program's own.

An object is ours if its bytes are the ones that were recorded or announced for its path
(`pipelines.destination.mirrored`). An unchanged etag proves that without reading the object; size
and time do not, because a file that was put back by hand may have both.

Early versions kept no record. Their mirrors count as ours if the marker vouches for them: there are
no more objects and bytes than it counts, and none was modified after it was written.
"""

import threading
from collections.abc import Callable, Iterable, Iterator

from pipelines import layout
from pipelines.destination.announcements import Announcements
from pipelines.destination.destination import Destination
from pipelines.destination.loose_objects import loose_objects
from pipelines.destination.mirror_record import MirroredObject
from pipelines.records import Source
from pipelines.sources.members import archive_kind
from pipelines.storage.digests import digest_of_file, digest_of_link
from pipelines.storage.place import Entry
from pipelines.storage.way import link_at


class OwnObjects:
    """What this program wrote into one source's mirror, as far as it is known.

    Attributes:
        recorded: Everything in the record, foreign objects included.
        announcements: Those of the source, or of the shelf that it is on.
    """

    def __init__(
        self,
        destination: Destination,
        source_id: str,
        source: Source | None = None,
        announcements: Announcements | None = None,
    ) -> None:
        """Read what is known.

        Args:
            destination: Everything under DST.
            source_id: Whose mirror it is.
            source: The source, where its marker may vouch for a mirror without a record.
            announcements: Those of the source's shelf, where somebody has just looked at both.
        """
        self.recorded: tuple[MirroredObject, ...] = ()
        self._destination = destination
        self._source_id = source_id
        self._source = source
        self._place = destination.place
        self._shelf_id = destination.shelves.shelf_of(source_id)
        self._known: dict[str, MirroredObject] = {}  # by path
        self._record_version: str | None = None  # None before the record was looked for
        self._looking = threading.Lock()
        home_id = self._shelf_id or source_id
        self.announcements = announcements or Announcements(self._place, home_id)
        if announcements is None:
            self._look_up()
        else:
            self._read_record()

    @property
    def paths(self) -> set[str]:
        """Every path at which this program ever put something of the source."""
        announced = self.announcements.paths
        if self._source is not None:
            announced = set(filter(lie_in([self._source]), announced))
        return self._known.keys() | announced

    def has_at(self, path: str) -> bool:
        """Whether something is there, and it is ours and unchanged."""
        if self._own_link(path):
            return True
        entry = self._place.stat(path)
        return entry is not None and self.has(entry)

    def left_at(self, path: str) -> MirroredObject | None:
        """The entry for an object that has left SRC; None if it is gone, or is not ours."""
        digest_of_own_link = self._own_link(path)
        if digest_of_own_link:
            return MirroredObject(path, "left", digest_of_own_link, "")
        entry = self._place.stat(path)
        if entry is None or not self.has(entry):
            return None
        return MirroredObject(path, "left", self.digest_of(path), entry.version)

    def has(self, entry: Entry) -> bool:
        """Whether an object of this source's mirror is ours, and unchanged."""
        known = self._known.get(entry.path)
        if known is not None and _is_unchanged(known, entry):
            return True
        if entry.version in self.announcements.names(entry.path):
            return True
        digest = self.digest_of(entry.path)
        if self.knows(entry.path, digest):
            return True
        # Another run over the same source may have written it since we looked.
        with self._looking:
            self._look_up()
        return self.knows(entry.path, digest)

    def digest_of(self, path: str) -> str:
        """The sha256 of an object under DST."""
        with self._place.open(path) as file:
            return digest_of_file(file)

    def knows(self, path: str, digest: str) -> bool:
        """Whether something of this digest was put there."""
        known = self._known.get(path)
        is_recorded = known is not None and known.sha256 == digest
        return is_recorded or digest in self.announcements.names(path)

    def _own_link(self, path: str) -> str:
        """The digest of the link at a path, if there is one and it is ours; else ''."""
        target = link_at(self._place, path)
        if target is None:
            return ""
        digest = digest_of_link(target)
        return digest if self.knows(path, digest) else ""

    def _look_up(self) -> None:
        """Read the announcements and the record, if they changed since the last look.

        The order matters: a run removes its announcements once it has recorded their objects.
        """
        self.announcements.look()
        if self._shelf_id is not None:
            self._destination.shelves.look_at(self._shelf_id)
        self._read_record()

    def _read_record(self) -> None:
        records = self._destination.mirrored
        version = records.version(self._source_id)
        if version == self._record_version:
            return
        self._record_version = version
        self.recorded = ()
        record = records.read(self._source_id) if version else None
        if record is not None:
            self.recorded = record.objects
        elif self._source is not None and self._shelf_id is None:
            self.recorded = tuple(self._vouched_for(self._source))
        self._known = {item.path: item for item in self.recorded if item.state != "foreign"}

    def _vouched_for(self, source: Source) -> Iterator[MirroredObject]:
        """The objects of a mirror that has a marker but no record, if the marker fits them."""
        marker = self._destination.markers.read(source.id)
        marker_entry = self._place.stat(layout.publication_marker(source.id))
        if marker is None or marker_entry is None:
            return
        entries = []
        for entry in self._objects_in_place(source):
            if entry.mtime <= marker_entry.mtime:
                entries.append(entry)
        size = sum(entry.size for entry in entries)
        if len(entries) <= marker.files and size <= marker.size:
            for entry in entries:
                yield MirroredObject(entry.path, "mirrored", "", entry.version)

    def _objects_in_place(self, source: Source) -> Iterator[Entry]:
        """What lies where the source's mirror goes."""
        if source.kind != "folder":
            entry = self._place.stat(source.path)
            if entry is not None:
                yield entry
            return
        for entry in loose_objects(self._place, source.path):
            if entry.kind == "file":
                yield entry


def lie_in(sources: Iterable[Source]) -> Callable[[str], bool]:
    """Says of a path under DST whether the mirror of one of these sources has it."""
    archives: set[str] = set()
    folders: set[str] = set()
    for source in sources:
        paths = folders if source.kind == "folder" else archives
        paths.add(source.path)

    def lies_in_one(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        # Archives beside loose files are mirrors of other sources.
        is_loose = folder in folders and archive_kind(name) is None
        return path in archives or is_loose

    return lies_in_one


def _is_unchanged(known: MirroredObject, entry: Entry) -> bool:
    """Whether an object is known to be ours without reading it.

    Size and time are enough only for objects that were written without a digest.
    """
    is_by_time = entry.version.startswith(f"{entry.size}-")
    return known.version == entry.version and (not is_by_time or not known.sha256)
