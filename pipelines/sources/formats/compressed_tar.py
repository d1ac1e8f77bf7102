"""Compressed tars: a tar in a compressed stream, bounded when read, written like the original.

The tar inside is read and spliced by `pipelines.sources.formats.tar`. Each format of stream has a
module of its own: `gzip_stream`, `bzip2_stream`, `xz_stream`, `zstd_stream`.

A compressed stream can only be read from its beginning, so `Member.offset` is -1 for all members,
the index reads everything, and reading some members reads up to the last of them. A run therefore
reads all units of such a source in one pass, by one task.

To change members, the stream is unpacked into a temporary file, the tar inside is spliced, and the
result is compressed as one stream, at the effort and with the checks that the beginning of the
original shows.

Costs: reading is as fast as the format unpacks. Unpacking and packing anew, MB/s of unpacked noise
on one core: gzip 25, bzip2 4, xz 1.5, zstd 90 (45 at level 9, 2 at 19). It needs disk for the
unpacked tar, and memory for the packer: some 10 MB, but for xz ten times the dictionary (700 MB for
`xz -9`).
"""

import io
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from typing import BinaryIO, cast

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, blocks_of, collected
from demoire.imaging.images import probe
from demoire.reasons import Reason
from pipelines.names import shown
from pipelines.records import Member, Source
from pipelines.sources.formats import tar
from pipelines.sources.formats.containers import members_at
from pipelines.sources.formats.paged_members import (
    copy_key,
    look_inside_member,
    may_be_taken_apart,
    read_images_in,
    rewrite_with_images,
    unpacked_member,
)
from pipelines.sources.formats.streams import (
    BrokenStreamError,
    Packer,
    StreamFormat,
    UnpackedStream,
)
from pipelines.sources.inner_positions import is_in_paged_file, paged_file_position
from pipelines.sources.megapixels import (
    PROBE_BYTES,
    PROBES,
    probed_megapixels,
    with_megapixels,
)
from pipelines.sources.members import (
    BOMB_MEMBER,
    BOMB_RATIO,
    DamagedArchiveError,
    obstacle,
    unreadable,
)
from pipelines.sources.splice import COPIED_AT_ONCE, PayloadOf, Writer
from pipelines.storage.local import local_temporary
from pipelines.storage.open import open_place
from pipelines.storage.place import source_changed

BOMB_STREAM = 4 << 30  # bytes to which a stream may unpack, whatever its size


@dataclass(frozen=True)
class CompressedTar:
    """A tar in a stream of one format; see `pipelines.sources.formats.ArchiveFormat`."""

    stream_format: StreamFormat

    def index(self, source: Source, *, office: bool) -> list[Member]:
        """The members in the tar's order, with the megapixels of its images estimated.

        Headers are probed on the way, since there is no second one: all at first, and as they
        become too many every second, fourth, ... image.

        Raises:
            DamagedArchiveError: It is no whole tar in a whole stream.
            SourceChangedError: It is no longer what was discovered.
        """
        members: list[Member] = []
        probed: dict[int, float | None] = {}
        on_pages: dict[int, float | None] = {}
        images = 0
        stride = 1
        with open_place(source.uri).open("", version=source.version) as file:
            stream = self._unpacked(file, _most(source))
            for member in tar.list_members(stream):
                looked_at = _look_at(stream, member, office=office)
                members.append(_without_offset(looked_at.file))
                members.extend(looked_at.images)
                on_pages.update((image.position, image.megapixels) for image in looked_at.images)
                if looked_at.file.kind != "image" or not member.length:
                    continue
                if images % stride == 0:
                    probed[member.position] = looked_at.megapixels(stream)
                    if len(probed) > PROBES:
                        probed = dict(list(probed.items())[::2])
                        stride *= 2
                images += 1
        return with_megapixels(members, {**probed, **on_pages})

    def list_members(self, file: BinaryIO) -> Iterator[Member]:
        """The members in the tar's order.

        Raises:
            DamagedArchiveError: It is no whole tar in a whole stream.
        """
        for member in tar.list_members(self._unpacked(file)):
            yield _without_offset(member)

    def read(
        self, source: Source, members: Sequence[Member]
    ) -> Iterator[tuple[Member, FileBytes | ImageError]]:
        """The payload of each member; see `pipelines.sources.read`.

        Args:
            source: The compressed tar.
            members: What is wanted, in the order of the archive.
        """
        place = open_place(source.uri)
        waiting = iter(members)
        wanted = next(waiting, None)
        cause = "it is not there any more"
        try:
            with place.open("", version=source.version) as file:
                stream = self._unpacked(file, _most(source))
                for member in tar.list_members(stream):
                    while wanted is not None and wanted.position == member.position:
                        if (wanted.name, wanted.size) != (member.name, member.size):
                            raise source_changed(place.full())
                        yield wanted, _payload(stream, replace(wanted, offset=member.offset))
                        wanted = next(waiting, None)
                    inside = []
                    while wanted is not None and _is_inside(wanted, member):
                        inside.append(wanted)
                        wanted = next(waiting, None)
                    if inside:
                        key = copy_key(source, member)
                        with unpacked_member(tar, stream, member, key) as content:
                            yield from read_images_in(content, member, inside)
                    if wanted is None:
                        return
        except (DamagedArchiveError, BrokenStreamError) as error:
            cause = shown(str(error) or type(error).__name__).rstrip(".")
        while wanted is not None:
            yield wanted, unreadable(wanted, cause)
            wanted = next(waiting, None)

    def unpack(self, file: BinaryIO, member: Member, out: Writer) -> None:
        """Copy a member's unpacked payload out of an open archive.

        Raises:
            DamagedArchiveError: It is no whole tar in a whole stream, or no longer has the member.
        """
        file.seek(0)
        stream = self._unpacked(file)
        for listed in tar.list_members(stream):
            if listed.position == member.position:
                tar.unpack(stream, listed, out)
                return
        raise DamagedArchiveError("a member is not there any more")

    def rewrite(
        self,
        source: BinaryIO,
        out: Writer,
        members: Collection[Member],
        payload_of: PayloadOf,
        *,
        rewrite_files: bool = False,
    ) -> set[int]:
        """Copy a compressed tar with new payloads for these members; see `tar.rewrite`."""
        source.seek(0)
        packer = self.stream_format.packer_like(source)
        source.seek(0)
        positions = {member.position for member in members}
        with local_temporary() as unpacked:
            with unpacked.open("wb") as file:
                shutil.copyfileobj(self._unpacked(source), file, COPIED_AT_ONCE)
            with unpacked.open("rb") as plain:
                packed = _PackingWriter(out, packer)
                changing = members_at(tar, plain, positions)
                for member in members:
                    if is_in_paged_file(member.position):
                        changing.append(member)
                refused = rewrite_with_images(
                    tar, plain, packed, changing, payload_of, rewrite_files=rewrite_files
                )
                out.write(packer.flush())
        return refused

    def _unpacked(self, file: BinaryIO, most: int | None = None) -> BinaryIO:
        """The tar inside, from its beginning."""
        return cast(BinaryIO, io.BufferedReader(UnpackedStream(file, self.stream_format, most)))


@dataclass(frozen=True)
class _PackingWriter:
    """Compresses what is written to it."""

    out: Writer
    packer: Packer

    def write(self, data: bytes, /) -> int:
        self.out.write(self.packer.compress(data))
        return len(data)


def _most(source: Source) -> int:
    """Bytes to which a source may unpack."""
    return max(BOMB_STREAM, BOMB_RATIO * source.size)


@dataclass(frozen=True)
class _LookedAt:
    """A member, the images in it where it is a file of several pages, and its beginning."""

    file: Member
    images: tuple[Member, ...] = ()
    head: bytes | None = None  # None where it was not read

    def megapixels(self, stream: BinaryIO) -> float | None:
        """Of an image, by its header; reads that where it has to."""
        head = self.head
        if head is None:
            head = _head(stream, self.file)
        return probed_megapixels(head)


def _look_at(stream: BinaryIO, member: Member, *, office: bool) -> _LookedAt:
    """Look into a member that may have several pages. The stream is not read twice: it would begin
    anew.

    Raises:
        DamagedArchiveError: The stream is broken.
    """
    if not may_be_taken_apart(member, office=office):
        return _LookedAt(member)
    try:
        with unpacked_member(tar, stream, member) as content:
            taken_apart = look_inside_member(member, nullcontext(content))
            content.seek(0)
            return _LookedAt(taken_apart.file, taken_apart.images, content.read(PROBE_BYTES))
    except BrokenStreamError as error:
        raise DamagedArchiveError(str(error)) from error


def _is_inside(image: Member, file: Member) -> bool:
    if not is_in_paged_file(image.position):
        return False
    return paged_file_position(image.position) == file.position


def _without_offset(member: Member) -> Member:
    return replace(member, offset=-1)


def _head(stream: BinaryIO, member: Member) -> bytes:
    try:
        stream.seek(member.offset)
        return stream.read(min(PROBE_BYTES, member.length))
    except OSError as error:
        raise DamagedArchiveError(str(error)) from error


def _payload(stream: BinaryIO, member: Member) -> FileBytes | ImageError:
    """A member's payload, read from where it begins.

    A trap of zeros is small while packed. So what is very large is read on only if it begins like
    an image.
    """
    refused = obstacle(member)
    if refused is not None:
        return refused
    stream.seek(member.offset)
    head = stream.read(min(member.size, PROBE_BYTES))
    if member.size > BOMB_MEMBER:
        try:
            probe(head)
        except ImageError as error:
            if error.reason == Reason.NOT_AN_IMAGE:
                return error
    rest = blocks_of(stream, member.size - len(head))
    return collected(chain([head], rest), member.size)
