"""Whether text is read as well after cleaning as before: by tesseract, as archives read pages.

The measure is the character error rate: edits (a letter put in, taken out or exchanged) that lead
from what was read to the true text, a true character. The true text is that of NAME_text.txt beside
the pair; where there is none, it is what tesseract reads in the clean twin. White space counts as
one space each.

What tesseract reads in a page hangs on single pixels: of the same photographed page, moved by one,
it has misread a tenth of the characters and then a third. So a page whose error grows is read again
as it was, as it is, and as its twin without moiré, moved by a pixel or two. It is surely worse if
it is read worse than both in each of five readings. Chance alone does that to few pages, and where
the twin is read no better, cleaning is not what spoilt it. Both figures are given.

Costs three readings a pair, and up to thirteen more of one that is read worse; each takes about a
second a megapixel.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned
from demoire.errors import UsageError
from demoire.progress import Progress, in_silence
from pipelines.evaluation.evaluate import clean_pairs, pixels_after
from pipelines.evaluation.folder import PairFiles, read_pairs, read_picture
from pipelines.evaluation.tesseract import as_plain_text, check_language, read_text
from pipelines.names import shown

# px, down and to the right, by which pages are moved whose error grows.
_MOVES = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2))


@dataclass(frozen=True)
class TextErrors:
    """How a page is read before and after.

    Attributes:
        before: Character error rate of the page as it was, 0 where all is read.
        after: Of the page as it is.
        surely_worse: Whether the page is read worse than before, and than its twin without moiré,
            in each of five readings.
    """

    before: float
    after: float
    surely_worse: bool


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
        surely_worse: Whether it is read worse than before, and than its clean twin, in each of
            five readings.
    """

    name: str
    characters: int
    error_before: float
    error_after: float
    status: str
    reason: str | None
    surely_worse: bool


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

    @property
    def not_surely_worse(self) -> float:
        """Share of the pages of which it is not sure that they are read worse."""
        others = [page for page in self.pages if not page.surely_worse]
        return len(others) / len(self.pages)

    def to_json(self) -> dict[str, Any]:
        """The document of `demoire evaluate --ocr LANGUAGE --json`."""
        return {
            "ocr": self.language,
            "pages": [asdict(page) for page in self.pages],
            "without_text": list(self.without_text),
            "error_before": self.error_before,
            "error_after": self.error_after,
            "no_worse": self.no_worse,
            "not_surely_worse": self.not_surely_worse,
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
    check_language(language)
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


def compare_text(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    twin: NDArray[np.uint8],
    truth: str,
    language: str,
) -> TextErrors:
    """Read a page before and after, and where it is read worse make sure of it.

    Args:
        before: (H, W, 3) sRGB.
        after: The same page, cleaned; the very array of `before` where it was not changed.
        twin: The page without moiré.
        truth: What is written on it, at least one character, as `as_plain_text` leaves it.
        language: As tesseract calls it.
    """
    error_before = character_error(read_text(before, language), truth)
    if after is before:
        return TextErrors(error_before, error_before, surely_worse=False)
    error_after = character_error(read_text(after, language), truth)
    surely_worse = error_after > error_before
    for down, right in _MOVES:
        if not surely_worse:
            break
        errors: list[float] = []
        for picture in (before, after, twin):
            moved = picture[down:, right:]
            errors.append(character_error(read_text(moved, language), truth))
        surely_worse = errors[1] > max(errors[0], errors[2])
    return TextErrors(error_before, error_after, surely_worse)


def _read_page(pair: PairFiles, cleaned: Cleaned, language: str) -> PageText | None:
    """How the text of one pair is read; None where it has none."""
    truth = _true_text(pair, language)
    if not truth:
        return None
    before = read_picture(pair.moire)
    after = pixels_after(cleaned, before)
    errors = compare_text(before, after, read_picture(pair.clean), truth, language)
    return PageText(
        name=pair.name,
        characters=len(truth),
        error_before=errors.before,
        error_after=errors.after,
        status=cleaned.status,
        reason=cleaned.reason,
        surely_worse=errors.surely_worse,
    )


def _true_text(pair: PairFiles, language: str) -> str:
    path = pair.moire.with_name(f"{pair.name}_text.txt")
    try:
        return as_plain_text(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return read_text(read_picture(pair.clean), language)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{shown(str(path))} cannot be read as UTF-8: mend it or take it out of the folder."
        ) from error
