"""A PDF file that is opened, by a password if it needs one, or refused; and one that is written as
a whole. Runs in the child.

References:
    ISO 32000-1:2008: encryption in 7.6, what it permits in 7.6.3.2.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pikepdf

from demoire.imaging.pdf.encryption import Encryption
from demoire.imaging.pdf.picture import PdfRefusedError
from demoire.reasons import Reason

_SIGNATURE = b"%PDF-"
_BEGINNING = 1024  # bytes in which readers look for it
# How qpdf says that a stream unpacks to more than it may (`serving`).
_BEYOND_LIMIT = "memory limit exceeded"


def damaged(what: object) -> PdfRefusedError:
    """The error for a file that can only be read with repairs, if at all."""
    return PdfRefusedError(
        Reason.DAMAGED_DOCUMENT,
        f"The PDF is damaged ({what}); repair a copy of it with `qpdf IN OUT`, and clean that.",
    )


def refusal(complaint: object, path: Path) -> PdfRefusedError:
    """The error for a file of which qpdf says this."""
    if _BEYOND_LIMIT in str(complaint):
        return PdfRefusedError(
            Reason.COMPRESSION_BOMB,
            "A stream of the PDF unpacks to so much that it is taken for a trap; look at it.",
        )
    return damaged(str(complaint).replace(str(path), "the file"))


def header_offset(path: Path) -> int:
    """How many bytes stand before a file's header: what a mail or a server has left there.

    All offsets in the file count from the header.

    Raises:
        PdfRefusedError: It has none.
    """
    with path.open("rb") as file:
        offset = file.read(_BEGINNING).find(_SIGNATURE)
    if offset < 0:
        raise damaged("no header")
    return offset


def opened_pdf(path: Path, passwords: Sequence[bytes]) -> pikepdf.Pdf:
    """A file that qpdf reads without repairs, and that may be changed.

    A file that anyone can open may still forbid changes, to all who do not know its owner's
    password. It counts as locked unless one of the passwords opens it.
    """
    header_offset(path)
    for password in (b"", *_spellings(passwords)):
        pdf = _unlocked(path, password)
        if pdf is None:
            continue
        if not pdf.is_encrypted:
            return pdf
        may_be_changed = password != b"" or pdf.owner_password_matched or pdf.allow.modify_other
        if may_be_changed and Encryption.of(pdf) is not None:
            return pdf
        pdf.close()
    raise _encrypted()


def _spellings(passwords: Sequence[bytes]) -> Iterator[bytes]:
    """Each password as it is, and as older encryption spells it: in Latin letters of one byte."""
    for password in passwords:
        yield password
        with suppress(UnicodeError):
            older = password.decode("utf-8").encode("latin-1")
            if older != password:
                yield older


def _unlocked(path: Path, password: bytes) -> pikepdf.Pdf | None:
    """A file opened with this password; None where it wants another."""
    try:
        return pikepdf.open(path, password=password, attempt_recovery=False)
    except pikepdf.PasswordError:
        return None
    except pikepdf.PdfError as error:
        if "encrypt" in str(error).lower():
            raise _encrypted() from error
        raise refusal(error, path) from error


def _encrypted() -> PdfRefusedError:
    return PdfRefusedError(
        Reason.ENCRYPTED,
        "The PDF is encrypted, or forbids changes: give its password (--pdf-password-file).",
    )


def write_anew(pdf: pikepdf.Pdf, target: Path, *, linearize: bool) -> None:
    """Write the file without what its updates replaced. Streams keep their packed bytes.

    In an encrypted file, streams in another coding than that of pictures or deflate are
    deflated: qpdf does not leave them alone while it keeps the encryption.

    Args:
        pdf: The file, with its updates.
        target: An empty file.
        linearize: Whether to linearize it.
    """
    is_encrypted = pdf.is_encrypted
    level = None if is_encrypted else pikepdf.StreamDecodeLevel.none
    with target.open("r+b") as out:
        pdf.save(
            out,
            fix_metadata_version=False,
            compress_streams=is_encrypted,
            stream_decode_level=level,
            object_stream_mode=pikepdf.ObjectStreamMode.preserve,
            linearize=linearize,
            encryption=is_encrypted,
            deterministic_id=not is_encrypted,  # qpdf has one or the other
        )
