"""The images of a unit, read: which of them are, and which are left alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.limits import largest_file
from demoire.reasons import Reason
from pipelines.clean.grey import tell_of_no_grey
from pipelines.records import Member, Source
from pipelines.sources.read import read_members


def read_for_cleaning(
    source: Source, members: Sequence[Member], config: CleanerConfig
) -> Iterator[tuple[Member, FileBytes | ImageError]]:
    """Read images as `read_members` does, apart from those that are too large to be cleaned.

    Black and white ones are read too, where their pixels are needed. One of these that cannot be
    read is told in the log: it has no grey picture, and is copied all the same.
    """
    wanted = [_member_to_read(member, config) for member in members]
    read = read_members(source, wanted)
    for member, asked, (_, data) in zip(members, wanted, read, strict=True):
        if isinstance(data, ImageError) and member.reason and not asked.reason:
            tell_of_no_grey(source, member, data)
        yield member, data


def _member_to_read(member: Member, config: CleanerConfig) -> Member:
    """An image as it is asked for: its reason says why it is not read."""
    if config.bilevel == "grey" and member.reason == Reason.BILEVEL:
        member = replace(member, reason="")
    if member.size > largest_file(config.max_megapixels) and not member.reason:
        return replace(member, reason=Reason.TOO_LARGE.value)
    return member
