"""Commands for whole archives: clean, plan, status, report, retry, gc."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from demoire.errors import UsageError
from demoire.progress import Progress
from demoire.wording import duration, plain_figure
from flows import console
from flows.commands import options
from flows.commands.flags import ARCHIVE_CLEANING, CLEANING, takes_settings
from flows.commands.outcome import (
    WHAT,
    show_checksums,
    show_counts,
    show_differences,
    show_quarantine,
    show_summary,
)
from flows.first_checks import check_models
from flows.pdf_passwords import keep_pdf_passwords
from flows.settings import CleanSettings, check_gpus
from flows.storage_options import keep_storage_options

if TYPE_CHECKING:
    from pipelines.job import RunSummary


@takes_settings(
    *("also", "from_file", "prune", "sample", "merge", "fixity", "office", "bilevel"),
    *ARCHIVE_CLEANING,
)
def clean(
    src: options.Src,
    dst: options.DstBesideList = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stop at the plan and its cost.")
    ] = False,
    settings: CleanSettings,
    canary: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="First look at about N images; stop if too many would change."
        ),
    ] = None,
    canary_limit: Annotated[
        str,
        typer.Option(
            metavar="SHARE[,SHARE]",
            help="Of the images, the share that may change; of these, that may be no better.",
        ),
    ] = "0.5,0.5",
    storage_option: options.StorageOption = None,
    pdf_password_file: options.PdfPasswordFile = None,
    prefect: Annotated[bool, typer.Option("--prefect", help="Run it as the Prefect flow.")] = False,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> int:
    """Clean an archive into its mirror at DST. Run again after whatever happened, it finishes."""
    keep_storage_options(storage_option)
    keep_pdf_passwords(pdf_password_file)
    src, dst = _places(src, dst, settings)
    if dry_run:
        return _plan(src, dst, settings, as_json=as_json)
    check_models(settings)
    if canary is not None:
        _send_canary(src, dst, settings, canary, canary_limit)
    with console.phases_bar() as progress:
        if prefect:
            from flows.clean_archive import run_clean_flow

            summary = run_clean_flow(src, dst, settings, progress)
        else:
            summary = _clean_here(src, dst, settings, progress)
    show_summary(summary, as_json=as_json)
    if not as_json:
        show_quarantine(dst)
        show_checksums(dst)
    return _status(summary, strict=strict)


def _places(src: str, dst: str | None, settings: CleanSettings) -> tuple[str, str]:
    """SRC, which is '' where a list names all that there are, and DST.

    Raises:
        UsageError: DST is missing.
    """
    if dst is not None:
        return src, dst
    if settings.from_file is None:
        raise UsageError("DST is missing: say where the cleaned mirror goes (see --help).")
    return "", src


def _send_canary(src: str, dst: str, settings: CleanSettings, count: int, limit: str) -> None:
    """Look at a sample first; the error that stops the run names the page."""
    from demoire.cleaning.threads import use_threads
    from flows.commands.preview import clean_command
    from pipelines.preview.canary import CanaryLimit, run_canary

    parsed = CanaryLimit.parse(limit)
    use_threads(settings.threads)
    command = clean_command(src, settings, dst)
    with console.phases_bar() as progress:
        figures = run_canary(
            src,
            dst,
            settings.cleaner_config(),
            count,
            parsed,
            command=command,
            progress=progress,
            also=settings.further_sources,
        )
    console.remark(
        f"the canary lives: {figures.changed.count} of {figures.seen} images would be changed"
    )


def _clean_here(src: str, dst: str, settings: CleanSettings, progress: Progress) -> "RunSummary":
    from pipelines.run import run_job

    return run_job(settings.clean_job(src, dst), progress=progress)


@takes_settings(
    *("also", "from_file", "sample", "merge", "office", "bilevel", "device", "config"), *CLEANING
)
def plan(
    src: options.Src,
    dst: options.DstBesideList = None,
    *,
    settings: CleanSettings,
    storage_option: options.StorageOption = None,
    pdf_password_file: options.PdfPasswordFile = None,
    as_json: options.AsJson = False,
) -> int:
    """What would be done, and its cost; the manifest is in DST/_demoire/manifest, for `clean` to go
    by.
    """
    keep_storage_options(storage_option)
    keep_pdf_passwords(pdf_password_file)
    src, dst = _places(src, dst, settings)
    return _plan(src, dst, settings, as_json=as_json)


def _plan(src: str, dst: str, settings: CleanSettings, *, as_json: bool) -> int:
    from pipelines.bench.speed import cleaning_rate
    from pipelines.estimate import estimate
    from pipelines.launch import Launch
    from pipelines.run import plan_units
    from pipelines.status import status as status_of

    job = settings.clean_job(src, dst)
    with console.phases_bar() as progress:
        launch = Launch.of(job, progress=progress)
        made = launch.destination.manifests.load(plan_units(launch))
    rate: float | None = None
    images_done = 0
    if made.sample is None:
        before = status_of(launch.destination)
        rate = before.rate
        images_done = before.images_done
    rate = rate or cleaning_rate(job.config)
    cost = estimate(made, launch.destination.manifests.units(made), rate)
    if as_json:
        console.emit_json(
            {
                "plan": made.id,
                **asdict(cost),
                "mps": rate,
                "images_done": images_done,
                "withheld": made.withheld,
                "not_looked_into": made.not_looked_into,
            }
        )
        return 0
    rows = [
        ("archives and folders", cost.sources),
        ("images", cost.images),
        ("of them done", images_done),
        ("other members, mirrored untouched", made.others),
        ("units of work", cost.units),
        ("megapixels (estimated)", cost.megapixels),
        ("megapixels a second, here", rate),
        ("time, if all were to be done", duration(3600 * cost.hours)),
        ("requests to storage", cost.requests),
        ("bytes read", cost.bytes_read),
        ("bytes written", cost.bytes_written),
    ]
    console.show_table(f"plan {made.id}", WHAT, rows)
    show_counts("withheld, not in the mirror", "reason", made.withheld)
    show_counts("not looked into, mirrored as it came", "kind", made.not_looked_into)
    return 0


def status(
    dst: options.Dst,
    *,
    storage_option: options.StorageOption = None,
    as_json: options.AsJson = False,
) -> int:
    """Committed and planned, rate, time left, quarantine by reason."""
    keep_storage_options(storage_option)
    from pipelines.destination.destination import Destination
    from pipelines.status import status as status_of

    current = status_of(Destination.at(dst))
    if as_json:
        console.emit_json(current)
        return 0
    rows = [
        ("images", current.images_done, current.planned_images),
        ("megapixels (estimated)", current.megapixels_done, current.megapixels),
        ("units committed", current.units_done, current.units),
        ("archives and folders published", current.sources_published, current.sources),
    ]
    console.show_table(dst, ("what", "done", "planned"), rows)
    if current.rate and current.images_done < current.planned_images:
        left = duration(current.seconds_left or 0)
        typer.echo(f"{plain_figure(current.rate)} MP/s, {left} left at that rate")
    if current.quarantine:
        by_reason = sorted(current.quarantine.items())
        console.show_table("in quarantine", ("reason", "images"), by_reason)
    show_counts("withheld, not in the mirror", "reason", current.withheld)
    show_counts("not looked into, mirrored as it came", "kind", current.not_looked_into)
    show_differences(current.foreign, current.left)
    if current.grey_pictures:
        typer.echo(f"{current.grey_pictures:,} grey pictures of black and white ones")
    return 0


def report(dst: options.Dst, *, storage_option: options.StorageOption = None) -> int:
    """Build the report's page and summary again from the report's Parquet."""
    keep_storage_options(storage_option)
    from pipelines.report.build import build_report

    typer.echo(build_report(dst))
    return 0


@takes_settings(*ARCHIVE_CLEANING)
def retry(
    dst: options.Dst,
    *,
    reason: Annotated[
        str | None, typer.Option(help="Only what is in quarantine for this reason.")
    ] = None,
    settings: CleanSettings,
    config: options.Config = None,
    storage_option: options.StorageOption = None,
    pdf_password_file: options.PdfPasswordFile = None,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> int:
    """Clean once more what is in quarantine, as the run before did unless told otherwise."""
    keep_storage_options(storage_option)
    keep_pdf_passwords(pdf_password_file)
    from pipelines.retry import RetryOrder
    from pipelines.retry import retry as clean_again

    cleaner_config = None
    if config is not None or settings.changes_cleaning:
        cleaner_config = settings.cleaner_config()
        check_models(settings)
    check_gpus(settings)
    order = RetryOrder(
        reason=reason,
        config=cleaner_config,
        workers=settings.workers,
        gpus=settings.gpus,
        ray_address=settings.ray_address,
        stall_minutes=settings.stall_minutes,
    )
    with console.phases_bar() as progress:
        summary = clean_again(dst, order, progress=progress)
    show_summary(summary, as_json=as_json)
    if not as_json:
        show_quarantine(dst)
        show_checksums(dst)
    return _status(summary, strict=strict)


def gc(
    dst: options.Dst,
    *,
    storage_option: options.StorageOption = None,
    as_json: options.AsJson = False,
) -> int:
    """Remove segments that are published, and what interrupted attempts left behind."""
    keep_storage_options(storage_option)
    from pipelines.destination.destination import Destination
    from pipelines.gc import gc as collect

    removed = collect(Destination.at(dst))
    if as_json:
        console.emit_json(removed)
    else:
        typer.echo(f"removed {removed.objects:,} objects of {removed.bytes / 1e6:,.1f} MB")
    return 0


def _status(summary: "RunSummary", *, strict: bool) -> int:
    """The exit status of a run that finished."""
    has_remains = summary.quarantined or summary.withheld or summary.foreign.count
    if strict and has_remains:
        return 1
    return 0


COMMANDS = (clean, plan, status, report, retry, gc)
