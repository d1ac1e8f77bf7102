"""A PDF file that is read: refused as a whole, or with its pictures. Runs in the child.

References:
    ISO 32000-1:2008: file structure in 7.5, signatures in 12.8, permissions in 12.8.4.
    C2PA 2.1, A.4 (PDF).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pikepdf

from demoire.imaging.pdf.drawn import ObjectId
from demoire.imaging.pdf.encryption import Encryption
from demoire.imaging.pdf.obstacles import whole_number
from demoire.imaging.pdf.opening import damaged, header_offset, opened_pdf, refusal
from demoire.imaging.pdf.picture import PdfRefusedError
from demoire.imaging.pdf.pictures_in_pdf import PicturesInPdf
from demoire.imaging.pdf.requests import RenewedObject, Trailer
from demoire.imaging.pdf.streams import renewed_object
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


class PdfDocument:
    """A file with the pictures that its pages draw.

    Attributes:
        pdf: What qpdf makes of it.
        pictures: Those that its pages draw.
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
        self.pictures = PicturesInPdf()
        self._highest = 0  # object number, where the trailer tells another one
        try:
            self.pictures.add_all(self.pdf)
        except pikepdf.PdfError as error:
            self._check_warnings()
            raise refusal(error, path) from error
        self._check_warnings()

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
        stream = self.pictures.stream(number)
        picture = renewed_object(stream, cleaned, self.encryption)
        thumbnails = self.pictures.thumbnails.renewed(stream, cleaned, self.encryption)
        return [picture, *thumbnails]

    def pages_without_thumbnails(
        self, numbers: Sequence[int], renewed: frozenset[ObjectId]
    ) -> list[RenewedObject]:
        """The pages that draw one of these pictures and hold an old thumbnail, without that.

        Args:
            numbers: Of the pictures.
            renewed: The thumbnails that were made anew.
        """
        changed = self.pictures.object_ids(numbers)
        return self.pictures.thumbnails.left_out(changed, renewed, self.encryption)

    def _check_warnings(self) -> None:
        """Refuse a file of which qpdf says what no update may follow."""
        for warning in self.pdf.get_warnings():
            if not _HARMLESS.search(warning):
                raise refusal(warning, self._path)
            highest = _HIGHEST.search(warning)
            if highest is not None:
                self._highest = int(highest[1])


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
