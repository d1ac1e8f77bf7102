"""Commands for images at hand: fix, detect. No Ray, no Prefect: `demoire`, and the registry where
--weights asks it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demoire.wording import plain_figure
from flows import console
from flows.commands import options
from flows.settings import read_settings

if TYPE_CHECKING:
    from demoire.cleaning.folder import LocalImage
    from demoire.cleaning.result import Cleaned

Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Image files, or folders of them.")
]


def fix(
    images: Images,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the results, DIR/NAME.EXT."),
    ],
    gate: options.GateOption = None,
    threshold: options.Threshold = None,
    device: options.Device = None,
    detector: options.DetectorOption = None,
    restorer: options.RestorerOption = None,
    weights: options.Weights = None,
    registry: options.Registry = None,
    max_megapixels: options.MaxMegapixels = None,
    max_side: options.MaxSide = None,
    config: options.Config = None,
    strict: options.Strict = False,
) -> int:
    """Clean images at hand into DIR; those without moiré arrive byte for byte."""
    settings = read_settings(
        config,
        gate=gate,
        threshold=threshold,
        device=device,
        detector=detector,
        restorer=restorer,
        weights=weights,
        registry=registry,
        max_megapixels=max_megapixels,
        max_side=max_side,
    )
    from demoire.cleaning.folder import find_images, fix_images, plan_outputs

    found = find_images(images)
    plan_outputs(found, out)
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.threads import use_threads

    use_threads(settings.threads)
    cleaner = Cleaner(settings.cleaner_config())
    quarantined = 0
    with console.progress_bar("cleaning", total=len(found)) as bar:
        for number, (image, cleaned) in enumerate(fix_images(found, out, cleaner), start=1):
            typer.echo(_line(image, cleaned))
            quarantined += cleaned.status == "quarantined"
            bar(number)
    return 1 if strict and quarantined else 0


def _line(image: "LocalImage", cleaned: "Cleaned") -> str:
    if cleaned.status == "cleaned":
        before, after = plain_figure(cleaned.moire_before), plain_figure(cleaned.moire_after)
        return f"{image.path}: cleaned, {cleaned.moire_kind}, moiré {before} -> {after}"
    return f"{image.path}: {cleaned.status}" + (f", {cleaned.reason}" if cleaned.reason else "")


def detect(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Image files, or folders of them.")
    ],
    as_json: options.AsJson = False,
    threshold: options.Threshold = None,
    device: options.Device = None,
    detector: options.DetectorOption = None,
    weights: options.Weights = None,
    registry: options.Registry = None,
    max_megapixels: options.MaxMegapixels = None,
    max_side: options.MaxSide = None,
    strict: options.Strict = False,
) -> int:
    """Say of each image how probable moiré is, and of which kind.

    With --json one line an image: path, moire (0..1), kind (none, screen, halftone or texture),
    tiles (looked at). An image that cannot be read gets a line with path and error; with --strict
    the exit status is then 1.
    """
    settings = read_settings(
        None,
        threshold=threshold,
        device=device,
        detector=detector,
        weights=weights,
        registry=registry,
        max_megapixels=max_megapixels,
        max_side=max_side,
    )
    from demoire.cleaning.folder import find_images, judge_images

    found = find_images(paths)
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.threads import use_threads

    use_threads(settings.threads)
    unreadable = 0
    for judged in judge_images(found, Cleaner(settings.cleaner_config())):
        unreadable += judged.error is not None
        fields: dict[str, object] = {"path": str(judged.path)}
        if judged.detection is None:
            fields["error"] = judged.error
        else:
            seen = judged.detection
            fields |= {"moire": round(seen.moire, 6), "kind": seen.kind, "tiles": seen.cells}
        if as_json:
            console.emit_json(fields, indent=None)
        elif judged.detection is None:
            typer.echo(f"{judged.path}: {judged.error}")
        else:
            typer.echo(f"{judged.path}: {seen.moire:.3f} {seen.kind}")
    return 1 if strict and unreadable else 0


COMMANDS = (fix, detect)
