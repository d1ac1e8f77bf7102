"""Grey pictures of the black and white images of a unit, where the job asks for them.

The Cleaner makes them. Black and white pictures in PDFs are not read as a rule, since they stay as
they are; for their grey pictures they are, and their rows in the report stay the same.
"""

import logging
from typing import TYPE_CHECKING

from demoire.errors import ImageError
from demoire.reasons import Reason
from pipelines.destination.grey_pictures import GreyPictures
from pipelines.names import shown
from pipelines.records import Member, Source
from pipelines.rows import source_name

if TYPE_CHECKING:
    from demoire.cleaning.result import Cleaned

_LOG = logging.getLogger(__name__)


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
        tell_of_no_grey(source, member, grey)
        grey = None
    pictures.put(source, member, grey)


def tell_of_no_grey(source: Source, member: Member, error: ImageError) -> None:
    """Tell in the log that an image has no grey picture, and why."""
    name = shown(member.name)
    _LOG.warning("No grey picture of %s in %s: %s", name, shown(source_name(source)), error)
