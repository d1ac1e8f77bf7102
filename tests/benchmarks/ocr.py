"""Does text stay text? Pages with known text in three scripts, read by tesseract before and after.

    python -m tests.benchmarks.ocr OUT [--pages 6] [--kinds level mixed] [--gate off] [--chance]
        [--readings 5] [--documents DIR]

What kinds of pages there are, and how they are drawn: `tests.benchmarks.ocr_pages`. A page counts
as read worse if its error grows at all in a single reading, and as surely worse by the test of
`pipelines.evaluation.readings`, by five readings before and after. A page without moiré is misread,
too, and at times where moiré happened to help; so of a page that is surely worse its twin without
moiré is read as well, as often, and cleaning is at fault where the page is surely worse than both.
With --chance, of the same pages nothing is cleaned: noise of -1, 0 or 1 of 255 stands for cleaning,
and shows what chance does.

On slanted screens tesseract joins pieces of lines in an order that hangs on single pixels, and
takes much of what the edge of the photograph cuts, or the surround mirrors, for text. Of these
pages it is also counted how many words are read that are in the text at all, in whatever order.

Of pages with a picture beside the text it also tells how much has changed outside the picture.
With --documents also the pages of a folder of real scans without moiré: how many would be changed.

Needs tesseract with the languages eng, rus and ell. Writes each page, and what became of it, into a
folder a language, OUT/figures.json, and prints a table. Takes about twenty seconds a page on one
core.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.result import Cleaned
from demoire.imaging.rgb import decode_rgb
from demoire.simulate.pairs import write_picture
from pipelines.evaluation.readings import TextErrors, compare_text, disturbed
from pipelines.evaluation.tesseract import as_plain_text, check_language, read_text
from tests.benchmarks.ocr_pages import (
    KINDS,
    RESOLUTIONS,
    TEXTS,
    DrawnPage,
    Page,
    Part,
    Picture,
    draw_page,
    pages,
)

CHANCE = 900  # number of a disturbance that stands for cleaning: noise alone, of no reading
LEGIBLE = 40  # characters that are read in the twin at least; of fewer nothing can be said
LEAST_LETTERS = 3  # of a word that counts; shorter ones are read in noise, too
BORDER = 16  # px around a picture that belong to it: a scanner blurs its edge
SEEN = 8  # of 255; smaller changes are not seen on paper


@dataclass(frozen=True)
class Outside:
    """What has changed outside the picture of a page, as shares of the pixels there."""

    any_change: float
    seen: float  # by more than SEEN
    mean: float  # of 255
    inside_mean: float  # of the picture's own pixels, beside it


@dataclass(frozen=True)
class Words:
    """How many words are read that are in the text, in any order."""

    before: int
    after: int


@dataclass(frozen=True)
class ReadPage:
    """A page, how it is read, and what became of it."""

    page: Page
    characters: int
    errors: TextErrors
    from_twin: TextErrors | None  # from the twin to the page as it is, of one that is surely worse
    status: str
    reason: str | None
    outside: Outside | None
    words: Words | None  # of slanted screens

    @property
    def is_at_fault(self) -> bool:
        return self.from_twin is not None and self.from_twin.is_surely_worse

    @property
    def has_fewer_words(self) -> bool:
        return self.words is not None and self.words.after < self.words.before


@dataclass(frozen=True)
class Row:
    """The figures of some pages."""

    pages: str
    n: int
    cleaned: int
    before: float  # mean character error rate, of single readings
    after: float
    cleaned_before: float  # of those that were cleaned
    cleaned_after: float
    worse: int  # in a single reading
    better: int
    surely_worse: int  # by all readings
    at_fault: int  # and surely worse than their twins
    surely_better: int
    fewer_words: int  # slanted pages on which fewer words of the text are read than before


@dataclass(frozen=True)
class Readings:
    """How pages are read.

    Attributes:
        number: How often a page is read before, and as often after.
        of_chance: Read what noise makes of a page, not what cleaning does.
    """

    number: int
    of_chance: bool


def read_page(page: Page, drawn: DrawnPage, result: Cleaned, how: Readings) -> ReadPage | None:
    """Read a page before and after; None where hardly anything can be read in its twin."""
    if drawn.text is None:
        truth = read_text(drawn.as_read(drawn.clean), page.language)
    else:
        truth = as_plain_text(drawn.text)
    if len(truth) < LEGIBLE:
        return None
    before = drawn.as_read(drawn.moire)
    after = before
    outside = None
    if result.status == "cleaned":
        cleaned = decode_rgb(result.data)
        after = drawn.as_read(cleaned)
        if drawn.picture is not None:
            outside = changed_outside(drawn.moire, cleaned, drawn.picture)
        if how.of_chance:
            after = disturbed(before, CHANCE)
    errors = compare_text(before, after, truth, page.language, how.number)
    from_twin = None
    if errors.is_surely_worse:
        twin = drawn.as_read(drawn.clean)
        from_twin = compare_text(twin, after, truth, page.language, how.number)
    words = None
    if page.kind == "screen" and after is not before:
        words = Words(words_read(before, page.language), words_read(after, page.language))
    return ReadPage(
        page, len(truth), errors, from_twin, result.status, result.reason, outside, words
    )


def words_read(picture: Picture, language: str) -> int:
    """How many words are read that are in the language's text."""
    known = set(_words(TEXTS[language]))
    return sum(1 for word in _words(read_text(picture, language)) if word in known)


def _words(text: str) -> list[str]:
    of_letters = re.findall(r"\w+", as_plain_text(text).lower())
    return [word for word in of_letters if len(word) >= LEAST_LETTERS]


def changed_outside(before: Picture, after: Picture, picture: Part) -> Outside:
    """How much has changed outside a page's picture."""
    change = cv2.absdiff(before, after).max(axis=2)
    is_outside = np.ones(change.shape, bool)
    is_outside[picture.grown(BORDER / len(change)).slices(len(change))] = False
    outside = change[is_outside]
    return Outside(
        any_change=float((outside > 0).mean()),
        seen=float((outside > SEEN).mean()),
        mean=float(outside.mean()),
        inside_mean=float(change[picture.slices(len(change))].mean()),
    )


def clean_pages(of: list[Page], cleaner: Cleaner, out: Path, how: Readings) -> Iterator[ReadPage]:
    """Draw pages, clean and read them; all pictures are left in the folder."""
    drawn: dict[Page, DrawnPage] = {}

    def files() -> Iterator[tuple[Page, bytes]]:
        for page in of:
            folder = out / page.language
            folder.mkdir(parents=True, exist_ok=True)
            drawn[page] = draw_page(page)
            path = folder / f"{page.name}_moire.png"
            write_picture(path, drawn[page].moire)
            write_picture(folder / f"{page.name}_clean.png", drawn[page].clean)
            yield page, path.read_bytes()

    for page, result in cleaner.clean_many(files()):
        if result.status == "cleaned":
            (out / page.language / f"{page.name}_after.png").write_bytes(result.data)
        read = read_page(page, drawn.pop(page), result, how)
        if read is not None:
            yield read


def row(what: str, of: list[ReadPage]) -> Row:
    """The figures of some pages, at least one."""
    cleaned = [read for read in of if read.status == "cleaned"]
    return Row(
        pages=what,
        n=len(of),
        cleaned=len(cleaned),
        before=sum(read.errors.before[0] for read in of) / len(of),
        after=sum(read.errors.after[0] for read in of) / len(of),
        cleaned_before=sum(read.errors.before[0] for read in cleaned) / max(1, len(cleaned)),
        cleaned_after=sum(read.errors.after[0] for read in cleaned) / max(1, len(cleaned)),
        worse=sum(1 for read in of if read.errors.is_worse),
        better=sum(1 for read in of if read.errors.after[0] < read.errors.before[0]),
        surely_worse=sum(1 for read in of if read.errors.is_surely_worse),
        at_fault=sum(1 for read in of if read.is_at_fault),
        surely_better=sum(1 for read in of if read.errors.is_surely_better),
        fewer_words=sum(1 for read in of if read.has_fewer_words),
    )


def rows(of: list[ReadPage]) -> Iterator[Row]:
    """Those of all pages, and of each kind, language and resolution."""
    groups: dict[str, list[ReadPage]] = {"all": of}
    for name in (*KINDS, *sorted(TEXTS), *(f"{dpi} dpi" for dpi in RESOLUTIONS)):
        groups[name] = []
    for read in of:
        page = read.page
        for name in (page.kind, page.language, f"{page.resolution} dpi"):
            groups[name].append(read)
    for name, group in groups.items():
        if group:
            yield row(name, group)


def touched(folder: Path, cleaner: Cleaner) -> list[str]:
    """Names of the real pages that would be changed."""
    names = []
    for path in sorted(folder.iterdir()):
        if cleaner.clean(path.read_bytes()).status == "cleaned":
            names.append(path.name)
    return names


def told(page: ReadPage) -> str:
    """A page's errors, and what they say, in a few words."""
    errors = page.errors
    words = f"{errors.before[0]:.4f} {errors.after[0]:.4f}"
    if page.is_at_fault:
        return f"{words} surely worse than before, and than its twin"
    if errors.is_surely_worse:
        return f"{words} surely worse than before, not than its twin"
    if errors.is_surely_better:
        return f"{words} surely better"
    return f"{words} worse" if errors.is_worse else words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pages", type=int, default=6, help="of each kind, script and resolution")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--gate", choices=("auto", "off"), default="auto")
    parser.add_argument("--readings", type=int, default=5, help="of a page, before and after")
    parser.add_argument("--chance", action="store_true", help="noise stands for cleaning")
    parser.add_argument("--documents", type=Path)
    words = parser.parse_args()
    for language in TEXTS:
        check_language(language)
    cv2.setNumThreads(1)
    cleaner = Cleaner(CleanerConfig(gate=words.gate, threads=1))
    how = Readings(words.readings, words.chance)
    read: list[ReadPage] = []
    for kind in words.kinds:
        for language in sorted(TEXTS):
            of = list(pages(language, kind, words.pages, words.first))
            for one in clean_pages(of, cleaner, words.out, how):
                read.append(one)
                print(one.page.language, one.page.name, one.status, told(one), flush=True)
    figures = {
        "gate": words.gate,
        "rows": [asdict(one) for one in rows(read)],
        "pages": [asdict(one) for one in read],
        "documents_touched": words.documents and touched(words.documents, cleaner),
    }
    (words.out / "figures.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    for one_row in rows(read):
        cells = [
            f"{value:.4f}" if isinstance(value, float) else str(value)
            for value in asdict(one_row).values()
        ]
        print(" | ".join(cells))
    print("documents touched:", figures["documents_touched"])


if __name__ == "__main__":
    main()
