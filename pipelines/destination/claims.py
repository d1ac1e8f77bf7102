"""Writing the objects of a mirror without ever replacing what is not ours.

Only what this program wrote is replaced (`pipelines.destination.ours`). Anything else that lies in
the way stays as it is and is noted as foreign; the rest of the source is written all the same.

Costs two small requests an object, one read of an object that is replaced on a place without etags,
and one small write for up to eight objects.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.destination.announcements import Announcement, Announcements
from pipelines.destination.destination import Destination
from pipelines.destination.mirror_record import MirroredObject, MirrorRecord
from pipelines.destination.ours import OwnObjects, lie_in
from pipelines.records import Source
from pipelines.storage.digests import digest_of_file, digest_of_link
from pipelines.storage.local import LocalPlace
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.place import Place
from pipelines.storage.way import link_at


class _KeptError(Exception):
    """Raised to abandon an object whose place is taken by somebody else's."""


class MirrorClaims:
    """Writes the objects of one source's mirror, and keeps its record.

    Attributes:
        source: The source.
        place: DST.
        foreign: Paths at which something of somebody else's lies.
    """

    def __init__(
        self,
        destination: Destination,
        source: Source,
        src: str,
        announcements: Announcements | None = None,
    ) -> None:
        """Read what is known of the mirror.

        Args:
            destination: Everything under DST.
            source: Whose mirror it is.
            src: The SRC that took the source in.
            announcements: See `OwnObjects`.
        """
        self.source = source
        self.place = destination.place
        self.foreign: set[str] = set()
        self._destination = destination
        self._src = src
        self._ours = OwnObjects(destination, source.id, source, announcements)
        self._written: dict[str, MirroredObject] = {}
        self._identical: set[str] = set()  # as we would write them, but not ours
        self._noting = threading.Lock()

    @contextmanager
    def new_file(self, path: str, facts: ObjectFacts = NO_FACTS) -> Iterator[Path]:
        """`Place.new_file`, for an object of the mirror: it appears only where nothing foreign is.

        Args:
            path: Under DST.
            facts: What the store is to keep of it.
        """
        try:
            with self.place.new_file(path, facts) as local:
                yield local
                with local.open("rb") as file:
                    sha256 = digest_of_file(file)
                self._check(path, sha256)
                self._ours.announcements.announce(Announcement(path, sha256))
        except _KeptError:
            return
        self._note_written(path, sha256)

    def copy_from(self, origin: Place, origin_path: str, path: str, version: str) -> bool:
        """`Place.copy_from`, for an object of the mirror.

        The bytes do not come by here, so it is announced by the version that the copy will have:
        an etag stays what it was.

        Returns:
            Whether the store did it. False also where something lies that is not ours: `new_file`
            looks at its bytes then.
        """
        if type(origin) is not type(self.place) or isinstance(self.place, LocalPlace):
            return False
        entry = self.place.stat(path)
        if entry is not None and not self._ours.has(entry):
            return False
        self._ours.announcements.announce(Announcement(path, "", version))
        if not self.place.copy_from(origin, origin_path, path, version):
            return False
        self._note_written(path, "")
        return True

    def make_link(self, path: str, target: str) -> None:
        """`Place.make_link`, for a link of the mirror; its digest is that of what it says."""
        digest = digest_of_link(target)
        target_there = link_at(self.place, path)
        if target_there is not None:
            digest_there = digest_of_link(target_there)
            is_taken = digest_there != digest and not self._ours.knows(path, digest_there)
            if is_taken:
                self.foreign.add(path)
        else:
            is_taken = self.is_foreign(path)
        if is_taken:
            return
        self._ours.announcements.announce(Announcement(path, digest))
        self.place.make_link(path, target)
        self._written[path] = MirroredObject(path, "mirrored", digest, "")

    def _note_written(self, path: str, sha256: str) -> None:
        """Remember what was just written, with the version that it has now."""
        entry = self.place.stat(path)
        version = entry.version if entry is not None else ""
        with self._noting:
            self._written[path] = MirroredObject(path, "mirrored", sha256, version)

    def is_foreign(self, path: str) -> bool:
        """Whether somebody else's object lies there; if so, it is noted as foreign."""
        entry = self.place.stat(path)
        if entry is None or self._ours.has(entry):
            return False
        with self._noting:
            self.foreign.add(path)
        return True

    def record(self, record: MirrorRecord) -> None:
        """Store the record that `new_record` made, and drop the announcements it covers."""
        self._destination.mirrored.write(record)
        self._ours.announcements.forget(lie_in([self.source]))

    def new_record(self, *, whole: bool) -> MirrorRecord:
        """The record of what is in the mirror now.

        Args:
            whole: Whether all of the source was written. If so, what an earlier run wrote and this
                one did not has left SRC.
        """
        objects = dict(self._written)
        for path in self.foreign:
            objects[path] = MirroredObject(path, "foreign", "", "")
        for item in self._gone_from_src() if whole else self._ours.recorded:
            if item.path not in objects:
                objects[item.path] = item
        in_order = tuple(objects[path] for path in sorted(objects))
        return MirrorRecord(self.source.id, self._src, in_order)

    def _gone_from_src(self) -> Iterator[MirroredObject]:
        """What earlier runs wrote and this one did not, if it is still there and still ours."""
        now = self._written.keys() | self.foreign | self._identical
        for path in self._ours.paths - now:
            left = self._ours.left_at(path)
            if left is not None:
                yield left

    def _check(self, path: str, sha256: str) -> None:
        """Raise _KeptError where something lies that is not ours."""
        entry = self.place.stat(path)
        if entry is None or self._ours.has(entry):
            return
        is_identical = self._ours.digest_of(path) == sha256
        with self._noting:
            if is_identical:
                self._identical.add(path)
            else:
                self.foreign.add(path)
        raise _KeptError
