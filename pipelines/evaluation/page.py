"""The figures of an evaluation as a page to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from demoire.cleaning.cleaner import Cleaner
from demoire.measure.blur import oracle_blur
from pipelines.evaluation.evaluate import clean_pairs, pixels_after
from pipelines.evaluation.figures import Evaluation, JudgedImage, PairFigures
from pipelines.evaluation.folder import PairFiles, read_folder, read_picture
from pipelines.evaluation.labels import UNNAMED
from pipelines.names import shown
from pipelines.report.charts import Histogram, counts_by_score, histogram
from pipelines.report.crops import jpeg, most_changed
from pipelines.report.pages import render, write_page

_SHOWN = 20  # pairs on the page


@dataclass(frozen=True)
class Crop:
    """The same part of one of a pair's pictures, as the page shows it."""

    name: str
    jpeg: bytes
    psnr: float | None  # dB against the truth; None for the truth


@dataclass(frozen=True)
class ShownPair:
    """A pair as the page shows it."""

    figures: PairFigures
    crops: tuple[Crop, ...]


def evaluate_page(evaluation: Evaluation, folder: Path, out: Path, cleaner: Cleaner) -> None:
    """Write a page: means, ROC, and the pairs that gained the least and the most over the blur.

    Figures hold no pictures, so the twenty pairs that the page shows are cleaned once more.

    Args:
        evaluation: Of `evaluate_pairs` over the same folder, by the same cleaner.
        folder: The folder of pairs.
        out: The file to write; folders above it are made.
        cleaner: What was measured.

    Raises:
        UsageError: `out` cannot be written.
    """
    page = render(
        "evaluate.html.j2",
        folder=shown(str(folder)),
        result=evaluation,
        shown_pairs=_shown_pairs(evaluation.pairs, folder, cleaner),
        scores=_score_histogram(evaluation.images),
        weights={"restorer": cleaner.weights_digest, "detector": cleaner.detector_digest},
        gate=cleaner.config.gate,
        unnamed=UNNAMED,
    )
    write_page(page, out)


def _score_histogram(images: Sequence[JudgedImage]) -> Histogram:
    with_moire = counts_by_score([image.score for image in images if image.has_moire])
    clean = counts_by_score([image.score for image in images if not image.has_moire])
    return histogram(
        [("with moiré", "before", with_moire), ("clean", "after", clean)], logarithmic=True
    )


def _shown_pairs(pairs: Sequence[PairFigures], folder: Path, cleaner: Cleaner) -> list[ShownPair]:
    """The pairs to show with their crops, the least gain over the blur first."""
    chosen = sorted(pairs, key=lambda pair: pair.measures.gain_over_blur)
    if len(chosen) > _SHOWN:
        half = _SHOWN // 2
        chosen = [*chosen[:half], *chosen[-half:]]
    files = {pair.name: pair for pair in read_folder(folder).pairs}
    pictures = dict(_pictures([files[pair.name] for pair in chosen], cleaner))
    return [ShownPair(pair, _crops(pictures[pair.name], pair)) for pair in chosen]


def _crops(jpegs: dict[str, bytes], pair: PairFigures) -> tuple[Crop, ...]:
    psnr = {
        "before": pair.measures.psnr_before,
        "after": pair.measures.psnr_after,
        "best blur": pair.measures.psnr_blur,
    }
    return tuple(Crop(name, data, psnr.get(name)) for name, data in jpegs.items())


def _pictures(
    pairs: Sequence[PairFiles], cleaner: Cleaner
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The name of each pair, and JPEGs of it, cut where the moiré is strongest."""
    for pair, cleaned in clean_pairs(pairs, cleaner):
        truth = read_picture(pair.clean)
        before = read_picture(pair.moire)
        blurred, _ = oracle_blur(before, truth)
        pictures = {
            "before": before,
            "after": pixels_after(cleaned, before),
            "best blur": blurred,
            "truth": truth,
        }
        rows, columns = most_changed(before, truth)
        yield pair.name, {name: jpeg(one[rows, columns]) for name, one in pictures.items()}
