"""Whether text is read as well after cleaning as before: by tesseract, as archives read pages.

The measure is the character error rate: edits (a letter put in, taken out or exchanged) that lead
from what was read to the true text, a true character. The true text is that of NAME_text.txt beside
the pair; where there is none, it is what tesseract reads in the clean twin. White space counts as
one space each.

Tesseract is a program of its own; distributions have it, and a package for each language. Costs
three readings a pair, of a second a megapixel each.
"""

import subprocess
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned
from demoire.errors import UsageError
from demoire.imaging.rgb import decode_rgb
from demoire.progress import Progress, in_silence
from pipelines.evaluation.evaluate import clean_pairs
from pipelines.evaluation.folder import PairFiles, read_pairs, read_picture
from pipelines.names import shown

_PROGRAM = "tesseract"
_LONGEST_READING = 600  # seconds, of one page
_LONGEST_COMPLAINT = 200  # characters of what tesseract says


@dataclass(frozen=True)
class PageText:
    """One pair, and how its text is read.

    Attributes:
        name: Of the pair.
        characters: Of the true text, at least 1.
        error_before: Character error rate of the page with moiré, 0 where all is read.
        error_after: Of the cleaned page.
        status: What became of it: cleaned, copied or quarantined.
        reason: Why it was not cleaned.
    """

    name: str
    characters: int
    error_before: float
    error_after: float
    status: str
    reason: str | None


@dataclass(frozen=True)
class TextEvaluation:
    """How the text of a folder of pages is read, before and after cleaning.

    Attributes:
        language: As tesseract calls it.
        pages: By name, at least one.
        without_text: Names of pages in which there is no text to read.
    """

    language: str
    pages: tuple[PageText, ...]
    without_text: tuple[str, ...]

    @property
    def error_before(self) -> float:
        """Mean character error rate of the pages with moiré."""
        return sum(page.error_before for page in self.pages) / len(self.pages)

    @property
    def error_after(self) -> float:
        """Mean character error rate of the cleaned pages."""
        return sum(page.error_after for page in self.pages) / len(self.pages)

    @property
    def no_worse(self) -> float:
        """Share of the pages that are read as well as before, or better."""
        as_well = [page for page in self.pages if page.error_after <= page.error_before]
        return len(as_well) / len(self.pages)

    def to_json(self) -> dict[str, Any]:
        """The document of `demoire evaluate --ocr LANGUAGE --json`."""
        return {
            "ocr": self.language,
            "pages": [asdict(page) for page in self.pages],
            "without_text": list(self.without_text),
            "error_before": self.error_before,
            "error_after": self.error_after,
            "no_worse": self.no_worse,
        }


def evaluate_text(
    folder: Path, cleaner: Cleaner, language: str, progress: Progress = in_silence
) -> TextEvaluation:
    """Measure how a cleaner changes what is read of pages.

    Args:
        folder: See `pipelines.evaluation.folder`; pictures without a twin are passed by.
        cleaner: What is measured, at its own threshold.
        language: One that tesseract has, or several with '+' between them.
        progress: Told how many pages have been read, of how many.

    Raises:
        UsageError: Tesseract or its language is not there, or the folder holds no pairs, none with
            text, or is not in order.
    """
    _check_language(language)
    files = read_pairs(folder, "--ocr reads")
    pages: list[PageText] = []
    without_text: list[str] = []
    for pair, cleaned in clean_pairs(files, cleaner):
        page = _read_page(pair, cleaned, language)
        if page is None:
            without_text.append(pair.name)
        else:
            pages.append(page)
        progress("reading", len(pages) + len(without_text), len(files))
    if not pages:
        raise UsageError(
            f"No text can be read in the clean pictures of {shown(str(folder))}: "
            "is --ocr the language of its pages?"
        )
    pages.sort(key=lambda page: page.name)
    return TextEvaluation(language, tuple(pages), tuple(sorted(without_text)))


def character_error(read: str, truth: str) -> float:
    """Edits that lead from what was read to the truth, a character of the truth."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(read, truth) / len(truth)


def _read_page(pair: PairFiles, cleaned: Cleaned, language: str) -> PageText | None:
    """How the text of one pair is read; None where it has none."""
    truth = _true_text(pair, language)
    if not truth:
        return None
    text_before = _read_text(read_picture(pair.moire), language)
    text_after = text_before
    if cleaned.status == "cleaned":
        text_after = _read_text(decode_rgb(cleaned.data), language)
    return PageText(
        name=pair.name,
        characters=len(truth),
        error_before=character_error(text_before, truth),
        error_after=character_error(text_after, truth),
        status=cleaned.status,
        reason=cleaned.reason,
    )


def _true_text(pair: PairFiles, language: str) -> str:
    path = pair.moire.with_name(f"{pair.name}_text.txt")
    try:
        return _plain(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _read_text(read_picture(pair.clean), language)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{shown(str(path))} cannot be read as UTF-8: mend it or take it out of the folder."
        ) from error


def _read_text(picture: NDArray[np.uint8], language: str) -> str:
    """The text that tesseract reads in a picture, (H, W, 3) sRGB."""
    _, png = cv2.imencode(".png", picture[..., ::-1])
    text = _tesseract(["stdin", "stdout", "-l", language], png.tobytes())
    return _plain(text)


def _check_language(language: str) -> None:
    """Raise UsageError unless tesseract is there and has the language."""
    names = _tesseract(["--list-langs"]).splitlines()[1:]  # the first line tells where they are
    missing = [name for name in language.split("+") if name not in names]
    if missing:
        raise UsageError(
            f"Tesseract has no language '{', '.join(missing)}', only {', '.join(names)}: install "
            f"it (Debian: tesseract-ocr-{missing[0]}), or give another one with --ocr."
        )


def _tesseract(words: Sequence[str], given: bytes = b"") -> str:
    """What tesseract answers.

    Raises:
        UsageError: It is not installed, or cannot read the picture.
    """
    try:
        done = subprocess.run(
            [_PROGRAM, *words], input=given, capture_output=True, timeout=_LONGEST_READING
        )
    except FileNotFoundError:
        raise UsageError(
            "Tesseract, which --ocr reads with, is not installed (Debian: tesseract-ocr)."
        ) from None
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"Tesseract has read one page for {_LONGEST_READING} s: take the largest pages out of "
            "the folder."
        ) from error
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip()[-_LONGEST_COMPLAINT:]
        raise UsageError(f"Tesseract failed: {shown(complaint)}.")
    return done.stdout.decode(errors="replace")


def _plain(text: str) -> str:
    """Text with one form of each letter, and one space where there is white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())
