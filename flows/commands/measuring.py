"""Commands that measure: evaluate, bench."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from demoire.errors import UsageError
from demoire.moire import KINDS
from flows import console
from flows.commands import options
from flows.commands.flags import takes_settings
from flows.first_checks import check_writable
from flows.settings import CleanSettings

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner
    from pipelines.evaluation.aligned import AlignedEvaluation
    from pipelines.evaluation.figures import Evaluation, Measures
    from pipelines.evaluation.text import TextEvaluation

_ALIGNED = (
    ("pattern left, 1/255", "pattern_left"),
    ("edges kept", "edges_kept"),
    ("tolerant PSNR, dB", "tolerant_psnr"),
    ("tone shift, 1/255", "tone_shift"),
)


@takes_settings(
    "gate", "html", "device", "detector", "restorer", "weights", "registry", "threshold"
)
def evaluate(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="Folder of NAME_moire.EXT and NAME_clean.EXT.")
    ],
    *,
    as_json: options.AsJson = False,
    align: Annotated[
        Literal["none", "tone"],
        typer.Option(
            help="'tone' for real photographs of screens: fits the truth to their tone first, and "
            "measures pattern left, edges kept, PSNR with a pixel of tolerance, and tone.",
        ),
    ] = "none",
    ocr: Annotated[
        str | None,
        typer.Option(
            metavar="LANGUAGE",
            help="For pages: measure how well tesseract reads them, before and after, in this "
            "language ('eng', 'rus+eng'). NAME_text.txt is the true text; else the clean twin's.",
        ),
    ] = None,
    readings: Annotated[
        int,
        typer.Option(
            min=2,
            metavar="N",
            help="For --ocr: how often a page that was changed is read before, and as often after, "
            "to tell what cleaning did from chance. About a second a megapixel each.",
        ),
    ] = 5,
    settings: CleanSettings,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the figures too.")
    ] = None,
) -> int:
    """Measure against the truth: PSNR, SSIM, CIEDE2000 before, after, and of the best blur; the
    detector's figures.

    NAME_only_clean.EXT and NAME_only_moire.EXT, which have no twin, are judged by the detector
    alone; --align tone and --ocr pass them by.
    """
    if align == "tone" and html is not None:
        raise UsageError("The page is for exact twins: leave out --html, or --align tone.")
    if ocr is not None and (align == "tone" or html is not None):
        raise UsageError("--ocr measures the text alone: leave out --html and --align.")
    if html is not None:
        check_writable(html, "--html")
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.threads import use_threads
    from pipelines.evaluation.evaluate import evaluate_pairs
    from pipelines.evaluation.page import evaluate_page

    use_threads(settings.threads)
    cleaner = Cleaner(settings.cleaner_config())
    if ocr is not None:
        _evaluate_text(pairs, cleaner, ocr, readings, as_json=as_json)
        return 0
    if align == "tone":
        _evaluate_aligned(pairs, cleaner, as_json=as_json)
        return 0
    with console.phases_bar("evaluating") as progress:
        evaluation = evaluate_pairs(pairs, cleaner, progress)
    if html is not None:
        evaluate_page(evaluation, pairs, html, cleaner)
        console.remark(f"wrote {html}")
    if as_json:
        console.emit_json(evaluation.to_json())
    else:
        _show_evaluation(evaluation)
    return 0


def _evaluate_aligned(pairs: Path, cleaner: "Cleaner", *, as_json: bool) -> None:
    from pipelines.evaluation.aligned import evaluate_aligned

    with console.phases_bar("evaluating") as progress:
        evaluation = evaluate_aligned(pairs, cleaner, progress)
    if as_json:
        console.emit_json(evaluation.to_json())
    else:
        _show_aligned(evaluation)


def _evaluate_text(
    pairs: Path, cleaner: "Cleaner", language: str, readings: int, *, as_json: bool
) -> None:
    from pipelines.evaluation.text import evaluate_text

    with console.phases_bar("reading") as progress:
        evaluation = evaluate_text(pairs, cleaner, language, readings, progress)
    if as_json:
        console.emit_json(evaluation.to_json())
    else:
        _show_text(evaluation)


def _show_text(evaluation: "TextEvaluation") -> None:
    rows: list[Sequence[Any]] = []
    for page in evaluation.pages:
        errors = page.errors
        verdict = ""
        if errors.is_surely_worse:
            verdict = "worse"
        elif errors.is_surely_better:
            verdict = "better"
        row = (page.name, page.characters, errors.before[0], errors.after[0], verdict, page.status)
        rows.append(row)
    title = f"characters that tesseract ({evaluation.language}) misreads, as a share of the text's"
    columns = ("page", "characters", "before", "after", "surely", "status")
    console.show_table(title, columns, rows)
    facts = [
        ("pages", len(evaluation.pages)),
        ("pages without text", len(evaluation.without_text)),
        ("misread before, mean", evaluation.error_before),
        ("misread after, mean", evaluation.error_after),
        ("pages read as well as before, or better", f"{evaluation.no_worse:.1%}"),
        ("pages that are not surely read worse", f"{evaluation.not_surely_worse:.1%}"),
        ("pages that are surely read better", f"{evaluation.surely_better:.1%}"),
    ]
    console.show_table("together", ("figure", "value"), facts)


def _show_aligned(evaluation: "AlignedEvaluation") -> None:
    mean = evaluation.mean
    rows: list[Sequence[Any]] = []
    for name, key in _ALIGNED:
        figures = [getattr(one, key) for one in (mean.photograph, mean.blur, mean.result)]
        rows.append((name, *figures))
    title = f"means over {len(evaluation.pairs)} pairs; blur: the best one, chosen by the truth"
    console.show_table(title, ("figure", "photograph", "blur", "result"), rows)
    facts = [
        ("pattern below the blur's, dB", mean.pattern_below_blur),
        ("tolerant PSNR over the blur's, dB", mean.psnr_over_blur),
    ]
    console.show_table("beside the best blur", ("figure", "value"), facts)


def _show_evaluation(evaluation: "Evaluation") -> None:
    if evaluation.mean is not None:
        rows: list[Sequence[Any]] = []
        for kind, group in evaluation.kinds.items():
            rows.append((kind, group.n, *_shown_measures(group.mean)))
        rows.append(("all", len(evaluation.pairs), *_shown_measures(evaluation.mean)))
        columns = (
            "kind",
            "n",
            *("PSNR before", "PSNR after", "PSNR blur"),
            *("SSIM before", "SSIM after", "SSIM blur"),
            *("ΔE before", "ΔE after"),  # the blur's is in the JSON: a terminal is no wider
        )
        title = (
            "means over the pairs; PSNR in dB, ΔE: CIEDE2000; "
            "blur: the best one, chosen by the truth"
        )
        console.show_table(title, columns, rows)
    _show_detector(evaluation)


def _show_detector(evaluation: "Evaluation") -> None:
    detector = evaluation.detector
    rows: list[Sequence[Any]] = [
        ("n", detector.n),
        ("accuracy", detector.accuracy),
        ("precision", detector.precision),
        ("recall", detector.recall),
        ("f1", detector.f1),
        ("auc", detector.auc),
        ("threshold", evaluation.threshold),
        ("clean images found", evaluation.clean_touched),
        ("calibration error", evaluation.calibration.error),
    ]
    console.show_table("the detector", ("figure", "value"), rows)
    title = "images by kind, and by what they were said to be"
    rows = [(kind, *counts.values()) for kind, counts in evaluation.confusion.items()]
    console.show_table(title, ("kind", *KINDS), rows)
    if evaluation.strengths:
        title = "moiré found, by the RMS of the pattern in 1/255"
        rows = [(f"from {one.begin:g}", one.n, one.found) for one in evaluation.strengths]
        console.show_table(title, ("strength", "images", "found"), rows)


def _shown_measures(measures: "Measures") -> tuple[float, ...]:
    return (
        *(measures.psnr_before, measures.psnr_after, measures.psnr_blur),
        *(measures.ssim_before, measures.ssim_after, measures.ssim_blur),
        *(measures.ciede2000_before, measures.ciede2000_after),
    )


@takes_settings("device", "restorer", "weights", "registry")
def bench(
    *,
    as_json: options.AsJson = False,
    no_networks: Annotated[
        bool,
        typer.Option(
            "--no-networks",
            help="Measure everything but the networks instead: core time a megapixel of cleaned "
            "and of copied pictures, by stage.",
        ),
    ] = False,
    settings: CleanSettings,
) -> int:
    """Measure this machine: the models alone, every stage alone, and the whole job end to end.
    About two minutes.
    """
    if no_networks:
        return _bench_without_networks(settings, as_json=as_json)
    from pipelines.bench.bench import bench as run

    with console.phases_bar("measuring") as progress:
        result = run(settings.cleaner_config(), progress=progress)
    if as_json:
        console.emit_json(result)
        return 0
    rates = [
        ("restorer alone", result.model_mps),
        ("fast restorer alone", result.fast_mps),
        ("detector alone", result.detector_mps),
    ]
    for stage, mps in asdict(result.ceilings).items():
        rates.append((f"stage {stage}", mps))
    rates += [
        ("the whole job", result.end_to_end_mps),
        ("  could be at best", result.possible_mps),
        ("a plain script", result.script_mps),
    ]
    console.show_table("megapixels a second", ("what", "MP/s"), rates)
    facts = [
        ("efficiency of the job", f"{result.efficiency:.0%}"),
        ("peak memory of workers, MB", result.peak_rss_mb),
        *asdict(result.machine).items(),
    ]
    console.show_table("this machine", ("what", "value"), facts)
    return 0


def _bench_without_networks(settings: CleanSettings, *, as_json: bool) -> int:
    from pipelines.bench.core_cost import core_costs

    with console.phases_bar("measuring") as progress:
        result = core_costs(settings.cleaner_config(), progress=progress)
    if as_json:
        console.emit_json(result)
        return 0
    copied = asdict(result.copied.stages)
    rows: list[Sequence[Any]] = []
    for stage, milliseconds in asdict(result.cleaned.stages).items():
        rows.append((stage, milliseconds, copied.get(stage, "")))
    rows.append(("the whole path", result.cleaned.milliseconds, result.copied.milliseconds))
    rows.append(("MP/s a core", result.cleaned.mps_a_core, result.copied.mps_a_core))
    rows.append(("type beside a print, if it is one", result.lettering, ""))
    title = "milliseconds of core time a megapixel, without the networks"
    console.show_table(title, ("stage", "cleaned", "copied"), rows)
    console.show_table("this machine", ("what", "value"), list(asdict(result.machine).items()))
    return 0


COMMANDS = (evaluate, bench)
