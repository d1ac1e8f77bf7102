"""Folders of loose files as sources: what is directly in a folder, apart from archives.

A folder source's URI is its folder, '/', and a glob over the names in it ('' for all): '/box/',
'/box/*.jpg'. `folder_of` takes it apart.

A file of several pages is taken apart (`pages`): it is mirrored as one file, and its pages are the
images, behind all files.

Costs: the index lists the folder once. A read is a request a file.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatchcase

from demoire.errors import ImageError
from demoire.file_bytes import LARGE_BYTES, FileBytes
from demoire.reasons import Reason
from pipelines.names import shown, stored_name
from pipelines.records import Member, Source
from pipelines.sources.formats.pages import PageReader, take_apart
from pipelines.sources.inner_positions import is_inner
from pipelines.sources.megapixels import PROBE_BYTES, probe_members
from pipelines.sources.members import (
    ArchiveKind,
    archive_kind,
    is_unsafe_name,
    member_kind,
    obstacle,
    withheld_member,
)
from pipelines.sources.not_looked_into import peeked
from pipelines.storage.open import open_place
from pipelines.storage.place import Entry, Place, read_object, source_changed

DOTTED_FOLDERS = ("", ".", "..")  # folders that only a bucket can have


class FolderTally:
    """Version and size of what is loose in one folder, as it is listed.

    The version is a sum of digests, so the order of listing does not matter.
    """

    def __init__(self) -> None:
        self._digest = 0
        self.size = 0

    def add(self, name: str, entry: Entry) -> None:
        """Take in one file under its name in the folder."""
        text = f"{name}\0{entry.kind}\0{entry.version}{entry.target}"
        digest = int.from_bytes(hashlib.sha256(stored_name(text)).digest(), "big")
        self._digest = (self._digest + digest) % (1 << 256)
        self.size += entry.size

    @property
    def version(self) -> str:
        """64 hex digits that change when any of the files does."""
        return f"{self._digest:064x}"


def folder_of(source: Source) -> tuple[Place, str]:
    """A folder source's folder, and the glob over the names in it ('' for all)."""
    folder, _, pattern = source.uri.rpartition("/")
    return open_place(folder or "/"), pattern


def archive_in(entry: Entry, name: str) -> ArchiveKind | None:
    """The kind of archive that lies in a folder under this name; None if it is none.

    A link is not followed, and an unsafe name not taken for a path: both stay loose files.
    """
    if entry.kind != "file" or is_unsafe_name(name):
        return None
    return archive_kind(name)


def index(source: Source, *, office: bool) -> list[Member]:
    """The files of a folder by name, then the pages of those that have several.

    The megapixels of images are estimated.

    Raises:
        SourceChangedError: A file was added, removed or changed since the folder was discovered.
    """
    folder, _ = folder_of(source)

    def head_of(member: Member) -> bytes:
        length = min(PROBE_BYTES, member.length)
        return folder.read(member.name, 0, length, version=member.version)

    files, pages = take_apart(folder, folder_members(source), office=office)
    return peeked(probe_members(files, head_of), head_of) + pages


def folder_members(source: Source) -> list[Member]:
    """The files of a folder by name; megapixels are 0, since none of them is opened.

    Raises:
        SourceChangedError: A file was added, removed or changed since the folder was discovered.
    """
    folder, pattern = folder_of(source)
    tally = FolderTally()
    files = []
    for name, entry in _loose_files(folder):
        if fnmatchcase(name, pattern or "*") and not archive_in(entry, name):
            tally.add(name, entry)
            files.append((name, entry))
    if tally.version != source.version:
        raise source_changed(shown(source.uri))
    files.sort(key=lambda file: file[0])
    members = []
    for position, (name, entry) in enumerate(files):
        members.append(_member(folder, position, name, entry))
    return members


def read(
    source: Source, members: Sequence[Member]
) -> Iterator[tuple[Member, FileBytes | ImageError]]:
    """The content of each file or page, in the order given; see `pipelines.sources.read`."""
    folder, _ = folder_of(source)
    page_reader = PageReader(folder)
    with closing(page_reader):
        for member in members:
            error = obstacle(member)
            if error is not None:
                yield member, error
            elif is_inner(member.position):
                yield member, page_reader.read(member)
            else:
                yield member, _content(folder, member)


def _member(folder: Place, position: int, name: str, entry: Entry) -> Member:
    size = entry.size
    member = Member(position, name, "other", 0, size, size, "stored", entry.version, 0.0)
    if entry.kind == "marker" and not name:
        return replace(member, kind="marker")
    if "/" in name or is_unsafe_name(name):
        return withheld_member(member, Reason.UNSAFE_PATH)
    if entry.kind == "special":
        return withheld_member(member, Reason.SPECIAL_FILE)
    if entry.kind == "closed":
        return withheld_member(member, Reason.NO_ACCESS)
    if entry.kind == "link":
        target = os.path.relpath(entry.target, os.path.realpath(folder.uri))
        return replace(member, kind="link", target=target)
    return replace(member, kind=member_kind(name, plain=True))


def _content(folder: Place, member: Member) -> FileBytes:
    # Of a large file one byte more than there should be, by which one that has grown is told.
    length = member.length + 1 if member.length >= LARGE_BYTES else None
    data = read_object(folder, member.name, 0, length, version=member.version)
    if len(data) != member.length:
        raise source_changed(folder.full(member.name))
    return data


def _loose_files(folder: Place) -> Iterator[tuple[str, Entry]]:
    """What is directly in a folder, by its name there; its own marker, if it has one, by ''.

    The keys of a bucket may have folders called '', '.' or '..'. No path leads there, so their
    objects are this folder's, under unsafe names.
    """
    has_dotted_folder = False
    for entry in folder.inventory(recursive=False):
        if entry.kind != "folder":
            yield entry.path, entry
        elif entry.name in DOTTED_FOLDERS:
            has_dotted_folder = True
    if not has_dotted_folder:
        return
    for entry in folder.inventory():
        is_own_marker = not entry.path
        if not is_own_marker and entry.path.split("/")[0] in DOTTED_FOLDERS:
            yield entry.path, entry
