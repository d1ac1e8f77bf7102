"""Zips and tars inside a zip or a tar: their images are cleaned like those beside them.

An inner archive is looked into where its bytes stand in the outer one as they are: any member of a
tar, a stored one of a zip. Then its members can be read by range too, and `Member.offset` counts
from the beginning of the outer archive. That is one level deep: what is inside an inner archive is
not looked into again. Nor is what would have to be unpacked whole first: a deflated member of a
zip, a compressed tar on either level.

The name of such a member is that of the inner archive, '!/', and its own name there:
'box/inner.zip!/page1.jpg'. Since an outer member may have such a name too, the program goes by the
position (`pipelines.sources.inner_positions`), which depends on nothing that stands elsewhere.

An inner archive that is damaged is one image that cannot be read, under the archive's name: it has
its row in the report, and is mirrored as it is.

Costs: the index of each inner archive. To change one, it is spliced into a temporary file first,
one at a time, and mapped into memory from there.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.reasons import Reason
from pipelines.records import Member, Source
from pipelines.sources.formats import tar
from pipelines.sources.formats import zip as zip_archive
from pipelines.sources.formats.containers import ContainerPayloads, members_at
from pipelines.sources.formats.paged_members import (
    LARGEST_CONTAINER,
    read_images,
    rewrite_with_images,
    with_images_of_files,
)
from pipelines.sources.formats.ranged_format import RangedFormat
from pipelines.sources.inner_positions import (
    SEPARATOR,
    WHOLE_ARCHIVE,
    container_position,
    inner_position,
    is_in_inner_archive,
    is_in_paged_file,
    position_inside,
)
from pipelines.sources.megapixels import probe_members
from pipelines.sources.members import (
    MOST_MEMBERS,
    DamagedArchiveError,
    archive_kind,
    is_fork,
    is_unsafe_name,
)
from pipelines.sources.not_looked_into import peeked
from pipelines.sources.splice import NewPayload, PayloadOf, Writer
from pipelines.sources.window import window
from pipelines.storage.open import open_place

_INNER_FORMATS: dict[str | None, RangedFormat] = {"tar": tar, "zip": zip_archive}


@dataclass(frozen=True)
class Nesting:
    """A format of archive, and the archives inside; see `pipelines.sources.formats`."""

    outer: RangedFormat

    def index(self, source: Source, *, office: bool) -> list[Member]:
        """All members, those of inner archives and then those in files of several pages last, with
        the megapixels of images estimated.

        Raises:
            DamagedArchiveError: The outer archive does not check out.
            SourceChangedError: It is no longer what was discovered.
        """
        place = open_place(source.uri)

        def head_of(member: Member) -> bytes:
            return self._format_of(member).head(place, source.version, member)

        with place.open("", version=source.version) as file:
            listed = list(self.outer.list_members(file))
        members = peeked(probe_members(listed, head_of), head_of)
        containers = [member for member in members if _is_container(member)]
        if containers:
            with place.open("", version=source.version) as file:
                members += self._index_inside(file, containers, head_of)
        return with_images_of_files(source, members, self._format_of, office=office)

    def _index_inside(
        self, file: BinaryIO, containers: Sequence[Member], head_of: Callable[[Member], bytes]
    ) -> list[Member]:
        """The members of inner archives, with megapixels by the heads that `head_of` reads."""
        inner: list[Member] = []
        damaged: list[Member] = []
        for container in containers:
            listed = self._inner_members(file, container)
            is_damaged = bool(listed) and inner_position(listed[0].position) == WHOLE_ARCHIVE
            if is_damaged:
                damaged += listed
            else:
                inner += listed
        sized = probe_members(inner, head_of) + damaged
        return sorted(sized, key=lambda member: member.position)

    def list_members(self, file: BinaryIO) -> Iterator[Member]:
        """All members of an open archive, those of inner archives last, without what is in files of
        several pages; megapixels are 0.

        Raises:
            DamagedArchiveError: The outer archive does not check out.
        """
        containers = []
        for member in self.outer.list_members(file):
            yield member
            if _is_container(member):
                containers.append(member)
        for container in containers:
            yield from self._inner_members(file, container)

    def read(
        self, source: Source, members: Sequence[Member]
    ) -> Iterator[tuple[Member, FileBytes | ImageError]]:
        """The payload of each member, in the order given; see `pipelines.sources.read`."""

        def way_of(member: Member) -> tuple[RangedFormat, bool]:
            return self._format_of(member), is_in_paged_file(member.position)

        for (archive, is_in_file), group in groupby(members, way_of):
            if is_in_file:
                images = list(group)
                yield from read_images(archive, source, images)
            else:
                yield from archive.read(source, list(group))

    def unpack(self, file: BinaryIO, member: Member, out: Writer) -> None:
        """Copy a member's unpacked payload out of an open archive."""
        self._format_of(member).unpack(file, member, out)

    def rewrite(
        self,
        source: BinaryIO,
        out: Writer,
        members: Collection[Member],
        payload_of: PayloadOf,
        *,
        rewrite_files: bool = False,
    ) -> set[int]:
        """Copy an archive with new payloads for these members, also inside inner archives.

        Args:
            source: The outer archive.
            out: Where the new one is written.
            members: The members to change; see the outer format's own `rewrite`.
            payload_of: Their new payloads.
            rewrite_files: Whether files of several pages are written anew that could be added to.

        Returns:
            The positions of members that are refused, and stay as they are.
        """
        own = []
        inside: dict[int, list[Member]] = {}
        for member in members:
            if is_in_inner_archive(member.position):
                inside.setdefault(container_position(member.position), []).append(member)
            else:
                own.append(member)

        def write_inner(container: Member, changing: Sequence[Member], whole: Path) -> set[int]:
            start = self.outer.payload_start(source, container)
            content = window(source, start, container.length)
            with whole.open("wb") as out_inside:
                return _rewrite_inner(
                    container,
                    content,
                    out_inside,
                    changing,
                    payload_of,
                    rewrite_files=rewrite_files,
                )

        inner = ContainerPayloads(self.outer, source, inside, payload_of, write_inner)
        changing = [*own, *inner.containers]
        refused = rewrite_with_images(
            self.outer, source, out, changing, inner.payload, rewrite_files=rewrite_files
        )
        return inner.refused_by(refused)

    def _inner_members(self, file: BinaryIO, container: Member) -> list[Member]:
        """The members of an inner archive as members of the outer one."""
        members = []
        try:
            start = self.outer.payload_start(file, container)
            content = window(file, start, container.length)
            for member in _INNER_FORMATS[archive_kind(container.name)].list_members(content):
                members.append(_as_inner(member, container, start))
        except DamagedArchiveError:
            whole = replace(container, kind="image", offset=-1, reason=Reason.UNREADABLE.value)
            return [replace(whole, position=position_inside(container.position, WHOLE_ARCHIVE))]
        return members

    def _format_of(self, member: Member) -> RangedFormat:
        """The format of the archive, outer or inner, that a member is directly in."""
        if not is_in_inner_archive(member.position):
            return self.outer
        container = member.name.partition(SEPARATOR)[0]
        return _INNER_FORMATS[archive_kind(container)]


def _rewrite_inner(
    container: Member,
    content: BinaryIO,
    out: Writer,
    members: Sequence[Member],
    payload_of: PayloadOf,
    *,
    rewrite_files: bool,
) -> set[int]:
    """Copy an inner archive with new payloads for these members of the outer one.

    Args:
        container: The inner archive.
        content: Its bytes.
        out: Where the new one is written.
        members: The members to change.
        payload_of: Their new payloads.
        rewrite_files: Whether files of several pages are written anew that could be added to.

    Returns:
        The positions in the outer archive of members that are refused.
    """
    archive = _INNER_FORMATS[archive_kind(container.name)]
    inside = [replace(member, position=inner_position(member.position)) for member in members]
    changing = [member for member in inside if is_in_paged_file(member.position)]
    changing += members_at(archive, content, {member.position for member in inside})

    def payload_inside(position: int) -> NewPayload | None:
        return payload_of(position_inside(container.position, position))

    refused = rewrite_with_images(
        archive, content, out, changing, payload_inside, rewrite_files=rewrite_files
    )
    return {position_inside(container.position, position) for position in refused}


def _is_container(member: Member) -> bool:
    """Whether a member of an outer archive is an archive that is looked into."""
    is_plain = member.compression == "stored" and member.size == member.length
    if member.kind != "other" or not is_plain or member.offset < 0:
        return False
    if not 0 < member.length <= LARGEST_CONTAINER:
        return False
    if is_fork(member.name) or is_unsafe_name(member.name) or SEPARATOR in member.name:
        return False
    return archive_kind(member.name) in _INNER_FORMATS


def _as_inner(member: Member, container: Member, start: int) -> Member:
    """A member of an inner archive as a member of the outer one.

    Args:
        member: As the inner archive lists it.
        container: The inner archive.
        start: Where that begins in the outer one.

    Raises:
        DamagedArchiveError: There are too many.
    """
    if member.position >= MOST_MEMBERS:
        raise DamagedArchiveError(f"more than {MOST_MEMBERS} members")
    offset = member.offset
    if offset >= 0:
        offset += start
    name = f"{container.name}{SEPARATOR}{member.name}"
    position = position_inside(container.position, member.position)
    return replace(member, position=position, name=name, offset=offset)
