"""A folder's mirror under DST: its files one by one, with the cleaned images put in.

Each file appears in one step; links that stay in the mirror are written as links. Into a file of
several pages the cleaned pages are put, in a temporary copy. What the plan withholds is not
written, and what DST refuses although the plan thought otherwise is withheld as well, while all
else is written.
"""

import mmap
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from demoire.errors import RefusedNameError
from demoire.file_bytes import write_file
from demoire.reasons import Reason
from pipelines.destination.claims import MirrorClaims
from pipelines.paths import path_below
from pipelines.publish.mirror import Mirror, carried_facts, copy_whole, keep_times
from pipelines.publish.payloads import CleanedPayloads
from pipelines.records import Member, Source
from pipelines.sources.formats.folder import folder_members, folder_of
from pipelines.sources.formats.page_images import write_with_images
from pipelines.sources.formats.pages import PagedObject
from pipelines.sources.inner_positions import (
    by_container,
    container_position,
    file_name_of,
    is_inner,
)
from pipelines.sources.members import withheld_member
from pipelines.storage.local import local_temporary
from pipelines.storage.object_facts import ObjectFacts
from pipelines.storage.open import open_place
from pipelines.storage.way import check_way

_FILES_AT_ONCE = 8  # each mostly waits for storage


def mirror_folder(
    source: Source,
    claims: MirrorClaims,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
    withheld: Iterable[Member] = (),
    *,
    rewrite: bool = False,
) -> Mirror:
    """Write a folder's mirror.

    The folder is listed again, so that a file which came since it was planned is noticed.

    Args:
        source: The folder.
        claims: What may be written under DST.
        cleaned: What was cleaned of it.
        members: Its images, by position.
        withheld: What the plan leaves out.
        rewrite: Whether files of pages are written anew where they could be added to.

    Raises:
        SourceChangedError: A file is no longer what was planned.
    """
    left_out = {member.position for member in withheld}
    kept = []
    for member in folder_members(source):
        if member.kind == "withheld" or member.position in left_out:
            left_out.add(member.position)
        else:
            kept.append(member)
    writer = _FolderWriter(source, claims, cleaned, members, is_there=False, rewrite=rewrite)
    mirror = _write_files(writer, kept)
    return replace(mirror, withheld=mirror.withheld + len(left_out))


def patch_folder(
    source: Source,
    claims: MirrorClaims,
    cleaned: CleanedPayloads,
    members: Mapping[int, Member],
    *,
    rewrite: bool = False,
) -> Mirror:
    """Write some more cleaned files and pages into a folder's mirror; what was written.

    Args:
        source: The folder.
        claims: What may be written under DST.
        cleaned: What was cleaned of it this time.
        members: The images that were, by position.
        rewrite: As in `mirror_folder`.
    """
    changed: dict[int, Member] = {}
    for position in cleaned.positions:
        member = members[position]
        if is_inner(position):
            member = _file_of(member)
        changed[member.position] = member
    writer = _FolderWriter(source, claims, cleaned, members, is_there=True, rewrite=rewrite)
    return _write_files(writer, list(changed.values()))


def _file_of(page: Member) -> Member:
    """The file that a page is in."""
    position = container_position(page.position)
    return replace(page, kind="other", position=position, name=file_name_of(page), offset=0)


def _write_files(writer: "_FolderWriter", members: Sequence[Member]) -> Mirror:
    """Write these files of a folder, the cleaned ones as such."""
    size = 0
    files = 0
    folders = 0
    late = []
    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="publish") as pool:
        for member, written in zip(members, pool.map(writer.write, members), strict=True):
            if isinstance(written, Reason):
                late.append(withheld_member(member, written))
                continue
            size += written
            if member.kind == "marker":
                folders += 1
            else:
                files += 1
    return Mirror(
        size,
        files,
        folders,
        withheld=len(late),
        late=tuple(late),
        refused=frozenset(writer.refused),
    )


@dataclass(frozen=True)
class _FolderWriter:
    """Writes the files of one folder's mirror."""

    source: Source
    claims: MirrorClaims
    cleaned: CleanedPayloads
    members: Mapping[int, Member]  # its images, by position
    is_there: bool  # pages are put into the file of the mirror that is there, not into the source's
    rewrite: bool  # a file of pages is written anew where it could be added to
    refused: set[int] = field(default_factory=set)  # positions of pages that could not be put in

    @cached_property
    def _pages(self) -> dict[int, list[Member]]:
        """The cleaned images on pages, by the position of their file."""
        return by_container(self.members[position] for position in sorted(self.cleaned.positions))

    def write(self, member: Member) -> int | Reason:
        """Write one file, link or marker: its bytes, or why DST refuses it."""
        try:
            check_way(self.claims.place, self.source.path)
            if member.kind == "marker":
                return self._make_folder(member)
            if member.kind == "link":
                self.claims.make_link(self._path(member), member.target)
                return 0
            if member.position in self._pages:
                return self._write_pages(member)
            return self._write_file(member)
        except RefusedNameError as error:
            return error.reason

    def _path(self, member: Member) -> str:
        """Where a member's mirror goes under DST."""
        return path_below(self.source.path, member.name)

    def _write_file(self, member: Member) -> int:
        origin, _ = folder_of(self.source)
        is_cleaned = member.position in self.cleaned.positions
        name = member.name
        path = self._path(member)
        if not is_cleaned and self.claims.copy_from(origin, name, path, member.version):
            return member.size
        facts = carried_facts(self.claims.place, origin, name)
        if is_cleaned:
            facts = facts.of_changed(name)
        if is_cleaned and facts.may_hold_digests:
            original = origin.read(name, version=member.version)
            facts = facts.with_digests(original, self.cleaned(member.position))
        with self.claims.new_file(path, facts) as local:
            if is_cleaned:
                write_file(local, self.cleaned(member.position))
            else:
                with origin.open(name, version=member.version) as reader:
                    copy_whole(reader, local)
            keep_times(origin, name, self.claims.place, local)
            return local.stat().st_size

    def _write_pages(self, member: Member) -> int:
        """Write a file of several pages with the cleaned ones; where they cannot be put in, as it
        was.
        """
        path = self._path(member)
        if self.is_there and self.claims.is_foreign(path):
            return 0
        origin, _ = folder_of(self.source)
        images = self._pages[member.position]
        with local_temporary() as whole:
            original = PagedObject(origin, member.name, member.version)
            if self.is_there:
                original = PagedObject(self.claims.place, path)
            is_done = write_with_images(
                original.form,
                original.opened(),
                whole,
                images,
                self.cleaned,
                may_hold_them=self.is_there,
                rewrite=self.rewrite,
            )
            original.check()
            if not is_done:
                self.refused.update(image.position for image in images)
                return member.size if self.is_there else self._write_file(member)
            facts = self._facts_of_pages(member, whole)
            with self.claims.new_file(path, facts) as local:
                shutil.copyfile(whole, local)
                keep_times(origin, member.name, self.claims.place, local)
                return local.stat().st_size

    def _facts_of_pages(self, member: Member, whole: Path) -> ObjectFacts:
        """What the store is to keep of a file with cleaned pages."""
        origin, _ = folder_of(self.source)
        facts = carried_facts(self.claims.place, origin, member.name).of_changed(member.name)
        if not facts.may_hold_digests:
            return facts
        original = origin.read(member.name, version=member.version)
        with (
            whole.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as changed,
        ):
            return facts.with_digests(original, changed)

    def _make_folder(self, member: Member) -> int:
        """Make the folder itself; a bucket's key for it may hold bytes."""
        data = b""
        if member.size:
            parent, _, name = self.source.uri.rstrip("/").rpartition("/")
            data = open_place(parent).read(f"{name}/", version=member.version)
        self.claims.place.make_folder(self.source.path, data)
        return len(data)
