"""Grey pictures of the black and white images of a unit, where the job asks for them."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from demoire.errors import ImageError
from demoire.reasons import Reason
from pipelines.destination.grey_pictures import GreyPictures
from pipelines.records import Source
from pipelines.rows import Outcome, as_text, source_name

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner

_LOG = logging.getLogger(__name__)


def make_grey_pictures(
    cleaner: "Cleaner",
    source: Source,
    payloads: Sequence[bytes | None],
    outcomes: Sequence[Outcome],
    pictures: GreyPictures,
) -> None:
    """Make and keep them, one at a time; nothing where the cleaner is not to make any.

    One that cannot be made is told in the log: its image is copied all the same.

    Args:
        cleaner: Makes them.
        source: What the images are in.
        payloads: Each image of the unit, or None where it could not be read.
        outcomes: What became of each.
        pictures: Where they are kept.
    """
    if cleaner.config.bilevel != "grey":
        return
    for payload, outcome in zip(payloads, outcomes, strict=True):
        if payload is None or outcome.row.reason != Reason.BILEVEL:
            continue
        try:
            grey = cleaner.descreen(payload)
        except ImageError as error:
            name = as_text(outcome.member.name)
            _LOG.warning("No grey picture of %s in %s: %s", name, source_name(source), error)
            grey = None
        pictures.put(source, outcome.member, grey)
