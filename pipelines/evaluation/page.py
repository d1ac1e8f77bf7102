"""The figures of an evaluation as a page to look at."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import UsageError
from demoire.measure.blur import oracle_blur
from pipelines.evaluation.figures import _clean
from pipelines.evaluation.folder import UNNAMED, PairFiles, _rgb, _said, read_folder
from pipelines.report.pages import Histogram, histogram, render
from pipelines.report.previews import jpeg, most_changed, rgb
from pipelines.report.summary import BINS

_SHOWN = 20


def evaluate_page(result: Mapping[str, Any], folder: Path, out: Path, cleaner: Cleaner) -> None:
    """Write a page of these figures: means, ROC, and the pairs with the least and the most gained
    over the blur.

    result: of `evaluate_pairs` over the same folder. The pictures of the twenty pairs that are
    shown are cleaned once more, because figures do not hold them. Raises UsageError where `out`
    cannot be written.
    """
    page = render(
        "evaluate.html.j2",
        folder=_said(folder),
        result=result,
        shown_pairs=list(_pictures(result["pairs"], folder, cleaner)),
        scores=_score_histogram(result["images"]),
        weights={"restorer": cleaner.weights_digest, "detector": cleaner.detector_digest},
        gate=cleaner.config.gate,
        unnamed=UNNAMED,
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(page)
    except OSError as error:
        raise UsageError(
            f"{_said(out)} cannot be written ({error.strerror}): choose another file."
        ) from error


def _score_histogram(images: Sequence[Mapping[str, Any]]) -> Histogram:
    counts = {truth: [0] * BINS for truth in (True, False)}
    for image in images:
        counts[image["moire"]][min(BINS - 1, int(image["score"] * BINS))] += 1
    return histogram(
        [("with moiré", "before", counts[True]), ("clean", "after", counts[False])],
        logarithmic=True,
    )


def _pictures(
    pairs: Sequence[Mapping[str, Any]], folder: Path, cleaner: Cleaner
) -> Iterator[tuple[Mapping[str, Any], list[tuple[str, bytes]]]]:
    """The pairs to be shown, the one with the least gain over the blur first, with named JPEG
    crops.
    """
    by_gain = sorted(pairs, key=lambda pair: pair["psnr_after"] - pair["psnr_blur"])
    chosen = (
        by_gain if len(by_gain) <= _SHOWN else [*by_gain[: _SHOWN // 2], *by_gain[-_SHOWN // 2 :]]
    )
    files = {pair.name: pair for pair in read_folder(folder).pairs}
    crops = dict(_crops([files[pair["name"]] for pair in chosen], cleaner))
    return ((pair, crops[pair["name"]]) for pair in chosen)


def _crops(
    pairs: Sequence[PairFiles], cleaner: Cleaner
) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    for pair, cleaned in _clean(pairs, cleaner):
        truth, before = _rgb(pair.clean), _rgb(pair.moire)
        after = before if cleaned.status != "cleaned" else rgb(cleaned.data)
        rows, columns = most_changed(before, truth)
        pictures = {
            "before": before,
            "after": after,
            "best blur": oracle_blur(before, truth)[0],
            "truth": truth,
        }
        yield (
            pair.name,
            [(name, jpeg(picture[rows, columns])) for name, picture in pictures.items()],
        )
