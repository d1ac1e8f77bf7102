"""The main function of the child that reads PDF files.

qpdf's limits keep it from unpacking a trap; the limit of memory is for what they do not cover.
"""

import resource
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pikepdf

from demoire.errors import ImageError
from demoire.imaging.pdf.document import PdfDocument
from demoire.imaging.pdf.obstacles import WrongTypeError
from demoire.imaging.pdf.opening import refusal, write_anew
from demoire.imaging.pdf.picture import PdfRefusedError
from demoire.imaging.pdf.requests import (
    CarvePicture,
    ListPictures,
    Mistake,
    Question,
    ReadTrailer,
    RenewPages,
    WriteAnew,
)
from demoire.reasons import Reason

# Memory of the child: for itself and a file's objects, and some copies of a picture's samples.
_MEMORY = 1 << 30
_COPIES = 4
_BYTES_A_PIXEL = 6  # RGB of 16 bits
_MOST_UNPACKED = 128 << 20  # bytes that a stream of objects or of content may unpack to
_MOST_WARNINGS = 100


def serve_pdf(descriptor: int) -> None:
    """Answer what comes down the pipe until it is closed."""
    pipe = Connection(descriptor)
    reader = _Reader()
    _set_limits(_MOST_UNPACKED)
    pikepdf.settings.set_qpdf_limits(doc_max_warnings=_MOST_WARNINGS)
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        pipe.send(reader.answer(question))


def _set_limits(most_unpacked: int, more_memory: int = 0) -> None:
    """Say how much qpdf may unpack a stream to, and how much memory there is."""
    most = min(most_unpacked, (1 << 32) - 1)
    pikepdf.settings.set_qpdf_limits(
        flate_max_memory=most,
        run_length_max_memory=most,
        png_max_memory=most,
        tiff_max_memory=most,
    )
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY + more_memory, resource.RLIM_INFINITY))


class _Reader:
    """Answers requests, and keeps the last file for the next one."""

    def __init__(self) -> None:
        self._document: PdfDocument | None = None
        self._version: tuple[object, ...] | None = None

    def answer(self, question: Question) -> Any:
        """What was asked for, or an ImageError, or a Mistake."""
        try:
            return self._answer(question)
        except ImageError as error:
            return error
        except MemoryError:
            return PdfRefusedError(
                Reason.DECODER_LIMIT, "The PDF wants more memory than any should; look at it."
            )
        except (pikepdf.PikepdfError, WrongTypeError) as error:
            return refusal(error, question.request.path)
        except Exception:
            return Mistake(traceback.format_exc())

    def _answer(self, question: Question) -> Any:
        request = question.request
        document = self._read(request.path, question.passwords)
        if isinstance(request, ListPictures):
            return document.pictures.listed
        if isinstance(request, ReadTrailer):
            return document.trailer()
        if isinstance(request, RenewPages):
            return document.pages_without_thumbnails(request.numbers, request.renewed)
        if isinstance(request, WriteAnew):
            write_anew(document.pdf, request.target, linearize=request.linearize)
            return None
        picture = document.pictures.picture(request.number)
        unpacked = round(picture.megapixels * 1e6 * _BYTES_A_PIXEL)
        _set_limits(_MOST_UNPACKED + unpacked, _COPIES * (picture.size + unpacked))
        try:
            if isinstance(request, CarvePicture):
                return document.pictures.carved(request.number)
            return document.renewed(request.number, request.cleaned)
        finally:
            _set_limits(_MOST_UNPACKED)

    def _read(self, path: Path, passwords: tuple[bytes, ...]) -> PdfDocument:
        status = path.stat()
        version = (path, passwords, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._document is None or version != self._version:
            self._document = None  # frees the last one's memory first
            self._document = PdfDocument(path, passwords)
            self._version = version
        return self._document
