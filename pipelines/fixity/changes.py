"""What cleaning changed, by the reports of all sources of a plan."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from demoire.imaging.paged import PAGED_SUFFIXES
from pipelines.destination.destination import Destination
from pipelines.destination.mirror_record import MirroredObject
from pipelines.destination.plans import Plan
from pipelines.fixity.archives import LookedThrough, look_through
from pipelines.fixity.findings import (
    ChangedFile,
    ChecksumList,
    read_changed,
    read_findings,
)
from pipelines.fixity.loose import LooseFile
from pipelines.fixity.stored_file import StoredFile
from pipelines.layout import position_of
from pipelines.names import as_text
from pipelines.paths import path_below
from pipelines.records import Source
from pipelines.sources.formats.folder import folder_of
from pipelines.sources.inner_positions import SEPARATOR, is_in_paged_file, is_inner
from pipelines.sources.members import suffix_of
from pipelines.sources.unopened import OFFICE_SUFFIXES
from pipelines.storage.open import open_place
from pipelines.storage.place import Place

_READ_AT_ONCE = 4  # archives
_HOLD_IMAGES = PAGED_SUFFIXES | frozenset(OFFICE_SUFFIXES)
_COLUMNS = ["member", "image_id", "status", "sha256_in", "sha256_out", "bytes_in", "bytes_out"]


@dataclass
class Changes:
    """All that changed.

    Attributes:
        folders: Every folder source of the plan, by its path under DST.
        loose: Changed files and archives, by path under DST as stored.
        members: Changed images in archives.
        lists: Checksums inside archives that no longer hold.
    """

    folders: dict[str, Source] = field(default_factory=dict)
    loose: dict[str, LooseFile] = field(default_factory=dict)
    members: list[ChangedFile] = field(default_factory=list)
    lists: list[ChecksumList] = field(default_factory=list)

    def take_folder(
        self, source: Source, recorded: "_Recorded", changed: Iterable[ChangedFile], place: Place
    ) -> None:
        """Take in what changed in a folder."""
        folder, _ = folder_of(source)
        for facts in changed:
            path = recorded.stored_path(facts.path)
            before = StoredFile(folder, path_in_source(source, path))
            self.loose[path] = LooseFile(facts, before, StoredFile(place, path))

    def take_archive(self, source: Source, looked: LookedThrough, place: Place) -> None:
        """Take in an archive, whose own checksum may be in a list that lies beside it."""
        before = StoredFile(open_place(source.uri), "")
        after = StoredFile(place, source.path)
        self.loose[source.path] = LooseFile(looked.archive, before, after)
        self.members.extend(looked.files)
        self.lists.extend(looked.lists)


def gather_changes(destination: Destination, plan: Plan) -> Changes:
    """Gather what changed in the plan's sources.

    Raises:
        StorageError: A report or an archive cannot be read.
    """
    place = destination.place
    changes = Changes()
    known = _Known.read(place)
    looks: list[tuple[Source, Future[LookedThrough]]] = []
    with ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="fixity") as pool:
        for source, recorded, changed in _changed_sources(destination, plan, changes):
            if source.kind == "folder":
                changes.take_folder(source, recorded, changed.values(), place)
                continue
            changes.members.extend(file for file in changed.values() if file.sha256_after)
            mirror = place.stat(source.path)
            if mirror is None:
                continue
            looked = known.find(source, recorded.digest(as_text(source.path)), changed)
            if looked is None:
                look = pool.submit(look_through, place, source, mirror, changed)
                looks.append((source, look))
            else:
                changes.take_archive(source, looked, place)
        for source, look in looks:
            changes.take_archive(source, look.result(), place)
    return changes


def _changed_sources(
    destination: Destination, plan: Plan, changes: Changes
) -> Iterator[tuple[Source, "_Recorded", dict[str, ChangedFile]]]:
    """Each source in which something was cleaned, with that by name as text."""
    destination.shelves.refresh()
    reports = destination.reports.reader(_COLUMNS)
    for planned in plan.sources:
        source = planned.source
        if source.kind == "folder":
            changes.folders[source.path] = source
        marker = destination.markers.read(source.id)
        if marker is not None and marker.cleaned:
            recorded = _Recorded(destination, source)
            rows = reports.rows(source.id)
            yield source, recorded, _cleaned_in(destination.place, source, recorded, rows)


def _cleaned_in(
    place: Place, source: Source, recorded: "_Recorded", table: pa.Table
) -> dict[str, ChangedFile]:
    changed = {}
    for row in table.filter(pc.equal(table["status"], "cleaned")).to_pylist():
        name = row["member"]
        if _is_inside_file(source, row):
            name = name.rpartition(SEPARATOR)[0]
            if source.kind != "folder":
                # Its digests and sizes are found out when the archive is looked through.
                changed[name] = ChangedFile(as_text(source.path), name, "", "", 0, 0)
            elif name not in changed:
                whole = _whole_file(place, source, recorded, name)
                if whole is not None:
                    changed[name] = whole
            continue
        path = as_text(source.path)
        member = name
        if source.kind == "folder":
            path = path_below(path, name)
            member = ""
        changed[name] = ChangedFile(
            path=path,
            member=member,
            sha256_before=row["sha256_in"],
            sha256_after=row["sha256_out"],
            bytes_before=row["bytes_in"],
            bytes_after=row["bytes_out"],
        )
    return changed


def _is_inside_file(source: Source, row: Mapping[str, Any]) -> bool:
    """Whether a row is that of an image in a file of several pages."""
    position = position_of(row["image_id"])
    return is_in_paged_file(position) or (source.kind == "folder" and is_inner(position))


def path_in_source(source: Source, path: str) -> str:
    """Where in a folder of SRC the original of an object lies, by the object's path under DST."""
    return path[len(source.path) :].lstrip("/")


def _whole_file(
    place: Place, source: Source, recorded: "_Recorded", name: str
) -> ChangedFile | None:
    """A loose file of which pages changed; None where it is not there.

    The digest of the file as it came is not known: nothing has read all of it for that. It is
    hashed where a list of checksums names it (`pipelines.fixity.loose`).
    """
    folder, _ = folder_of(source)
    path = path_below(as_text(source.path), name)
    stored = recorded.stored_path(path)
    before = folder.stat(path_in_source(source, stored))
    after = place.stat(stored)
    if before is None or after is None:
        return None
    return ChangedFile(
        path=path,
        member="",
        sha256_before="",
        sha256_after=recorded.digest(path),
        bytes_before=before.size,
        bytes_after=after.size,
    )


class _Recorded:
    """What is recorded of a source's mirror; read where it is asked for."""

    def __init__(self, destination: Destination, source: Source) -> None:
        self._destination = destination
        self._source = source

    @cached_property
    def _objects(self) -> dict[str, MirroredObject]:
        """The objects by their paths as text."""
        record = self._destination.mirrored.read(self._source.id)
        objects = () if record is None else record.objects
        return {as_text(item.path): item for item in objects}

    def digest(self, path: str) -> str:
        """The sha256 of an object as it was written, by its path as text; '' if not known."""
        item = self._objects.get(path)
        return "" if item is None else item.sha256

    def stored_path(self, path: str) -> str:
        """An object's path as it is stored, by its path as text."""
        if "\\" not in path:  # as text it is the same
            return path
        item = self._objects.get(path)
        return path if item is None else item.path


@dataclass(frozen=True)
class _Known:
    """What the last run found out about archives. It holds while archive and mirror are the same.

    The mirror is known by its digest: locally it has its source's time, and may have its size.
    """

    archives: dict[str, ChangedFile]
    files: dict[tuple[str, str], ChangedFile]  # of several pages in archives, by path and member
    lists: tuple[ChecksumList, ...]

    @staticmethod
    def read(place: Place) -> "_Known":
        findings = read_findings(place)
        lists = findings.lists if findings is not None else ()
        archives = {}
        files = {}
        for file in read_changed(place):
            if file.source_version:
                archives[file.path] = file
            elif file.member and suffix_of(file.member) in _HOLD_IMAGES:
                files[file.path, file.member] = file
        return _Known(archives, files, lists)

    def find(
        self, source: Source, mirror_digest: str, changed: Mapping[str, ChangedFile]
    ) -> LookedThrough | None:
        """What is known of an archive; None if it has to be looked through.

        Args:
            source: The archive.
            mirror_digest: Of its mirror as it was written.
            changed: What changed in it, by name as text.
        """
        archive = self.archives.get(as_text(source.path))
        if archive is None or archive.source_version != source.version:
            return None
        if archive.sha256_after != mirror_digest:
            return None
        files = []
        for name, file in changed.items():
            if file.sha256_after:
                continue
            known = self.files.get((archive.path, name))
            if known is None:
                return None
            files.append(known)
        lists = [one for one in self.lists if one.path == archive.path and one.member]
        return LookedThrough(archive, tuple(lists), tuple(files))
