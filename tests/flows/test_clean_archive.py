"""The Prefect flow on a real (ephemeral) server: steps as tasks, retries, progress and tables as
artifacts.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from demoire.errors import (
    ProofError,
    SourceChangedError,
    StorageError,
    UnusablePlaceError,
    UsageError,
)
from flows import tasks
from flows.clean_archive import run_clean_flow
from flows.settings import read_settings
from flows.tasks import as_task
from pipelines.job import RunSummary
from tests.pipelines.conftest import read_tar

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flow") / "clean"


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float, float]]:
    """What the flow tells of its progress."""
    return []


@pytest.fixture(scope="module")
def summary(
    box: Path, mirror: Path, tiny_toml: Path, told: list[tuple[str, float, float]]
) -> RunSummary:
    """The box, cleaned by the flow."""
    return run_clean_flow(
        str(box), str(mirror), read_settings(tiny_toml), lambda *step: told.append(step)
    )


@pytest.fixture(scope="module")
def flow_run(summary: RunSummary) -> FlowRun:
    with get_client(sync_client=True) as client:
        return next(run for run in client.read_flow_runs() if run.name.endswith("clean"))


def test_the_flow_does_what_the_command_does(summary: RunSummary, box: Path, mirror: Path) -> None:
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (7, 3, 3, 1)
    before, after = read_tar(box / "box.tar"), read_tar(mirror / "box.tar")
    assert [name for name in before if after[name] != before[name]] == [
        "img_000.jpg",
        "img_002.jpg",
        "img_004.jpg",
    ]


def test_each_step_is_a_task_of_its_name(flow_run: FlowRun) -> None:
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_task_runs() if run.flow_run_id == flow_run.id]
    names = {run.name.rsplit("-", 1)[0] for run in runs}
    assert names == {
        "plan_units",
        "clean_next_wave",
        "publish_sources",
        "check_checksums",
        "write_report",
        "prove_counts",
    }
    assert {run.state_name for run in runs} == {"Completed"}


def test_progress_and_tables_are_artifacts(flow_run: FlowRun) -> None:
    with get_client(sync_client=True) as client:
        artifacts = {a.key: a for a in client.read_artifacts() if a.flow_run_id == flow_run.id}
    assert {"demoire-clean", "demoire-publish", "demoire-summary", "demoire-sources"} <= set(
        artifacts
    )
    assert artifacts["demoire-clean"].data == artifacts["demoire-publish"].data == 100.0
    assert '"quarantined", "value": "1"' in artifacts["demoire-summary"].data
    assert '"name": "box.tar"' in artifacts["demoire-sources"].data


def test_the_caller_is_told_of_progress_too(
    summary: RunSummary, told: list[tuple[str, float, float]]
) -> None:
    assert ("clean", 7, 7) in told and ("publish", 1, 1) in told


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (OSError("the network"), 3),
        (StorageError("the store was away"), 3),
        (UnusablePlaceError("no such bucket"), 1),
        (UsageError("a wrong name"), 1),
        (SourceChangedError("another file"), 1),
        (ProofError("uneven"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_step_is_tried_again_only_where_that_can_help(
    error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "RETRY_DELAYS", [0.0, 0.0])
    calls = []

    def fails() -> None:
        calls.append(1)
        raise error

    @flow
    def one_step() -> None:
        as_task(fails)()

    with pytest.raises(type(error)):
        one_step()
    assert len(calls) == tries


def test_a_url_with_credentials_never_reaches_prefect(tiny_toml: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="carries credentials"):
        run_clean_flow("s3://key:hush-hush@archive/box", str(tmp_path), read_settings(tiny_toml))
    with get_client(sync_client=True) as client:
        assert "hush-hush" not in repr([run.parameters for run in client.read_flow_runs()])


def test_what_ends_a_flow_is_told_once_by_the_command_alone(tmp_path: Path) -> None:
    """Prefect would log a traceback above the sentence."""
    code = (
        "import sys\n"
        "from flows.process import prepare_process\n"
        "prepare_process(debug=False)\n"
        "from demoire.errors import UsageError\n"
        "from flows.clean_archive import run_clean_flow\n"
        "from flows.settings import CleanSettings\n"
        "try:\n"
        "    run_clean_flow(*sys.argv[1:], CleanSettings())\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    variables = {**os.environ}
    del variables["PREFECT_LOGGING_LEVEL"]  # the tests' own
    words = [sys.executable, "-c", code, str(tmp_path / "nosuch"), str(tmp_path / "clean")]
    ended = subprocess.run(words, capture_output=True, text=True, env=variables, check=True)
    assert "nosuch" in ended.stdout
    assert ended.stderr == ""
