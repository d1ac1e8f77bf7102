"""What a format of source can do: one module (or class) each, with the same few functions.

A zip or tar inside a zip or tar is the business of `pipelines.sources.formats.nesting`. To add a
format of archive, write a module with the functions of `ArchiveFormat`, name it in
`_ARCHIVES` below, and its suffixes in `pipelines.sources.members`. mypy checks that each module has
what is asked for.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import BinaryIO, Protocol

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from pipelines.records import Member, Source, SourceKind
from pipelines.sources.formats import (
    bzip2_stream,
    folder,
    gzip_stream,
    tar,
    xz_stream,
    zstd_stream,
)
from pipelines.sources.formats import zip as zip_archive
from pipelines.sources.formats.compressed_tar import CompressedTar
from pipelines.sources.formats.nesting import Nesting
from pipelines.sources.members import ArchiveKind
from pipelines.sources.splice import PayloadOf, Writer


class SourceFormat(Protocol):
    """Lists what is in a source, and reads some of it."""

    def index(self, source: Source, *, office: bool) -> list[Member]:
        """All members in the source's own order, with the megapixels of images estimated.

        Args:
            source: What is listed.
            office: Whether office documents in it are looked into.

        Raises:
            DamagedArchiveError: The archive does not check out.
            SourceChangedError: It is no longer what was discovered.
        """

    def read(
        self, source: Source, members: Sequence[Member]
    ) -> Iterator[tuple[Member, FileBytes | ImageError]]:
        """The unpacked payload of each member, in the order given."""


class ArchiveFormat(SourceFormat, Protocol):
    """A format of archive, which can be written anew as well."""

    def list_members(self, file: BinaryIO) -> Iterator[Member]:
        """The members of an open archive in its order, without the images in files of several
        pages; megapixels are 0.

        Raises:
            DamagedArchiveError: The archive does not check out.
        """

    def unpack(self, file: BinaryIO, member: Member, out: Writer) -> None:
        """Copy a member's unpacked payload out of an open archive, a piece in memory at a time.

        Raises:
            DamagedArchiveError: It does not check out.
        """

    def rewrite(
        self,
        source: BinaryIO,
        out: Writer,
        members: Collection[Member],
        payload_of: PayloadOf,
        *,
        rewrite_files: bool = False,
    ) -> set[int]:
        """Copy an archive with new payloads for these members; the positions refused.

        Args:
            source: The archive.
            out: Where the new one is written.
            members: The members to change.
            payload_of: Their new payloads.
            rewrite_files: Whether files of several pages among them (PDF) are written anew where
                they could be added to.
        """


_ARCHIVES: dict[ArchiveKind, ArchiveFormat] = {
    "tar": Nesting(tar),
    "tar.gz": CompressedTar(gzip_stream),
    "tar.bz2": CompressedTar(bzip2_stream),
    "tar.xz": CompressedTar(xz_stream),
    "tar.zst": CompressedTar(zstd_stream),
    "zip": Nesting(zip_archive),
}


def source_format(kind: SourceKind) -> SourceFormat:
    """The module for a kind of source."""
    if kind == "folder":
        return folder
    return _ARCHIVES[kind]


def archive_format(kind: SourceKind) -> ArchiveFormat:
    """The module for a kind of archive.

    Raises:
        ValueError: A folder is no archive.
    """
    if kind == "folder":
        raise ValueError("a folder is no archive")
    return _ARCHIVES[kind]
