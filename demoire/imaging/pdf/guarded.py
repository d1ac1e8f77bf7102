"""The pictures of a PDF file, read by a process that may die of it.

A child keeps the last file that it read, so that carving one picture after the other parses the
file once. Each request has limits of time and memory; a child that breaks them is ended.

All paths are those of local files.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO

from demoire.errors import ImageError
from demoire.imaging.child import Children
from demoire.imaging.pdf.cleaned_file import essence
from demoire.imaging.pdf.passwords import passwords_in_use
from demoire.imaging.pdf.picture import PdfPicture, PdfRefusedError
from demoire.imaging.pdf.requests import (
    CarvePicture,
    ListPictures,
    Mistake,
    Question,
    ReadTrailer,
    RenewPages,
    RenewPicture,
    Request,
    Trailer,
    WriteAnew,
)
from demoire.imaging.pdf.update import IncrementalUpdate
from demoire.reasons import Reason
from demoire.temporary_files import new_temporary_folder

# How long a child may take: pages with text on them are read at some 250 a second on an
# idle core, and a machine may have far more to do.
_SECONDS = 300.0
_SECONDS_A_MEGABYTE = 1.0
_COPIED_AT_ONCE = 1 << 20  # bytes

_LOG = logging.getLogger(__name__)

pdf_readers = Children("demoire.imaging.pdf.serving", "serve_pdf")


def pictures_of(path: Path) -> list[PdfPicture]:
    """The pictures that a file's pages draw.

    Masks are no pictures of their own, nor are pictures that stand within a page's content.

    Args:
        path: The file.

    Raises:
        PdfRefusedError: The file is encrypted, signed, damaged or a trap.
        MachineError: No process can be started to read it in.
    """
    pictures: list[PdfPicture] = _ask(ListPictures(path))
    return pictures


def carve(path: Path, number: int) -> bytes:
    """A picture as a file of its own, which the codecs read.

    A JPEG or JPEG 2000 stream is that file. Grey and RGB samples in another compression become a
    PNG file. Both get the colour profile that the PDF has for the picture, if they have none. A
    black and white picture becomes a PNG file of 1 bit.

    Args:
        path: The PDF file.
        number: Of a picture that has no reason to be left alone, or the reason `bilevel`.

    Raises:
        ImageError: The picture cannot be carved out. PdfRefusedError where the file is to blame.
        MachineError: No process can be started to read it in.
    """
    data: bytes = _ask(CarvePicture(path, number))
    return data


def put_pictures(
    path: Path,
    out: BinaryIO,
    numbers: Collection[int],
    cleaned: Callable[[int], bytes],
    *,
    rewrite: bool = False,
) -> None:
    """Copy a file and append one incremental update, in which some pictures have other pixels.

    To write the file anew, the same is done in a temporary file, of which qpdf then writes what is
    in use. Each picture is carved out of the result again and held against what was to be put
    there.

    Args:
        path: The PDF file.
        out: A file on disk, open for reading and writing. After an error it is of no use.
        numbers: Of the pictures.
        cleaned: The cleaned file of a picture, by its number; asked for once, in ascending order.
        rewrite: Write the file anew instead, without the pictures as they were.

    Raises:
        PdfRefusedError: A picture cannot be put back faithfully.
        MachineError: No process can be started to read the files in.
    """
    before = pictures_of(path)
    if not numbers:
        _copy(path, out)
        return
    trailer: Trailer = _ask(ReadTrailer(path))
    if not rewrite:
        digests = _append(path, trailer, out, numbers, cleaned)
    else:
        target = Path(out.name)
        with new_temporary_folder() as folder:
            updated = folder / "updated.pdf"
            with updated.open("w+b") as file:
                digests = _append(path, trailer, file, numbers, cleaned)
            _ask(WriteAnew(updated, target, trailer.is_linearized))
    _check_result(Path(out.name), before, digests)


def _copy(path: Path, out: BinaryIO) -> None:
    with path.open("rb") as original:
        shutil.copyfileobj(original, out, _COPIED_AT_ONCE)


def _append(
    path: Path,
    trailer: Trailer,
    out: BinaryIO,
    numbers: Collection[int],
    cleaned: Callable[[int], bytes],
) -> dict[int, bytes]:
    """Copy a file with an update behind it; the digests of the pictures that were put in."""
    _copy(path, out)
    update = IncrementalUpdate(out, trailer)
    digests: dict[int, bytes] = {}
    renewed_thumbnails: set[tuple[int, int]] = set()
    for number in sorted(numbers):
        data = cleaned(number)
        digests[number] = _digest(data)
        try:
            picture, *thumbnails = _ask(RenewPicture(path, number, data))
        except ImageError as error:
            raise PdfRefusedError(error.reason, str(error)) from error
        update.add(picture)
        for thumbnail in thumbnails:
            update.add(thumbnail)
            renewed_thumbnails.add((thumbnail.number, thumbnail.generation))
    pages = RenewPages(path, tuple(sorted(numbers)), frozenset(renewed_thumbnails))
    for page in _ask(pages):
        update.add(page)
    update.finish()
    return digests


def _check_result(result: Path, before: list[PdfPicture], digests: dict[int, bytes]) -> None:
    """Raise PdfRefusedError unless the result holds all pictures, and the changed ones as meant."""
    try:
        after = pictures_of(result)
        is_as_meant = _without_sizes(after) == _without_sizes(before)
        for number, digest in digests.items():
            is_as_meant = is_as_meant and _digest(carve(result, number)) == digest
    except ImageError as error:
        raise PdfRefusedError(
            Reason.ENCODE_FAILED, f"The PDF with cleaned pictures cannot be read again: {error}"
        ) from error
    if not is_as_meant:
        raise PdfRefusedError(
            Reason.ENCODE_FAILED, "The PDF with cleaned pictures is read again as another one."
        )


def _without_sizes(pictures: list[PdfPicture]) -> list[tuple[object, ...]]:
    facts: list[tuple[object, ...]] = []
    for picture in pictures:
        facts.append((picture.page, picture.width, picture.height, picture.reason))
    return facts


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(essence(data)).digest()


def _ask(request: Request) -> Any:
    """What a child answers."""
    seconds = _SECONDS + _SECONDS_A_MEGABYTE * request.path.stat().st_size / 1e6
    with pdf_readers.lend() as child:
        try:
            child.pipe.send(Question(request, passwords_in_use()))
            if not child.answers_within(seconds):
                raise PdfRefusedError(
                    Reason.DECODER_LIMIT,
                    f"The PDF was not read after {seconds:.0f} s; look at the file.",
                )
            answer = child.pipe.recv()
        except (EOFError, OSError) as error:
            raise PdfRefusedError(
                Reason.NATIVE_CRASH, "The reader died of this PDF; look at it by hand."
            ) from error
    if isinstance(answer, ImageError):
        raise answer
    if isinstance(answer, Mistake):
        _LOG.error("A PDF file was not read because of a mistake in demoire:\n%s", answer.traceback)
        raise PdfRefusedError(
            Reason.DECODE_FAILED, "Reading the PDF failed by a mistake in this program; report it."
        )
    return answer
