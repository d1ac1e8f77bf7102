"""The pictures that the pages of a PDF draw, by their numbers, and their objects. In the child."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pikepdf

from demoire.errors import ImageError
from demoire.imaging.pdf.bilevel import bilevel_file
from demoire.imaging.pdf.drawn import DrawnPicture, ObjectId, drawings_on, layered
from demoire.imaging.pdf.obstacles import masks_of, obstacle_of, whole_number
from demoire.imaging.pdf.picture import PdfPicture
from demoire.imaging.pdf.streams import carved
from demoire.imaging.pdf.thumbnails import Thumbnails
from demoire.reasons import Reason

_UNITS_AN_INCH = 72  # of a page, unless it has units of its own
_MOST_DPI = 100_000


class PicturesInPdf:
    """All of them.

    Attributes:
        listed: In the order of their numbers.
        thumbnails: Those of the pages.
    """

    def __init__(self) -> None:
        """There is none yet."""
        self.listed: list[PdfPicture] = []
        self.thumbnails = Thumbnails()
        self._streams: list[Any] = []

    def picture(self, number: int) -> PdfPicture:
        """The picture of this number.

        Raises:
            ImageError: There is none.
        """
        if not 1 <= number <= len(self.listed):
            raise ImageError(Reason.UNREADABLE, f"The PDF has no picture {number}.")
        return self.listed[number - 1]

    def carved(self, number: int) -> bytes:
        """The picture of this number as a file of its own, which the codecs read.

        Raises:
            ImageError: It is left as it is and not black and white, or it cannot be carved out.
        """
        picture = self.picture(number)
        if picture.reason is Reason.BILEVEL:
            return bilevel_file(self._streams[number - 1], picture)
        return carved(self.stream(number))

    def stream(self, number: int) -> Any:
        """The object of the picture of this number, which is to be changed.

        Raises:
            ImageError: The picture is left as it is, or there is none of this number.
        """
        picture = self.picture(number)
        if picture.reason is not None:
            raise ImageError(picture.reason, f"Picture {number} is {picture.reason.meaning}.")
        return self._streams[number - 1]

    def object_ids(self, numbers: Sequence[int]) -> frozenset[ObjectId]:
        """The objects of the pictures of these numbers."""
        return frozenset(self._streams[number - 1].objgen for number in numbers)

    def add_all(self, pdf: pikepdf.Pdf) -> None:
        """Add what the pages of a file draw, page by page.

        Raises:
            PdfRefusedError: A page draws so much that it must be a trap.
        """
        seen: dict[ObjectId, int] = {}
        masks: set[ObjectId] = set()
        for page_number, page in enumerate(pdf.pages, start=1):
            drawings = drawings_on(page)
            in_layers = layered(drawings)
            self.thumbnails.add(page, drawings)
            on_page = 0
            inch = _UNITS_AN_INCH / _unit_of(page)
            for drawing in drawings:
                index = seen.get(drawing.object_id)
                if index is None:
                    on_page += 1
                    seen[drawing.object_id] = len(self.listed)
                    index = len(self.listed)
                    self._add(drawing, page_number, on_page, inch)
                if drawing.object_id in in_layers:
                    self._mark_as_layered(index)
                masks.update(mask.objgen for mask in masks_of(drawing.stream))
        for mask in masks & seen.keys():
            # As a mask it decides what is seen of another picture.
            self._mark_as_layered(seen[mask])

    def _add(self, drawing: DrawnPicture, page: int, on_page: int, inch: float) -> None:
        stream = drawing.stream
        width = whole_number(stream, "/Width")
        height = whole_number(stream, "/Height")
        picture = PdfPicture(
            number=len(self.listed) + 1,
            page=page,
            on_page=on_page,
            width=width,
            height=height,
            size=whole_number(stream, "/Length"),
            megapixels=width * height / 1e6,
            reason=Reason.MODE_NOT_CLEANED if drawing.is_inked else obstacle_of(stream),
            dpi=_resolution(width, drawing.across / inch),
            dpi_along=_resolution(height, drawing.along / inch),
        )
        self.listed.append(picture)
        self._streams.append(stream)

    def _mark_as_layered(self, index: int) -> None:
        picture = self.listed[index]
        if picture.reason is None:
            self.listed[index] = replace(picture, reason=Reason.LAYERED_PAGE)


def _unit_of(page: pikepdf.Page) -> float:
    """The unit of a page, in 1/72 inch."""
    unit = page.obj.get("/UserUnit", 1)
    is_sound = isinstance(unit, int | Decimal) and unit > 0
    return float(unit) if is_sound else 1.0


def _resolution(pixels: int, inches: float) -> float | None:
    """Pixels an inch; None where a picture is drawn so small or so large that it says nothing."""
    if not 0 < inches < math.inf:
        return None
    dpi = round(pixels / inches, 2)
    return dpi if 0 < dpi <= _MOST_DPI else None
