"""Whether text is read as well after cleaning as before: by tesseract, as archives read pages.

The true text is that of NAME_text.txt beside the pair; where there is none, it is what tesseract
reads in the clean twin. What is measured, and when a page counts as read worse:
`pipelines.evaluation.readings`.

Costs one reading of a page that is not changed, twice `readings` of one that is, and one more where
the truth has to be read; each takes about a second a megapixel.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned
from demoire.errors import UsageError
from demoire.progress import Progress, in_silence
from pipelines.evaluation.evaluate import clean_pairs, pixels_after
from pipelines.evaluation.folder import PairFiles, read_pairs, read_picture
from pipelines.evaluation.readings import TextErrors, compare_text
from pipelines.evaluation.tesseract import as_plain_text, check_language, read_text
from pipelines.names import shown


@dataclass(frozen=True)
class PageText:
    """One pair, and how its text is read.

    Attributes:
        name: Of the pair.
        characters: Of the true text, at least 1.
        errors: How it is read before and after.
        status: What became of it: cleaned, copied or quarantined.
        reason: Why it was not cleaned.
    """

    name: str
    characters: int
    errors: TextErrors
    status: str
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """One of the pages of `demoire evaluate --ocr LANGUAGE --json`."""
        return {
            "name": self.name,
            "characters": self.characters,
            "error_before": self.errors.before[0],
            "error_after": self.errors.after[0],
            "status": self.status,
            "reason": self.reason,
            "readings_before": list(self.errors.before),
            "readings_after": list(self.errors.after),
            "surely_worse": self.errors.is_surely_worse,
            "surely_better": self.errors.is_surely_better,
        }


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
        """Mean character error rate of the pages with moiré, undisturbed."""
        return sum(page.errors.before[0] for page in self.pages) / len(self.pages)

    @property
    def error_after(self) -> float:
        """Mean character error rate of the cleaned pages, undisturbed."""
        return sum(page.errors.after[0] for page in self.pages) / len(self.pages)

    @property
    def no_worse(self) -> float:
        """Share of the pages that are read as well as before, or better, undisturbed."""
        return 1 - self._share(page.errors.is_worse for page in self.pages)

    @property
    def not_surely_worse(self) -> float:
        """Share of the pages that are not read worse by more than chance."""
        return 1 - self._share(page.errors.is_surely_worse for page in self.pages)

    @property
    def surely_better(self) -> float:
        """Share of the pages that are read better by more than chance."""
        return self._share(page.errors.is_surely_better for page in self.pages)

    def _share(self, holds: Iterable[bool]) -> float:
        return sum(1 for one in holds if one) / len(self.pages)

    def to_json(self) -> dict[str, Any]:
        """The document of `demoire evaluate --ocr LANGUAGE --json`."""
        return {
            "ocr": self.language,
            "pages": [page.to_json() for page in self.pages],
            "without_text": list(self.without_text),
            "error_before": self.error_before,
            "error_after": self.error_after,
            "no_worse": self.no_worse,
            "not_surely_worse": self.not_surely_worse,
            "surely_better": self.surely_better,
        }


def evaluate_text(
    folder: Path,
    cleaner: Cleaner,
    language: str,
    readings: int,
    progress: Progress = in_silence,
) -> TextEvaluation:
    """Measure how a cleaner changes what is read of pages.

    Args:
        folder: See `pipelines.evaluation.folder`; pictures without a twin are passed by.
        cleaner: What is measured, at its own threshold.
        language: One that tesseract has, or several with '+' between them.
        readings: How often a page that was changed is read before, and as often after; at least 2.
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
        page = _read_page(pair, cleaned, language, readings)
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


def _read_page(pair: PairFiles, cleaned: Cleaned, language: str, readings: int) -> PageText | None:
    """How the text of one pair is read; None where it has none."""
    truth = _true_text(pair, language)
    if not truth:
        return None
    before = read_picture(pair.moire)
    after = pixels_after(cleaned, before)
    errors = compare_text(before, after, truth, language, readings)
    return PageText(pair.name, len(truth), errors, cleaned.status, cleaned.reason)


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
