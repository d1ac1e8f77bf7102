"""The Prefect flow: discover -> plan -> waves -> publish -> report, the functions of the command
line as tasks.

The flow adds what a schedule needs and nothing else: each step seen by itself, retried on its own
when the network or a machine fails, progress while it works, and at the end tables of the figures
and of the sources, as artifacts. Between tasks pass URIs and small dataclasses, never pixels;
results are kept in memory and not pickled anywhere. Parameters are stored by Prefect in plain
sight, so they hold no credentials: those are in the environment of the process that runs the flow.
That process is also Ray's driver: whatever ends it, a cancellation or a crash, ends its workers
with it.

Costs: some 15 s for an ephemeral server where PREFECT_API_URL names none, and a few tens of
milliseconds a task.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE

from demoire.errors import ProofError, SourceChangedError, StoppedError, StorageError, UsageError
from demoire.imaging.quiet import quiet_decoders
from flows.settings import CleanSettings
from pipelines.names import shown
from pipelines.report.summary import SourceTotals, summarise
from pipelines.run import Summary, run_job
from pipelines.storage.open import open_place

RETRIES = 2
RETRY_DELAYS: list[float] = [10, 60]  # seconds: a hiccup, then something that somebody restarts

_BETWEEN_UPDATES = 2.0  # seconds; each update is a request to the server
_MOST_SOURCES = 200  # rows of the artifact; the report has them all

Result = TypeVar("Result")


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """What the user got wrong is as wrong a minute later, and a count as uneven; storage may have
    been the network.
    """
    try:
        state.result()
    except StorageError:
        return True
    except (UsageError, SourceChangedError, ProofError, StoppedError):
        return False
    except Exception:
        return True
    return False


def as_task(function: Callable[..., Result]) -> Callable[..., Result]:
    """One step of the job as a Prefect task of the same name, with retries and without stored
    results.
    """
    wrapped = task(
        name=function.__name__,
        retries=RETRIES,
        retry_delay_seconds=RETRY_DELAYS,
        retry_condition_fn=_worth_retrying,
        persist_result=False,
        cache_policy=NO_CACHE,
    )(function)

    @functools.wraps(function)
    def step(*args: Any, **kwargs: Any) -> Result:
        return wrapped(*args, **kwargs)

    return step


class ProgressArtifacts:
    """Called as work proceeds; keeps one progress artifact a phase, brought up to date every other
    second.
    """

    def __init__(self, also: Callable[[str, float, float], None] | None = None) -> None:
        self._also = also
        self._artifacts: dict[str, UUID] = {}
        self._told = 0.0

    def __call__(self, phase: str, done: float, total: float) -> None:
        if self._also is not None:
            self._also(phase, done, total)
        finished = done >= total
        if not finished and time.monotonic() - self._told < _BETWEEN_UPDATES:
            return
        self._told = time.monotonic()
        percent = 100.0 * done / total if total else 100.0
        if phase not in self._artifacts:
            created = create_progress_artifact(
                progress=percent, key=f"demoire-{phase}", description=phase
            )
            assert isinstance(created, UUID)
            self._artifacts[phase] = created
        else:
            update_progress_artifact(self._artifacts[phase], progress=percent)


# Given by the command line, to be told of progress as well; it cannot be a parameter, since Prefect
# stores those.
_listener: Callable[[str, float, float], None] | None = None


def run_flow(
    src: str,
    dst: str,
    settings: CleanSettings,
    progress: Callable[[str, float, float], None] | None = None,
) -> Summary:
    """Run the flow in this process, on the server of PREFECT_API_URL or an ephemeral one.

    Raises what `run_job` raises; UsageError before Prefect sees anything where a URL carries
    credentials.
    """
    global _listener
    for uri in (src, dst, settings.registry):
        if uri:
            open_place(uri)
    _listener = progress
    try:
        return clean_archive(src, dst, settings)
    finally:
        _listener = None


@flow(
    name="clean-archive",
    flow_run_name="{src} -> {dst}",
    persist_result=False,
    validate_parameters=True,
)
def clean_archive(src: str, dst: str, settings: CleanSettings | None = None) -> Summary:
    """Clean an archive into its mirror, and prove the count.

    src: folder, archive, URL or glob of them. dst: folder or URL. settings: those of `demoire
    clean`'s configuration file. Run again after whatever happened, it finishes.
    """
    quiet_decoders()
    job = (settings or CleanSettings()).clean_job(src, dst)
    summary = run_job(job, as_task, ProgressArtifacts(_listener))
    create_table_artifact(
        table=[{"figure": name, "value": _said(value)} for name, value in asdict(summary).items()],
        key="demoire-summary",
        description=f"{shown(src)} cleaned into {shown(dst)}",
    )
    sources = summarise(open_place(dst)).sources
    create_table_artifact(
        table=[_source_row(source) for source in sources[:_MOST_SOURCES]],
        key="demoire-sources",
        description=f"The sources ({min(len(sources), _MOST_SOURCES)} of {len(sources)}); all are in {summary.report}",
    )
    return summary


def _source_row(source: SourceTotals) -> dict[str, Any]:
    facts = asdict(source)
    return {
        **facts,
        "name": shown(source.name),
        "megapixels": round(source.megapixels, 2),
        "proved": source.proved,
    }


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
