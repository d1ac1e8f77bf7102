"""Files of several pages among the members of an archive.

Their images are members like any other, behind all that the archive itself lists; see
`page_images`. The file is read through a window in the archive where its bytes stand there as they
are and its format reads any seekable file: a TIFF in a tar, or stored in a zip. Otherwise it is
unpacked first, a small TIFF into memory and all else into a temporary file: a PDF, and whatever is
compressed. That is done when it is indexed, for each run of its images that is read together (of a
large PDF once by each process that reads some of them, see `kept_copy`), and when it is published.

Larger files than 3 GB, and those that unpack to suspiciously much, are not looked into.

Costs: of each TIFF in the archive the header and the first directory, eight files at a time; one
that is compressed in a zip is unpacked as a whole. Memory holds one image.
"""

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from demoire.errors import ImageError
from demoire.imaging.paged.paged_format import PageImage
from pipelines.records import FileInArchive, Member, Source
from pipelines.sources.formats.containers import ContainerPayloads
from pipelines.sources.formats.kept_copy import CopyKey, kept_copy
from pipelines.sources.formats.page_images import (
    LOOKED_AT_ONCE,
    Opened,
    TakenApart,
    by_path_at_once,
    form_of,
    image_of,
    look_inside,
    may_hold_images,
    write_with_images,
)
from pipelines.sources.formats.ranged_format import RangedFormat
from pipelines.sources.formats.streams import BrokenStreamError
from pipelines.sources.inner_positions import (
    SEPARATOR,
    container_position,
    inner_position,
    is_in_inner_archive,
    is_in_paged_file,
    paged_file_position,
    paged_position,
    position_inside,
)
from pipelines.sources.members import (
    BOMB_MEMBER,
    BOMB_RATIO,
    DamagedArchiveError,
    obstacle,
    unreadable,
)
from pipelines.sources.splice import NewPayload, PayloadOf, Writer
from pipelines.sources.window import window
from pipelines.storage.open import open_place

# Bytes. The sizes in the headers around a larger one might no longer fit once it has grown.
LARGEST_CONTAINER = 3 << 30

_IN_MEMORY = 32 << 20  # bytes of a file that is unpacked into memory at most

ArchiveOf = Callable[[Member], RangedFormat]  # the format of the archive that a member is in


def with_images_of_files(
    source: Source, members: list[Member], archive_of: ArchiveOf, *, office: bool
) -> list[Member]:
    """Look for files of several pages among the members of an archive.

    Args:
        source: The archive.
        members: All of it, with those of inner archives.
        archive_of: Tells the format of the archive that a member is directly in.
        office: Whether office documents are looked into.

    Returns:
        The same, files of several pages as `other`, and behind them the images in these.
    """
    candidates = [member for member in members if may_be_taken_apart(member, office=office)]
    if not candidates:
        return members
    place = open_place(source.uri)

    def look(member: Member) -> TakenApart:
        turn = nullcontext() if _is_readable_in_place(member) else by_path_at_once
        try:
            with turn, place.open("", version=source.version) as file:
                return look_inside_member(member, _opened(archive_of(member), file, member))
        except (DamagedArchiveError, BrokenStreamError):
            return TakenApart(member)  # whoever reads it will say what is wrong

    files = {member.position: member for member in members}
    images: list[Member] = []
    with ThreadPoolExecutor(LOOKED_AT_ONCE, thread_name_prefix="pages") as pool:
        for member, taken_apart in zip(candidates, pool.map(look, candidates), strict=True):
            files[member.position] = taken_apart.file
            file = FileInArchive(member.offset, member.length, member.size, member.compression)
            for image in taken_apart.images:
                images.append(replace(image, file=file))
    return [*files.values(), *images]


def may_be_taken_apart(member: Member, *, office: bool) -> bool:
    """Whether a member's name is that of a file of several pages, and it can be looked into.

    Args:
        member: Of an archive.
        office: Whether office documents are.
    """
    if not may_hold_images(member, office=office):
        return False
    if member.offset < 0 or not 0 < member.size <= LARGEST_CONTAINER:
        return False
    return member.size <= max(BOMB_MEMBER, BOMB_RATIO * member.length)


def look_inside_member(member: Member, opened: Opened) -> TakenApart:
    """Look for several pages in a member that may have them.

    Args:
        member: Of an archive.
        opened: Its unpacked content.
    """
    return look_inside(member, form_of(member.name), opened, _positions_in(member))


def copy_key(source: Source, file: Member) -> CopyKey:
    """Under which a copy of a file in an archive is kept."""
    return source.uri, source.version, file.name, str(file.offset)


@contextmanager
def unpacked_member(
    archive: RangedFormat, source: BinaryIO, member: Member, key: CopyKey | None = None
) -> Iterator[BinaryIO]:
    """A member of an open archive, unpacked into memory or into a temporary file.

    Args:
        archive: Its format.
        source: The archive.
        member: The member.
        key: Under which its copy is kept (`kept_copy`); None where it is not.

    Raises:
        DamagedArchiveError: It does not check out.
    """
    if member.size <= _IN_MEMORY and not form_of(member.name).needs_path:
        content = io.BytesIO()
        archive.unpack(source, member, content)
        content.seek(0)
        yield content
        return

    def unpack_to(copy: BinaryIO) -> None:
        archive.unpack(source, member, copy)

    with kept_copy.opened(key, member.size, unpack_to) as copy:
        yield copy


def read_images(
    archive: RangedFormat, source: Source, members: Sequence[Member]
) -> Iterator[tuple[Member, bytes | ImageError]]:
    """Images in files of several pages as files of their own, in the order given.

    Args:
        archive: The format of the archive that the files are directly in.
        source: The archive.
        members: The images; a file is opened once for those of it that follow each other.
    """
    place = open_place(source.uri)
    for _, group in groupby(members, lambda member: member.file):
        images = list(group)
        file = _file_of(images[0])
        try:
            with (
                place.open("", version=source.version) as opened,
                _opened(archive, opened, file, copy_key(source, file)) as content,
            ):
                yield from read_images_in(content, file, images)
        except (DamagedArchiveError, BrokenStreamError) as error:
            # It is unpacked before the first image is read, so there is none twice.
            for member in images:
                yield member, unreadable(member, str(error))


def read_images_in(
    content: BinaryIO, file: Member, images: Sequence[Member]
) -> Iterator[tuple[Member, bytes | ImageError]]:
    """Images in a file of several pages as files of their own.

    Args:
        content: The file.
        file: As a member.
        images: Those that are wanted, in any order.
    """
    form = form_of(file.name)
    for member in images:
        error = obstacle(member)
        if error is not None:
            yield member, error
            continue
        try:
            yield member, form.read(content, image_of(member))
        except ImageError as refused:
            yield member, refused


def rewrite_with_images(
    archive: RangedFormat,
    source: BinaryIO,
    out: Writer,
    members: Collection[Member],
    payload_of: PayloadOf,
    *,
    rewrite_files: bool,
) -> set[int]:
    """Copy an archive with new payloads for its members, and for images in files among them.

    Args:
        archive: Its format.
        source: The archive.
        out: Where the new one is written.
        members: The members to change, as its format lists them, and images in its files.
        payload_of: Their new payloads.
        rewrite_files: Whether files are written anew that could be added to.

    Returns:
        The positions of members and images that are refused, and stay as they are.
    """
    own = []
    images: dict[int, list[Member]] = {}
    for member in members:
        if is_in_paged_file(member.position):
            images.setdefault(paged_file_position(member.position), []).append(member)
        else:
            own.append(member)
    if not images:
        return archive.rewrite(source, out, own, payload_of)

    def cleaned(position: int) -> NewPayload:
        payload = payload_of(position)
        assert payload is not None  # an image on a page is no container
        return payload

    def write_file(file: Member, inside: Sequence[Member], whole: Path) -> Collection[int]:
        is_done = write_with_images(
            form_of(file.name),
            _opened(archive, source, file),
            whole,
            sorted(inside, key=lambda image: image.position),
            cleaned,
            may_hold_them=True,
            rewrite=rewrite_files,
        )
        return () if is_done else [image.position for image in inside]

    files = ContainerPayloads(archive, source, images, payload_of, write_file)
    refused = archive.rewrite(source, out, [*own, *files.containers], files.payload)
    return files.refused_by(refused)


def _positions_in(file: Member) -> Callable[[PageImage, int], int | None]:
    """What says at which positions the images of a file are."""

    def position_of(image: PageImage, number: int) -> int | None:
        if not is_in_inner_archive(file.position):
            return paged_position(file.position, number)
        inside = paged_position(inner_position(file.position), number)
        if inside is None:
            return None
        return position_inside(container_position(file.position), inside)

    return position_of


def _file_of(image: Member) -> Member:
    """The file that an image is in, as its archive lists it, but for its position."""
    file = image.file
    assert file is not None
    name = image.name.rpartition(SEPARATOR)[0]
    return replace(
        image,
        name=name,
        kind="other",
        offset=file.offset,
        length=file.length,
        size=file.size,
        compression=file.compression,
    )


def _is_readable_in_place(file: Member) -> bool:
    return file.compression == "stored" and not form_of(file.name).needs_path


def _opened(
    archive: RangedFormat, source: BinaryIO, file: Member, key: CopyKey | None = None
) -> Opened:
    """A file in an open archive: where it lies, or unpacked.

    Raises:
        DamagedArchiveError: It does not check out.
    """
    if not _is_readable_in_place(file):
        return unpacked_member(archive, source, file, key)
    start = archive.payload_start(source, file)
    return nullcontext(window(source, start, file.length))
