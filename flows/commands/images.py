"""Commands for images at hand: fix, detect.

They need neither Ray nor Prefect: only `demoire`, the registry where --weights names something in
it, and of `pipelines` what says how names are shown and what is an archive.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demoire.errors import UsageError
from demoire.wording import plain_figure
from flows import console
from flows.commands import options
from flows.commands.flags import GATES, MEANS, takes_settings
from flows.pdf_passwords import keep_pdf_passwords
from flows.settings import CleanSettings

if TYPE_CHECKING:
    from demoire.cleaning.folder import Fixed, Judged

_IMAGE_HELP = "Image files, or folders of them."


@takes_settings(*GATES, "bilevel", "device", *MEANS, "config")
def fix(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help=_IMAGE_HELP)],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the results, DIR/NAME.EXT."),
    ],
    *,
    settings: CleanSettings,
    pdf_password_file: options.PdfPasswordFile = None,
    strict: options.Strict = False,
) -> int:
    """Clean images at hand into DIR; those without moiré arrive byte for byte."""
    keep_pdf_passwords(pdf_password_file)
    from demoire.cleaning.folder import find_images, fix_images, plan_outputs

    local_images = find_images(_without_archives(images))
    plan_outputs(local_images, out)
    # Only now, since this import takes seconds and the check above may already end the command.
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.freed_memory import keep_freed_memory
    from demoire.cleaning.threads import use_threads

    use_threads(settings.threads)
    keep_freed_memory()
    cleaner = Cleaner(settings.cleaner_config())
    quarantined = 0
    with console.progress_bar("cleaning", total=len(local_images)) as bar:
        results = fix_images(local_images, out, cleaner)
        for number, fixed in enumerate(results, start=1):
            typer.echo(_fixed_line(fixed))
            if fixed.cleaned.status == "quarantined":
                quarantined += 1
            bar(min(number, len(local_images)))  # of a file of several pages each has a result
    _name_archives(images)
    return 1 if strict and quarantined else 0


def _fixed_line(fixed: "Fixed") -> str:
    from pipelines.names import shown

    cleaned = fixed.cleaned
    path = shown(str(fixed.image.path))
    parts: list[str] = [cleaned.status]
    # Where the gate is off, a picture is cleaned too that shows no moiré of any kind, or that is
    # too small to be judged.
    if cleaned.status == "cleaned" and cleaned.moire_before is not None:
        if cleaned.moire_kind is not None and cleaned.moire_kind != "none":
            parts.append(cleaned.moire_kind)
        before = plain_figure(cleaned.moire_before)
        after = plain_figure(cleaned.moire_after)
        parts.append(f"moiré {before} -> {after}")
    if cleaned.reason:
        parts.append(cleaned.reason)
    if fixed.grey is not None:
        parts.append(f"in grey as {shown(str(fixed.grey))}")
    return f"{path}: {', '.join(parts)}"


@takes_settings(
    "threshold",
    "device",
    "detector",
    "weights",
    "registry",
    "max_megapixels",
    "max_side",
)
def detect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help=_IMAGE_HELP)],
    *,
    as_json: options.AsJson = False,
    settings: CleanSettings,
    pdf_password_file: options.PdfPasswordFile = None,
    strict: options.Strict = False,
) -> int:
    """Say of each image how probable moiré is, and of which kind.

    With --json one line an image: path, moire (0..1), kind (none, screen, halftone or texture),
    tiles (looked at). An image that cannot be read gets a line with path and error; with --strict
    the exit status is then 1.
    """
    keep_pdf_passwords(pdf_password_file)
    from demoire.cleaning.folder import find_images, judge_images

    local_images = find_images(_without_archives(paths))
    # Only now, as in `fix`.
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.threads import use_threads

    use_threads(settings.threads)
    cleaner = Cleaner(settings.cleaner_config())
    unreadable = 0
    for judged in judge_images(local_images, cleaner):
        if judged.error is not None:
            unreadable += 1
        if as_json:
            console.emit_json(_judged_fields(judged), indent=None)
        else:
            typer.echo(_judged_line(judged))
    _name_archives(paths)
    return 1 if strict and unreadable else 0


def _judged_fields(judged: "Judged") -> dict[str, object]:
    """The judgement as one line of JSON shows it."""
    detection = judged.detection
    if detection is None:
        return {"path": str(judged.path), "error": judged.error}
    return {
        "path": str(judged.path),
        "moire": round(detection.moire, 6),
        "kind": detection.kind,
        "tiles": detection.cells,
    }


def _judged_line(judged: "Judged") -> str:
    from pipelines.names import shown

    path = shown(str(judged.path))
    if judged.detection is None:
        return f"{path}: {judged.error}"
    return f"{path}: {judged.detection.moire:.3f} {judged.detection.kind}"


def _without_archives(paths: Sequence[Path]) -> list[Path]:
    """The named files and folders but for archives, which these commands do not open.

    Raises:
        UsageError: Nothing else is named.
    """
    others = [path for path in paths if not _is_archive(path)]
    if not others:
        names = ", ".join(str(path) for path in paths)
        verb = "is an archive" if len(paths) == 1 else "are archives"
        raise UsageError(
            f"{names} {verb}; `demoire preview` and `demoire clean` open archives, this does not."
        )
    return others


def _name_archives(paths: Sequence[Path]) -> None:
    """Say how many archives are named, or are in named folders: these commands open none.

    They may hold most of what is in a folder, and no line would tell of it.
    """
    count = 0
    for named in paths:
        files = named.rglob("*") if named.is_dir() else (named,)
        count += sum(_is_archive(path) for path in files)
    if count:
        archives = "1 archive was" if count == 1 else f"{count:,} archives were"
        console.remark(f"{archives} not opened; `demoire preview` and `demoire clean` do that")


def _is_archive(path: Path) -> bool:
    from pipelines.sources.members import archive_kind

    return archive_kind(path.name) is not None and path.is_file()


COMMANDS = (fix, detect)
