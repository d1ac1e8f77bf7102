"""Which of the objects under DST are this program's own.

An object is ours if its bytes are those that were recorded or announced for its path
(`pipelines.destination.mirrored`). An etag that is still the recorded one says so without a read;
size and time do not, since a file put back by hand may have both.

Mirrors of versions without a record are ours as far as their marker vouches for them: no more
objects and bytes than it counts, none modified after it was written.
"""

import threading
from collections.abc import Iterator

from pipelines import layout
from pipelines.destination.destination import Destination
from pipelines.destination.mirrored import MirroredObject
from pipelines.records import Source
from pipelines.sources.members import archive_kind
from pipelines.storage.digests import digest_of_file
from pipelines.storage.place import Entry


class OwnObjects:
    """What this program wrote into one source's mirror, as far as it is known.

    Attributes:
        recorded: All that the record says, what is foreign too.
        notes: Versions of the notes of announcements that were read, by path.
    """

    def __init__(
        self, destination: Destination, source_id: str, source: Source | None = None
    ) -> None:
        """Read what is known.

        Args:
            destination: Everything under DST.
            source_id: Whose mirror it is.
            source: The source, where its marker may vouch for a mirror without a record.
        """
        self.recorded: tuple[MirroredObject, ...] = ()
        self.notes: dict[str, str] = {}
        self._destination = destination
        self._source_id = source_id
        self._source = source
        self._place = destination.place
        self._announced: dict[str, set[str]] = {}  # digests and versions by path
        self._known: dict[str, MirroredObject] = {}  # by path
        self._record_version: str | None = None  # None before the record was looked for
        self._looking = threading.Lock()
        self._look_up()

    @property
    def paths(self) -> set[str]:
        """Where something of ours was put, ever."""
        return self._known.keys() | self._announced.keys()

    def has(self, entry: Entry) -> bool:
        """Whether an object of this source's mirror is ours, and unchanged."""
        known = self._known.get(entry.path)
        if known is not None and _is_unchanged(known, entry):
            return True
        if entry.version in self._announced.get(entry.path, ()):
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
        return is_recorded or digest in self._announced.get(path, ())

    def _look_up(self) -> None:
        """Read announcements and record, as far as they changed since the last look.

        They are read in this order, as a run that has recorded its objects removes their
        announcements.
        """
        records = self._destination.mirrored
        for note in records.notes(self._source_id, self.notes):
            self.notes[note.path] = note.version
            for announcement in note.announcements:
                name = announcement.sha256 or announcement.version
                self._announced.setdefault(announcement.path, set()).add(name)
        version = records.version(self._source_id)
        if version == self._record_version:
            return
        self._record_version = version
        self.recorded = ()
        if version:
            self.recorded = records.read_existing(self._source_id).objects
        elif self._source is not None:
            self.recorded = tuple(self._vouched_for(self._source))
        self._known = {item.path: item for item in self.recorded if item.state != "foreign"}

    def _vouched_for(self, source: Source) -> Iterator[MirroredObject]:
        """The mirror of a version without records, as far as its marker fits it."""
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
        for entry in self._place.list(source.path, recursive=False):
            # Archives beside loose files are mirrors of other sources.
            if entry.kind == "file" and archive_kind(entry.name) is None:
                yield entry


def _is_unchanged(known: MirroredObject, entry: Entry) -> bool:
    """Whether an object needs no reading to be known as ours.

    Of what was written without a digest, size and time are all there is.
    """
    is_by_time = entry.version.startswith(f"{entry.size}-")
    return known.version == entry.version and (not is_by_time or not known.sha256)
