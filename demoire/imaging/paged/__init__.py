"""Files of several pages: each image inside is cleaned as a file of its own, and put back.

To add a format, write a class with the methods of `PagedFormat` and name it in `_FORMATS`.
"""

from demoire.imaging.paged.paged_format import PagedFormat
from demoire.imaging.paged.pdf_pictures import PdfPictures
from demoire.imaging.paged.tiff_pages import TiffPages

_FORMATS: tuple[PagedFormat, ...] = (TiffPages(), PdfPictures())

PAGED_SUFFIXES = frozenset().union(*(one.suffixes for one in _FORMATS))


def paged_format(suffix: str) -> PagedFormat | None:
    """The format of files whose names end so, such as '.tif'; None if they have no pages."""
    for one in _FORMATS:
        if suffix in one.suffixes:
            return one
    return None
