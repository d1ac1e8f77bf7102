"""Commands for whole archives: clean, plan, status, report, retry, gc."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from demoire.wording import duration, plain_figure
from flows import console
from flows.commands import options
from flows.settings import CleanSettings, keep_storage_options, read_settings

if TYPE_CHECKING:
    from pipelines.run import Summary


def clean(
    src: options.Src,
    dst: options.Dst,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stop at the plan and its cost.")
    ] = False,
    sample: options.Sample = None,
    device: options.Device = None,
    workers: options.Workers = None,
    config: options.Config = None,
    gate: options.GateOption = None,
    threshold: options.Threshold = None,
    detector: options.DetectorOption = None,
    restorer: options.RestorerOption = None,
    weights: options.Weights = None,
    registry: options.Registry = None,
    max_megapixels: options.MaxMegapixels = None,
    max_side: options.MaxSide = None,
    ray_address: options.RayAddress = None,
    storage_option: options.StorageOption = None,
    prefect: Annotated[bool, typer.Option("--prefect", help="Run it as the Prefect flow.")] = False,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> int:
    """Clean an archive into its mirror at DST. Run again after whatever happened, it finishes."""
    settings = read_settings(
        config,
        sample=sample,
        device=device,
        workers=workers,
        gate=gate,
        threshold=threshold,
        detector=detector,
        restorer=restorer,
        weights=weights,
        registry=registry,
        max_megapixels=max_megapixels,
        max_side=max_side,
        ray_address=ray_address,
    )
    keep_storage_options(storage_option or ())
    if dry_run:
        return _plan(src, dst, settings, as_json)
    with console.phases_bar() as progress:
        if prefect:
            from flows.clean_archive import run_flow

            summary = run_flow(src, dst, settings, progress)
        else:
            from demoire.cleaning.engine import find_device
            from pipelines.run import run_job

            # on a cluster the devices are elsewhere, and are asked for there
            if settings.ray_address is None:
                find_device(settings.device)
            summary = run_job(settings.clean_job(src, dst), progress=progress)
    show_summary(summary, as_json)
    return 1 if strict and summary.quarantined else 0


def plan(
    src: options.Src,
    dst: options.Dst,
    sample: options.Sample = None,
    device: options.Device = None,
    config: options.Config = None,
    gate: options.GateOption = None,
    threshold: options.Threshold = None,
    detector: options.DetectorOption = None,
    restorer: options.RestorerOption = None,
    weights: options.Weights = None,
    registry: options.Registry = None,
    max_megapixels: options.MaxMegapixels = None,
    max_side: options.MaxSide = None,
    storage_option: options.StorageOption = None,
    as_json: options.AsJson = False,
) -> int:
    """What would be done, and its cost; the manifest is in DST/_demoire/manifest, for `clean` to go
    by.
    """
    settings = read_settings(
        config,
        sample=sample,
        device=device,
        gate=gate,
        threshold=threshold,
        detector=detector,
        restorer=restorer,
        weights=weights,
        registry=registry,
        max_megapixels=max_megapixels,
        max_side=max_side,
    )
    keep_storage_options(storage_option or ())
    return _plan(src, dst, settings, as_json)


def _plan(src: str, dst: str, settings: CleanSettings, as_json: bool) -> int:
    from pipelines.bench.speed import cleaning_rate
    from pipelines.plan.estimate import estimate
    from pipelines.plan.manifest import load_plan
    from pipelines.run import plan_units
    from pipelines.status import status as status_of

    job = settings.clean_job(src, dst)
    with console.phases_bar() as progress:
        made = load_plan(dst, plan_units(job, progress))
    done = status_of(dst) if made.sample is None else None
    rate = (done.rate if done else None) or cleaning_rate(job.config)
    cost = estimate(made, rate)
    if as_json:
        console.emit_json(
            {
                "plan": made.id,
                **asdict(cost),
                "mps": rate,
                "images_done": done.images_done if done else 0,
            }
        )
        return 0
    rows = [
        ("archives and folders", cost.sources),
        ("images", cost.images),
        ("of them done", done.images_done if done else 0),
        ("other members, mirrored untouched", made.others),
        ("units of work", cost.units),
        ("megapixels (estimated)", cost.megapixels),
        ("megapixels a second, here", rate),
        ("time, if all were to be done", duration(3600 * cost.hours)),
        ("requests to storage", cost.requests),
        ("bytes read", cost.bytes_read),
        ("bytes written", cost.bytes_written),
    ]
    console.show_table(f"plan {made.id}", ("what", "how much"), rows)
    return 0


def status(
    dst: options.Dst, storage_option: options.StorageOption = None, as_json: options.AsJson = False
) -> int:
    """Committed and planned, rate, time left, quarantine by reason."""
    keep_storage_options(storage_option or ())
    from pipelines.status import status as status_of

    found = status_of(dst)
    if as_json:
        console.emit_json(found)
        return 0
    rows = [
        ("images", found.images_done, found.planned_images),
        ("megapixels", found.megapixels_done, found.megapixels),
        ("units committed", found.units_done, found.units),
        ("archives and folders published", found.sources_published, found.sources),
    ]
    console.show_table(dst, ("what", "done", "planned"), rows)
    if found.rate and found.images_done < found.planned_images:
        left = duration(found.seconds_left or 0)
        typer.echo(f"{plain_figure(found.rate)} MP/s, {left} left at that rate")
    if found.quarantine:
        console.show_table("in quarantine", ("reason", "images"), sorted(found.quarantine.items()))
    return 0


def report(dst: options.Dst, storage_option: options.StorageOption = None) -> int:
    """Build the report's page and summary again from the report's Parquet."""
    keep_storage_options(storage_option or ())
    from pipelines.report.build import build_report

    typer.echo(build_report(dst))
    return 0


def retry(
    dst: options.Dst,
    reason: Annotated[
        str | None, typer.Option(help="Only what is in quarantine for this reason.")
    ] = None,
    device: options.Device = None,
    workers: options.Workers = None,
    config: options.Config = None,
    gate: options.GateOption = None,
    threshold: options.Threshold = None,
    detector: options.DetectorOption = None,
    restorer: options.RestorerOption = None,
    weights: options.Weights = None,
    registry: options.Registry = None,
    max_megapixels: options.MaxMegapixels = None,
    max_side: options.MaxSide = None,
    ray_address: options.RayAddress = None,
    storage_option: options.StorageOption = None,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> int:
    """Clean once more what is in quarantine, as the run before did unless told otherwise."""
    changes = {
        "device": device,
        "gate": gate,
        "threshold": threshold,
        "detector": detector,
        "restorer": restorer,
        "weights": weights or None,
        "max_megapixels": max_megapixels,
        "max_side": max_side,
    }
    settings = read_settings(
        config, workers=workers, ray_address=ray_address, registry=registry, **changes
    )
    told = config is not None or any(value is not None for value in changes.values())
    keep_storage_options(storage_option or ())
    from pipelines.run import retry as run

    with console.phases_bar() as progress:
        summary = run(
            dst,
            reason,
            config=settings.cleaner_config() if told else None,
            workers=settings.workers,
            ray_address=settings.ray_address,
            progress=progress,
        )
    show_summary(summary, as_json)
    return 1 if strict and summary.quarantined else 0


def gc(
    dst: options.Dst, storage_option: options.StorageOption = None, as_json: options.AsJson = False
) -> int:
    """Remove segments that are published, and what interrupted attempts left behind."""
    keep_storage_options(storage_option or ())
    from pipelines.gc import gc as collect

    removed = collect(dst)
    if as_json:
        console.emit_json(removed)
    else:
        typer.echo(f"removed {removed.objects:,} objects of {removed.bytes / 1e6:,.1f} MB")
    return 0


def show_summary(summary: "Summary", as_json: bool) -> None:
    """What a run came to, as a table and the path of its report, or as JSON."""
    if as_json:
        console.emit_json(summary)
        return
    rows = [
        ("images", summary.images),
        ("cleaned", summary.cleaned),
        ("copied, byte for byte", summary.copied),
        ("quarantined, byte for byte", summary.quarantined),
        ("other members, untouched", summary.others),
        ("megapixels", summary.megapixels),
        ("megapixels a second", summary.mps or None),
        ("moiré of the cleaned, before", summary.moire_before),
        ("moiré of the cleaned, after", summary.moire_after),
    ]
    console.show_table(
        f"done in {duration(summary.seconds)}, count proved", ("what", "how much"), rows
    )
    typer.echo(f"report: {summary.report}")


COMMANDS = (clean, plan, status, report, retry, gc)
