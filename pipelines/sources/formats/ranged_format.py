"""What a format of archive can do whose members are read by range: tar and zip."""

from collections.abc import Collection, Iterator, Sequence
from typing import BinaryIO, Protocol

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from pipelines.records import Member, Source
from pipelines.sources.splice import PayloadOf, Writer
from pipelines.storage.place import Place


class RangedFormat(Protocol):
    """A format of archive whose members can be read by range; see `formats.ArchiveFormat`."""

    def read(
        self, source: Source, members: Sequence[Member]
    ) -> Iterator[tuple[Member, FileBytes | ImageError]]:
        """The unpacked payload of each member, in the order given."""

    def list_members(self, file: BinaryIO) -> Iterator[Member]:
        """The members of an open archive in its order; megapixels are 0.

        Raises:
            DamagedArchiveError: The archive does not check out.
        """

    def rewrite(
        self, source: BinaryIO, out: Writer, members: Collection[Member], payload_of: PayloadOf
    ) -> set[int]:
        """Copy an archive with new payloads for these members; the positions refused."""

    def head(self, place: Place, version: str, member: Member) -> bytes:
        """The first bytes of a member's unpacked payload."""

    def payload_start(self, file: BinaryIO, member: Member) -> int:
        """Where a stored member's payload begins in an open archive."""

    def unpack(self, file: BinaryIO, member: Member, out: Writer) -> None:
        """Copy a member's unpacked payload out of an open archive, a piece in memory at a time.

        Raises:
            DamagedArchiveError: It does not check out.
        """
