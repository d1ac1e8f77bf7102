"""Grey pictures of the black and white images of a unit, where the job asks for them.

The Cleaner makes them. Black and white pictures in PDFs are not read as a rule, since they stay as
they are; for their grey pictures they are, and their rows in the report stay the same.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.reasons import Reason
from pipelines.destination.grey_pictures import GreyPictures
from pipelines.names import shown
from pipelines.records import Member, Source
from pipelines.rows import source_name
from pipelines.sources.read import read_members

if TYPE_CHECKING:
    from demoire.cleaning.result import Cleaned

_LOG = logging.getLogger(__name__)


def read_for_cleaning(
    source: Source, members: Sequence[Member], config: CleanerConfig
) -> Iterator[tuple[Member, FileBytes | ImageError]]:
    """Read images as `read_members` does; black and white ones too, where their pixels are needed.

    One of these that cannot be read is told in the log: it has no grey picture, and is copied all
    the same.
    """
    wanted = [_member_to_read(member, config) for member in members]
    read = read_members(source, wanted)
    for member, asked, (_, data) in zip(members, wanted, read, strict=True):
        if isinstance(data, ImageError) and asked.reason != member.reason:
            _tell_of_no_grey(source, member, data)
        yield member, data


def _member_to_read(member: Member, config: CleanerConfig) -> Member:
    """An image as it is asked for: without its reason where its pixels are needed all the same."""
    if config.bilevel == "grey" and member.reason == Reason.BILEVEL:
        return replace(member, reason="")
    return member


def keep_grey_picture(
    pictures: GreyPictures, source: Source, member: Member, cleaned: "Cleaned"
) -> None:
    """Keep the grey picture of a black and white image.

    One that could not be made is told in the log: its image is copied all the same.

    Args:
        pictures: Where they are kept.
        source: What the image is in.
        member: The image.
        cleaned: What became of it, by a cleaner that makes grey pictures.
    """
    if Reason.BILEVEL not in (member.reason, cleaned.reason):
        return
    grey = cleaned.grey
    if isinstance(grey, ImageError):
        _tell_of_no_grey(source, member, grey)
        grey = None
    pictures.put(source, member, grey)


def _tell_of_no_grey(source: Source, member: Member, error: ImageError) -> None:
    name = shown(member.name)
    _LOG.warning("No grey picture of %s in %s: %s", name, shown(source_name(source)), error)
