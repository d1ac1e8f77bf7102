"""The command that looks before one cleans: preview."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demoire.errors import UsageError
from flows import console
from flows.commands import options
from flows.commands.flags import CLEANING, switch_name, takes_settings
from flows.first_checks import check_models, check_writable
from flows.pdf_passwords import keep_pdf_passwords
from flows.settings import CleanSettings
from flows.storage_options import keep_storage_options

if TYPE_CHECKING:
    from pipelines.preview.figures import PreviewFigures


@takes_settings("also", "from_file", "office", "device", "config", *CLEANING)
def preview(
    src: options.SrcBesideList = "",
    *,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="About how many images to look at.")
    ] = 200,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path(
        "preview.html"
    ),
    settings: CleanSettings,
    storage_option: options.StorageOption = None,
    pdf_password_file: options.PdfPasswordFile = None,
) -> int:
    """Look before you clean: what would be changed, over a sample of the archive, as one page.

    Nothing is written to a mirror. The page shows the sample's images before and after, and what
    another threshold would change. About two minutes.
    """
    keep_storage_options(storage_option)
    keep_pdf_passwords(pdf_password_file)
    if not src and not settings.further_sources:
        raise UsageError("Missing argument 'SRC' (see 'demoire preview --help')")
    check_writable(out, "--out")
    check_models(settings)
    from demoire.cleaning.threads import use_threads
    from pipelines.preview.page import write_preview
    from pipelines.preview.preview import preview as look
    from pipelines.sources.given import named_together

    use_threads(settings.threads)
    config = settings.cleaner_config()
    with console.phases_bar() as progress:
        figures = look(src, config, count, progress, also=settings.further_sources)
    name = named_together(src, settings.further_sources)
    write_preview(figures, name, clean_command(src, settings), out)
    _show(figures)
    typer.echo(f"preview: {out}")
    return 0


def clean_command(src: str, settings: CleanSettings, dst: str = "DST") -> str:
    """The command line that cleans SRC by these settings; without `dst` it leaves a gap for it.

    So it does for a list that came from standard input.
    """
    words = ["demoire", "clean"]
    if src:
        words.append(src)
    words.append(dst)
    for further in settings.also:
        words += ["--also", further]
    if settings.from_file is not None:
        words += ["--from-file", "LIST" if settings.from_file == "-" else settings.from_file]
    for name in ("office", "bilevel", *CLEANING):
        if name not in settings.model_fields_set:
            continue
        value = getattr(settings, name)
        if isinstance(value, bool):
            words.append(switch_name(name, is_on=value))
            continue
        values = value if isinstance(value, tuple) else (value,)
        for one in values:
            words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(words)


def _show(figures: "PreviewFigures") -> None:
    parts = [figures.changed, *figures.kinds, figures.copied, figures.quarantined]
    rows: list[Sequence[str | int]] = []
    for part in parts:
        name = f"  {part.name}" if part in figures.kinds else part.name
        row: list[str | int] = [name, part.count, f"{part.share:.1%}"]
        if not figures.all_seen:
            row.append(f"{part.lowest_share:.1%} to {part.highest_share:.1%}")
        rows.append(row)
    if figures.all_seen:
        title = f"all {figures.seen:,} images looked at"
        console.show_table(title, ("would be", "images", "share"), rows)
        return
    title = f"{figures.seen:,} of {figures.sample.all_images:,} images looked at"
    columns = ("would be", "images", "of the sample", "of all, with 95 % confidence")
    console.show_table(title, columns, rows)


COMMANDS = (preview,)
