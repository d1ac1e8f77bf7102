"""Commands from simulated pairs to figures: simulate, train, search, weights, evaluate, bench."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from demoire.errors import UsageError
from demoire.moire import KINDS
from demoire.splits import Split
from demoire.wording import plain_figure
from flows import console
from flows.commands import options
from flows.settings import keep_storage_options, read_settings

if TYPE_CHECKING:
    from pipelines.evaluation.figures import Evaluation, Measures

DRAWN = "drawn"  # instead of a folder: scenes that the program draws itself

# pictures of each kind on a contact sheet, and those that its figures are of
_SHOWN, _COMPARED = 6, 24


def simulate(
    clean: Annotated[
        str,
        typer.Argument(
            metavar="CLEAN", help="A folder of clean images, or 'drawn' for own scenes."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for NAME_moire.png and NAME_clean.png.")
    ],
    kind: Annotated[
        options.Kind, typer.Option(help="What makes the moiré; 'none' gives clean pictures only.")
    ],
    count: Annotated[int, typer.Option(min=1, help="How many pairs.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pairs.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Side of the pairs in px.")] = 512,
    split: Annotated[
        Split | None,
        typer.Option(help="Only images that training takes for this part of its data."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a contact sheet of all kinds too.")
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Real pictures with moiré: a row of the sheet, and figures beside it.",
        ),
    ] = None,
) -> int:
    """Make labelled pairs: the same picture with simulated moiré and without.

    With --sheet FILE.png --real DIR the simulated pictures are compared with real ones: FILE.json
    has contrasts, colour wavelengths and spectra of each kind, of clean pictures and of the real
    ones, FILE-spectra.png shows the spectra.
    """
    from demoire.simulate.pairs import write_pairs

    images = None if clean == DRAWN else Path(clean)
    if images is not None and not images.exists():
        raise UsageError(
            f"{images} does not exist; name a folder of clean images, or '{DRAWN}' for drawn scenes."
        )
    if real is not None and sheet is None:
        raise UsageError("--real compares on a contact sheet: say with --sheet where it goes.")
    with console.progress_bar("simulating", total=count) as bar:
        write_pairs(images, out, kind, count, seed, size=size, split=split, on_progress=bar)
    if sheet is not None:
        _draw_sheet(images, sheet, real, seed)
    typer.echo(f"{count} pairs of kind {kind} are in {out}")
    return 0


def _draw_sheet(images: Path | None, sheet: Path, real: Path | None, seed: int) -> None:
    from demoire.simulate.pairs import write_picture
    from demoire.simulate.realism import BANDS, draw_spectra, write_json
    from demoire.simulate.sheet import contact_sheet, gather

    with console.progress_bar("drawing the sheet") as bar:
        gallery = gather(
            images,
            count=_SHOWN if real is None else _COMPARED,
            seed=seed,
            real=real,
            on_progress=bar,
        )
    write_picture(sheet, contact_sheet(gallery, _SHOWN))
    if real is None:
        return
    sets = gallery.realism()
    write_json(sets, sheet.with_suffix(".json"))
    draw_spectra(sets, sheet.with_name(f"{sheet.stem}-spectra.png"))
    rows = [(name, found.colour_wavelength, *found.chroma_contrast) for name, found in sets.items()]
    columns = ("pictures", "bands of, px", *BANDS)
    console.show_table("contrast of colour by wavelength, RMS in 1/255", columns, rows)
    rows = [(name, found.windows, *found.luma_contrast) for name, found in sets.items()]
    console.show_table("contrast of brightness", ("pictures", "windows", *BANDS), rows)


def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="TOML file, or a shipped name such as restorer.")
    ],
    images: Annotated[
        Path, typer.Option("--images", metavar="DIR", help="Clean images to simulate moiré on.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="For checkpoints, curves and weights."),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in OUT.")
    ] = False,
    shards: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Simulate beforehand into this folder, for several epochs or runs."
        ),
    ] = None,
    field: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Real pictures too, for a detector; see docs/models.md."),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Which source of field pictures is in which part.",
            show_default="split.toml in --field",
        ),
    ] = None,
    register: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Evaluate on the test split, and register under this name what is better.",
        ),
    ] = None,
    registry: options.Registry = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each kind to evaluate on.")] = 20,
    force: Annotated[
        bool, typer.Option("--force", help="Register what is no better than the newest too.")
    ] = False,
    prefect: Annotated[bool, typer.Option("--prefect", help="Run it as a Prefect flow.")] = False,
    storage_option: options.StorageOption = None,
) -> int:
    """Train a detector or a restorer on simulated moiré; OUT gets weights, figures and learning
    curve.

    With --register the weights can then be used by --weights NAME, if they are better than those of
    that name.
    """
    keep_storage_options(storage_option or ())
    logging.getLogger("demoire").setLevel(logging.INFO)
    from demoire.training.field import FieldFolder
    from pipelines.training.job import TrainJob

    pictures = None if field is None else FieldFolder(field, split)
    job = TrainJob(config, images, out, resume, shards, register, registry, pairs, force, pictures)
    if prefect:
        from flows.train_model import run_flow as run
    else:
        from pipelines.training.job import run_training as run
    done = run(job)
    result = done.result
    typer.echo(
        f"weights: {result.weights or 'none yet'}; step {result.step}, best score {plain_figure(result.score)}"
    )
    if not result.finished:
        console.remark("stopped before the end; the same command with --resume goes on")
    elif done.contest is not None:
        typer.echo(done.sentence())
    return 0


def search(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="TOML file with [search], or a shipped name.")
    ],
    images: Annotated[
        Path, typer.Option("--images", metavar="DIR", help="Clean images to simulate moiré on.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="For best.toml, tables and the trials' runs."
        ),
    ],
    trials: Annotated[
        int, typer.Option(min=1, help="How many there shall be in OUT at the end.")
    ] = 20,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so long; the same command goes on.")
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Simulate beforehand into this folder, once for all trials."
        ),
    ] = None,
    max_kmac: Annotated[
        float | None, typer.Option(min=0, help="Refuse structures that cost more kMAC per pixel.")
    ] = None,
) -> int:
    """Try structures and rates by many short trainings; OUT gets the best configuration, for
    'demoire train'.
    """
    logging.getLogger("demoire").setLevel(logging.INFO)
    from demoire.training.config import load_config
    from demoire.training.search.search import search as run

    found = run(
        load_config(config),
        images,
        out,
        trials=trials,
        minutes=minutes,
        shards=shards,
        max_kmac=max_kmac,
    )
    ranked = sorted(
        found.trials, key=lambda trial: (trial.state != "done", -(trial.score or 0), trial.number)
    )
    rows = [
        (
            trial.number,
            trial.state,
            trial.score,
            trial.kmac,
            *(_exact(trial.shown(path)) for path in found.space),
        )
        for trial in ranked
    ]
    console.show_table(
        "the trials, the best first",
        ("trial", "state", "score", "kMAC a pixel", *found.space),
        rows,
    )
    typer.echo(f"the best configuration is {found.config}")
    if not found.finished:
        console.remark("stopped before the end; the same command goes on")
    return 0


def _exact(value: str | float | None) -> str | float | None:
    """Rates span powers of ten: three digits wherever they stand."""
    return f"{value:.3g}" if isinstance(value, float) else value


def evaluate(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="Folder of NAME_moire.EXT and NAME_clean.EXT.")
    ],
    as_json: options.AsJson = False,
    gate: options.GateOption = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the figures too.")
    ] = None,
    device: options.Device = None,
    detector: options.DetectorOption = None,
    restorer: options.RestorerOption = None,
    weights: options.Weights = None,
    registry: options.Registry = None,
    threshold: options.Threshold = None,
) -> int:
    """Measure against the truth: PSNR, SSIM, CIEDE2000 before, after, and of the best blur; the
    detector's figures.

    NAME_only_clean.EXT and NAME_only_moire.EXT, which have no twin, are judged by the detector
    alone.
    """
    settings = read_settings(
        None,
        gate=gate,
        device=device,
        detector=detector,
        restorer=restorer,
        weights=weights,
        registry=registry,
        threshold=threshold,
    )
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.threads import use_threads
    from pipelines.evaluation.evaluate import evaluate_pairs
    from pipelines.evaluation.page import evaluate_page

    use_threads(settings.threads)
    cleaner = Cleaner(settings.cleaner_config())
    with console.progress_bar("evaluating") as bar:
        evaluation = evaluate_pairs(pairs, cleaner, lambda what, done, total: bar(done, total))
    if html is not None:
        evaluate_page(evaluation, pairs, html, cleaner)
        console.remark(f"wrote {html}")
    if as_json:
        console.emit_json(evaluation.to_json())
    else:
        _show_evaluation(evaluation)
    return 0


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
        ("clean images touched", evaluation.clean_touched),
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


def weights(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="All versions of this name alone.")
    ] = None,
    registry: options.Registry = None,
    storage_option: options.StorageOption = None,
    as_json: options.AsJson = False,
) -> int:
    """List the weights that --weights takes: what is shipped, and the newest version of each
    registered name.
    """
    keep_storage_options(storage_option or ())
    from pipelines.training.registry import Registry, score_text, shipped

    place, found = Registry(registry), shipped()
    if name is None:
        found += [newest for known in place.names() if (newest := place.newest(known)) is not None]
    else:
        found = [version for version in found if version.name == name] or place.versions(
            place.find(name).name
        )
    if as_json:
        console.emit_json(found)
        return 0
    rows = [
        (
            v.name,
            v.model,
            v.number or "shipped",
            v.digest[:12],
            score_text(v.model, v.score),
            v.registered_at or None,
        )
        for v in found
    ]
    columns = ("name", "model", "version", "digest", "figure", "registered at")
    console.show_table(f"shipped, and registered in {place.uri}", columns, rows)
    return 0


def bench(
    as_json: options.AsJson = False,
    device: options.Device = None,
    restorer: options.RestorerOption = None,
    weights: options.Weights = None,
    registry: options.Registry = None,
) -> int:
    """Measure this machine: the models alone, every stage alone, and the whole job end to end.
    About two minutes.
    """
    settings = read_settings(
        None, device=device, restorer=restorer, weights=weights, registry=registry
    )
    from pipelines.bench.bench import bench as run

    with console.progress_bar("measuring") as bar:
        result = run(
            settings.cleaner_config(), progress=lambda what, done, total: bar(done, total, what)
        )
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


COMMANDS = (simulate, train, search, weights, evaluate, bench)
