"""The Prefect flow: discover -> plan -> waves -> publish -> report, the functions of the command
line as tasks.

The flow adds what a schedule needs and nothing else: each step seen by itself, retried on its own
when the network or a machine fails, progress while it works, and at the end tables of the figures
and of the sources, as artifacts. Between tasks pass URIs and small dataclasses, never pixels;
results are kept in memory and not pickled anywhere. Parameters are stored by Prefect in plain
sight, so they hold no credentials: those are in the environment of the process that runs the flow,
and passwords of PDF files in the file that its DEMOIRE_PDF_PASSWORD_FILE names. That process is
also Ray's driver: whatever ends it, a cancellation or a crash, ends its workers with it. Where Ray
ended it or stood still, a run of a deployment is begun again (`flows.begin_again`).

Servers store the address of the flow, `flows/clean_archive.py:clean_archive`: it must not move.

Costs: some 15 s for an ephemeral server where PREFECT_API_URL names none, and a few tens of
milliseconds a task.
"""

import time
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from demoire.imaging.pdf.passwords import passwords_in_use
from demoire.imaging.quiet import quiet_decoders
from demoire.progress import Progress
from flows.begin_again import begin_again_after_crash, begin_again_after_stall
from flows.leash import leash_children
from flows.pdf_passwords import keep_pdf_passwords
from flows.settings import CleanSettings
from flows.tasks import as_task
from pipelines.destination.destination import Destination
from pipelines.job import ObjectList, RunSummary
from pipelines.names import shown
from pipelines.report.summarise import summarise
from pipelines.report.summary import SourceTotals
from pipelines.run import run_job
from pipelines.storage.open import open_place

_BETWEEN_UPDATES = 2.0  # seconds; each update is a request to the server
_MOST_SOURCES = 200  # rows of the artifact; the report has them all

# Who else wants to be told of progress while a flow runs in this context. It cannot be a parameter
# of the flow, since Prefect stores those.
_LISTENER: ContextVar[Progress | None] = ContextVar("listener", default=None)


class ProgressArtifacts:
    """Keeps one progress artifact a phase, brought up to date every other second.

    A `demoire.progress.Progress`.

    Args:
        also: Told of every step too.
    """

    def __init__(self, also: Progress | None = None) -> None:
        self._also = also
        self._artifacts: dict[str, UUID] = {}
        self._last_update = 0.0

    def __call__(self, what: str, done: float, total: float) -> None:
        """Take note of one step of the phase `what`."""
        if self._also is not None:
            self._also(what, done, total)
        finished = done >= total
        now = time.monotonic()
        if not finished and now - self._last_update < _BETWEEN_UPDATES:
            return
        self._last_update = now
        percent = 100.0 * done / total if total else 100.0
        if what in self._artifacts:
            update_progress_artifact(self._artifacts[what], progress=percent)
            return
        created = create_progress_artifact(
            progress=percent, key=f"demoire-{what}", description=what
        )
        assert isinstance(created, UUID)
        self._artifacts[what] = created


def run_clean_flow(
    src: str,
    dst: str,
    settings: CleanSettings,
    progress: Progress | None = None,
) -> RunSummary:
    """Run the flow in this process, on the server of PREFECT_API_URL or an ephemeral one.

    Raises:
        UsageError: A URL carries credentials; nothing has reached Prefect then.
        DemoireError: Whatever `run_job` raises.
    """
    for uri in (src, dst, settings.registry, *settings.also):
        if uri:
            open_place(uri)
    leash_children()
    token = _LISTENER.set(progress)
    try:
        return clean_archive(src, dst, settings)
    finally:
        _LISTENER.reset(token)


@flow(
    name="clean-archive",
    flow_run_name="{src} -> {dst}",
    persist_result=False,
    validate_parameters=True,
    on_crashed=[begin_again_after_crash],
    on_failure=[begin_again_after_stall],
)
def clean_archive(src: str, dst: str, settings: CleanSettings | None = None) -> RunSummary:
    """Clean an archive into its mirror, and prove the count.

    src: folder, archive, URL or glob of them. dst: folder or URL. settings: those of `demoire
    clean`'s configuration file. Run again after whatever happened, it finishes.
    """
    quiet_decoders()
    if not passwords_in_use():
        keep_pdf_passwords(None)
    settings = settings or CleanSettings()
    job = settings.clean_job(src, dst)
    summary = run_job(job, as_task, ProgressArtifacts(_LISTENER.get()))
    figures: list[dict[str, Any]] = []
    for name, value in vars(summary).items():
        figures.append({"figure": name, "value": _figure_text(value)})
    create_table_artifact(
        table=figures,
        key="demoire-summary",
        description=f"{shown(src)} cleaned into {shown(dst)}",
    )
    destination = Destination.at(dst)
    plan = destination.manifests.find_latest()
    sources = summarise(destination.place, plan).sources
    listed = sources[:_MOST_SOURCES]
    create_table_artifact(
        table=[_source_row(source) for source in listed],
        key="demoire-sources",
        description=(f"The sources ({len(listed)} of {len(sources)}); all are in {summary.report}"),
    )
    get_run_logger().info(_outcome(summary))
    return summary


def _outcome(summary: RunSummary) -> str:
    """What a run came to, as one line of a log."""
    return (
        f"count proved: {summary.images:,} images, {summary.cleaned:,} cleaned, "
        f"{summary.copied:,} copied, {summary.quarantined:,} quarantined; "
        f"{summary.withheld:,} files withheld; report: {shown(summary.report)}"
    )


def _source_row(source: SourceTotals) -> dict[str, Any]:
    return {
        **asdict(source),
        "name": shown(source.name),
        "megapixels": round(source.megapixels, 2),
        "proved": source.proved,
    }


def _figure_text(value: Any) -> str:
    """A figure of the summary in four digits, a dash for what is not known."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, ObjectList):
        return str(value.count)
    if value is None:
        return "-"
    return str(value)
