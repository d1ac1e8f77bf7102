"""A PDF file that is read: refused as a whole, or with its pictures. Runs in the child.

References:
    ISO 32000-1:2008: file structure in 7.5, signatures in 12.8, permissions in 12.8.4.
    C2PA 2.1, A.4 (PDF).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pikepdf

from demoire.errors import ImageError
from demoire.imaging.pdf.drawn import DrawnPicture, ObjectId, drawings_on, layered
from demoire.imaging.pdf.encryption import Encryption
from demoire.imaging.pdf.obstacles import masks_of, obstacle_of, whole_number
from demoire.imaging.pdf.opening import damaged, header_offset, opened_pdf, refusal
from demoire.imaging.pdf.picture import PdfPicture, PdfRefusedError
from demoire.imaging.pdf.requests import RenewedObject, Trailer
from demoire.imaging.pdf.streams import renewed_object
from demoire.imaging.pdf.thumbnails import Thumbnails
from demoire.reasons import Reason

_TAIL = 2048  # bytes at the end of a file, of which readers look for `startxref` in the last 1,024
_START = re.compile(rb"startxref\s+(\d+)")
_TABLE = b"xref"
_MOST_FIELDS = 100_000
# What qpdf remarks on in files that every reader takes, and that an update may follow.
_HARMLESS = re.compile(
    "xref entry for the xref stream itself is missing"
    "|is not one plus the highest object number"
    "|extraneous whitespace seen before xref"
    "|stream keyword followed by"
    "|MediaBox is undefined"
)
_HIGHEST = re.compile(r"is not one plus the highest object number \((\d+)\)")
# What a trailer says of its own section and of nothing else.
_OF_THE_SECTION = ("/Size", "/Prev", "/XRefStm", "/Type", "/W", "/Index", "/Length")
_OF_THE_STREAM = ("/Filter", "/DecodeParms")
_UNITS_AN_INCH = 72  # of a page, unless it has units of its own
_MOST_DPI = 100_000


class PdfDocument:
    """A file with the pictures that its pages draw.

    Attributes:
        pdf: What qpdf makes of it.
        pictures: In the order of their numbers.
        encryption: How it encrypts its objects; None where it does not.
    """

    def __init__(self, path: Path, passwords: Sequence[bytes] = ()) -> None:
        """Read a file.

        Args:
            path: The file.
            passwords: What it is tried with if it is encrypted.

        Raises:
            PdfRefusedError: It is copied as a whole.
        """
        self._path = path
        self.pdf = opened_pdf(path, passwords)
        self.encryption = Encryption.of(self.pdf) if self.pdf.is_encrypted else None
        if _is_signed(self.pdf):
            raise PdfRefusedError(
                Reason.SIGNED, "The PDF is signed, and any change would break the signature."
            )
        self.pictures: list[PdfPicture] = []
        self._streams: list[Any] = []
        self._thumbnails = Thumbnails()
        self._highest = 0  # object number, where the trailer tells another one
        try:
            self._list_pictures()
        except pikepdf.PdfError as error:
            self._check_warnings()
            raise refusal(error, path) from error
        self._check_warnings()

    def stream(self, number: int) -> Any:
        """The object of the picture of this number.

        Raises:
            ImageError: The picture is left as it is, or there is none of this number.
        """
        if not 1 <= number <= len(self.pictures):
            raise ImageError(Reason.UNREADABLE, f"The PDF has no picture {number}.")
        picture = self.pictures[number - 1]
        if picture.reason is not None:
            raise ImageError(picture.reason, f"Picture {number} is {picture.reason.meaning}.")
        return self._streams[number - 1]

    def trailer(self) -> Trailer:
        """What an update has to repeat.

        Raises:
            PdfRefusedError: The newest cross-reference section is not where it should be.
        """
        start = header_offset(self._path)
        previous, has_table = _newest_section(self._path, start)
        entries = self.pdf.trailer.copy()
        objects = max(whole_number(entries, "/Size"), self._highest + 1)
        for key in _OF_THE_SECTION if has_table else (*_OF_THE_SECTION, *_OF_THE_STREAM):
            if key in entries:
                del entries[key]
        text = entries.unparse().removeprefix(b"<<").removesuffix(b">>").strip()
        return Trailer(text, objects, previous, has_table, self.pdf.is_linearized, start)

    def renewed(self, number: int, cleaned: bytes) -> list[RenewedObject]:
        """The object of a picture with other pixels, and the thumbnails that show it.

        Args:
            number: Of the picture.
            cleaned: Its carved file, cleaned.

        Raises:
            ImageError: The picture is left as it is, or the file is none of it.
        """
        stream = self.stream(number)
        picture = renewed_object(stream, cleaned, self.encryption)
        return [picture, *self._thumbnails.renewed(stream, cleaned, self.encryption)]

    def pages_without_thumbnails(
        self, numbers: Sequence[int], renewed: frozenset[ObjectId]
    ) -> list[RenewedObject]:
        """The pages that draw one of these pictures and hold an old thumbnail, without that.

        Args:
            numbers: Of the pictures.
            renewed: The thumbnails that were made anew.
        """
        changed = frozenset(self._streams[number - 1].objgen for number in numbers)
        return self._thumbnails.left_out(changed, renewed, self.encryption)

    def _check_warnings(self) -> None:
        """Refuse a file of which qpdf says what no update may follow."""
        for warning in self.pdf.get_warnings():
            if not _HARMLESS.search(warning):
                raise refusal(warning, self._path)
            highest = _HIGHEST.search(warning)
            if highest is not None:
                self._highest = int(highest[1])

    def _list_pictures(self) -> None:
        seen: dict[ObjectId, int] = {}
        masks: set[ObjectId] = set()
        for page_number, page in enumerate(self.pdf.pages, start=1):
            drawings = drawings_on(page)
            in_layers = layered(drawings)
            self._thumbnails.add(page, drawings)
            on_page = 0
            inch = _UNITS_AN_INCH / _unit_of(page)
            for drawing in drawings:
                index = seen.get(drawing.object_id)
                if index is None:
                    on_page += 1
                    seen[drawing.object_id] = len(self.pictures)
                    index = len(self.pictures)
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
            number=len(self.pictures) + 1,
            page=page,
            on_page=on_page,
            width=width,
            height=height,
            size=whole_number(stream, "/Length"),
            megapixels=width * height / 1e6,
            reason=obstacle_of(stream),
            dpi=_resolution(width, drawing.across / inch),
        )
        self.pictures.append(picture)
        self._streams.append(stream)

    def _mark_as_layered(self, index: int) -> None:
        picture = self.pictures[index]
        if picture.reason is None:
            self.pictures[index] = replace(picture, reason=Reason.LAYERED_PAGE)


def _unit_of(page: pikepdf.Page) -> float:
    """The unit of a page, in 1/72 inch."""
    unit = page.obj.get("/UserUnit", 1)
    is_sound = isinstance(unit, int | Decimal) and unit > 0
    return float(unit) if is_sound else 1.0


def _resolution(width: int, inches: float) -> float | None:
    """Pixels an inch; None where a picture is drawn so small or so large that it says nothing."""
    if not 0 < inches < math.inf:
        return None
    dpi = round(width / inches, 2)
    return dpi if 0 < dpi <= _MOST_DPI else None


def _newest_section(path: Path, start: int) -> tuple[int, bool]:
    """Offset of the newest cross-reference section, and whether it is a table.

    Args:
        path: The file.
        start: From which byte of it offsets count.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL))
        starts = _START.findall(file.read())
        if not starts:
            raise damaged("no startxref")
        offset = int(starts[-1])
        file.seek(start + offset)
        beginning = file.read(_TAIL).lstrip()
    return offset, beginning.startswith(_TABLE)


# Signatures


def _is_signed(pdf: pikepdf.Pdf) -> bool:
    permissions = pdf.Root.get("/Perms")
    if isinstance(permissions, pikepdf.Dictionary) and len(permissions.keys()):
        return True
    for field in _fields(pdf.Root.get("/AcroForm")):
        value = field.get("/V")
        if isinstance(value, pikepdf.Dictionary) and "/ByteRange" in value:
            return True
    return _has_manifest(pdf.Root.get("/AF"))


def _fields(form: Any) -> Iterator[Any]:
    """The fields of a form, with those below them."""
    if not isinstance(form, pikepdf.Dictionary):
        return
    waiting = [form.get("/Fields")]
    looked_at = 0
    while waiting:
        fields = waiting.pop()
        if not isinstance(fields, pikepdf.Array):
            continue
        for field in fields:
            looked_at += 1
            if looked_at > _MOST_FIELDS:
                raise damaged("fields without end")
            if isinstance(field, pikepdf.Dictionary):
                yield field
                waiting.append(field.get("/Kids"))


def _has_manifest(files: Any) -> bool:
    """Whether one of the associated files is a manifest of C2PA."""
    if not isinstance(files, pikepdf.Array):
        return False
    for file in files:
        is_dictionary = isinstance(file, pikepdf.Dictionary)
        if is_dictionary and str(file.get("/AFRelationship")) == "/C2PA_Manifest":
            return True
    return False
