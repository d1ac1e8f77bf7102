"""Does text stay text? Pages with known text in three scripts, read by tesseract before and after.

    python -m tests.benchmarks.ocr OUT [--pages 6] [--gate off] [--documents DIR]

Three kinds of pages, each at 150, 200, 300 and 600 dpi, 10 point type in three faces:

- tint: solid type over a picture that is printed in dots and scanned; the text is known;
- screen: a page on a screen, photographed; the truth is what is read in the twin without moiré;
- clean: a scanned page without any moiré, which has to come out as it is.

With --documents also the pages of a folder of real scans without moiré: how many would be changed.
Needs tesseract with the languages eng, rus and ell. Writes OUT/figures.json and prints a table.
Takes about ten seconds a page on one core.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.simulate.capture import develop, draw_development, expose, to_linear
from demoire.simulate.pairs import write_picture
from demoire.simulate.scenes.canvas import font
from demoire.simulate.scenes.photographs import photograph
from demoire.simulate.simulator import draw_capture, simulate
from pipelines.evaluation.text import PageText, evaluate_text

SIDE = 1280  # px
POINTS = 10  # of the type
RESOLUTIONS = (150, 200, 300, 600)
KINDS = ("tint", "screen", "clean")
FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
LEGIBLE = 40  # characters that are read in the twin at least; of fewer nothing can be said
TEXTS = {
    "eng": "An archive keeps what people wrote down because somebody might ask for it again. "
    "Letters, maps, newspapers and photographs lie in boxes, and each box has a number. "
    "A camera or a scanner turns them into pictures that can be read far away. "
    "Some pictures show a pattern that was never on the paper, and a careful program takes it out.",
    "rus": "Архив хранит то, что люди записали, потому что кто-нибудь может спросить об этом "
    "снова. Письма, карты, газеты и фотографии лежат в коробках, и у каждой коробки есть номер. "
    "Камера или сканер превращает их в изображения, которые можно читать далеко отсюда. "
    "На некоторых изображениях виден узор, которого на бумаге никогда не было.",
    "ell": "Ένα αρχείο φυλάει ό,τι έγραψαν οι άνθρωποι, γιατί κάποιος μπορεί να το ζητήσει ξανά. "
    "Γράμματα, χάρτες, εφημερίδες και φωτογραφίες βρίσκονται σε κουτιά, και κάθε κουτί έχει έναν "
    "αριθμό. Μια κάμερα ή ένας σαρωτής τα κάνει εικόνες που διαβάζονται από μακριά. "
    "Σε μερικές εικόνες φαίνεται ένα μοτίβο που δεν υπήρχε ποτέ στο χαρτί.",
}


@dataclass(frozen=True)
class Page:
    """A page to draw."""

    language: str
    kind: str
    resolution: int  # dots an inch
    number: int

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.resolution}_{self.number:02}"

    def rng(self) -> np.random.Generator:
        place = (sorted(TEXTS).index(self.language), KINDS.index(self.kind))
        return np.random.default_rng([*place, self.resolution, self.number])


def lettering(page: Page, side: int) -> tuple[np.ndarray, str]:
    """Ink, (side, side) 0..1, and the text that it writes."""
    rng = page.rng()
    size = max(8, round(POINTS / 72 * page.resolution * side / SIDE))
    words = TEXTS[page.language].split()
    start = int(rng.integers(len(words)))
    words = (words[start:] + words[:start]) * 8
    face = font(FACES[page.number % len(FACES)], size)
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    margin = side // 12
    lines = []
    y = margin
    while y + 2 * size < side - margin and words:
        line = words.pop(0)
        while words and draw.textlength(f"{line} {words[0]}", font=face) < side - 2 * margin:
            line += f" {words.pop(0)}"
        draw.text((margin, y), line, fill=255, font=face)
        lines.append(line)
        y += round(1.4 * size)
    return np.asarray(canvas, np.float32) / 255, " ".join(lines)


def draw_page(page: Page, folder: Path) -> None:
    """Write a page as a pair, with its text where that is known."""
    rng = page.rng()
    text: str | None = None
    if page.kind == "tint":
        pale = 255 - (255 - photograph(rng, SIDE, SIDE).astype(np.float32)) * rng.uniform(0.3, 0.5)
        capture = draw_capture("halftone", pale.astype(np.uint8), SIDE, rng, "press")
        ink, text = lettering(page, len(capture.without))
        paper = 1 - np.float32(0.88) * ink[..., None]
        moire, clean = develop(
            capture.with_moire * paper, capture.without * paper, SIDE, capture.development, rng
        )
    elif page.kind == "screen":
        ink, _ = lettering(page, SIDE)
        shown = np.repeat((245 - 225 * ink[..., None]), 3, axis=2).astype(np.uint8)
        pair = simulate("screen", shown, SIDE, rng)
        moire, clean = pair.moire, pair.clean
    else:
        ink, text = lettering(page, SIDE)
        shown = np.repeat((240 - 215 * ink[..., None]), 3, axis=2).astype(np.uint8)
        development = draw_development(rng, scanner=True)
        moire = clean = expose(to_linear(shown), SIDE, development, rng)
    write_picture(folder / f"{page.name}_moire.png", moire)
    write_picture(folder / f"{page.name}_clean.png", clean)
    if text is not None:
        (folder / f"{page.name}_text.txt").write_text(text, encoding="utf-8")


def pages(language: str, count: int) -> Iterator[Page]:
    for kind in KINDS:
        for resolution in RESOLUTIONS:
            for number in range(count):
                yield Page(language, kind, resolution, number)


def row(what: str, of: list[PageText]) -> dict[str, object]:
    """The figures of some pages."""
    cleaned = [page for page in of if page.status == "cleaned"]
    worse = [page for page in of if page.error_after > page.error_before]
    return {
        "pages": what,
        "n": len(of),
        "cleaned": len(cleaned),
        "error_before": sum(page.error_before for page in of) / len(of),
        "error_after": sum(page.error_after for page in of) / len(of),
        "cleaned_before": sum(page.error_before for page in cleaned) / max(1, len(cleaned)),
        "cleaned_after": sum(page.error_after for page in cleaned) / max(1, len(cleaned)),
        "worse": len(worse),
    }


def touched(folder: Path, cleaner: Cleaner) -> list[str]:
    """Names of the real pages that would be changed."""
    names = []
    for path in sorted(folder.iterdir()):
        if cleaner.clean(path.read_bytes()).status == "cleaned":
            names.append(path.name)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pages", type=int, default=6, help="of each kind, script and resolution")
    parser.add_argument("--gate", choices=("auto", "off"), default="auto")
    parser.add_argument("--documents", type=Path)
    words = parser.parse_args()
    cv2.setNumThreads(1)
    cleaner = Cleaner(CleanerConfig(gate=words.gate, threads=1))
    read: dict[Page, PageText] = {}
    for language in sorted(TEXTS):
        folder = words.out / language
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        by_name = {page.name: page for page in pages(language, words.pages)}
        for page in by_name.values():
            draw_page(page, folder)
        for text in evaluate_text(folder, cleaner, language).pages:
            if text.characters >= LEGIBLE:
                read[by_name[text.name]] = text
        print(f"{language}: {len(by_name)} pages read", flush=True)
    rows = [row("all", list(read.values()))]
    for kind in KINDS:
        rows.append(row(kind, [text for page, text in read.items() if page.kind == kind]))
    for language in sorted(TEXTS):
        rows.append(row(language, [t for page, t in read.items() if page.language == language]))
    for dpi in RESOLUTIONS:
        rows.append(row(f"{dpi} dpi", [t for page, t in read.items() if page.resolution == dpi]))
    worse = []
    for page, text in read.items():
        if text.error_after > text.error_before:
            worse.append([page.language, text.name, text.error_before, text.error_after])
    figures: dict[str, object] = {"gate": words.gate, "rows": rows, "worse": worse}
    if words.documents is not None:
        figures["documents_touched"] = touched(words.documents, cleaner)
    (words.out / "figures.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    for one in rows:
        cells = [
            f"{value:.4f}" if isinstance(value, float) else str(value) for value in one.values()
        ]
        print(" | ".join(cells))
    for line in worse:
        print("worse:", *line)
    print("documents touched:", figures.get("documents_touched"))


if __name__ == "__main__":
    main()
