"""What is known of a picture in a PDF before it is carved out."""

from dataclasses import dataclass

from demoire.errors import ImageError
from demoire.reasons import Reason


@dataclass(frozen=True)
class PdfPicture:
    """One picture object that a page draws.

    Attributes:
        number: From 1 over the whole file, in the order in which the pages draw them. A picture
            that is drawn several times has one number, from where it is first drawn.
        page: The page where it is first drawn, from 1.
        on_page: From 1 among those that are first drawn on this page.
        width: px.
        height: px.
        size: Bytes of its stream.
        megapixels: MP.
        reason: Why it is left as it is; None if it can be carved out.
        dpi: Its pixels an inch of the page where it is first drawn; None where that has no size.
        dpi_along: The same along its height.
    """

    number: int
    page: int
    on_page: int
    width: int
    height: int
    size: int
    megapixels: float
    reason: Reason | None
    dpi: float | None = None
    dpi_along: float | None = None


class PdfRefusedError(ImageError):
    """A PDF that is copied as a whole, because it cannot be read or must not be changed."""


def not_of_this_picture() -> ImageError:
    """The error for a cleaned file that cannot take a picture's place."""
    return ImageError(
        Reason.ENCODE_FAILED, "The cleaned file is not one of the picture in the PDF."
    )
