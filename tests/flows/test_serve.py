"""`demoire serve` against a real Prefect server that it starts itself: the schedule comes, a bucket
is clean.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.exceptions import TerminationSignal
from prefect.states import Crashed, Failed, exception_to_crashed_state

from demoire.errors import ConfigError, StalledError, StoppedError, UsageError
from flows.begin_again import begin_again_after_crash, begin_again_after_stall
from flows.cli import main
from flows.deployment_file import NIGHTLY, read_deployment
from flows.deployments import as_prefect, deploy
from flows.server import local_server
from tests.golden.command import demoire
from tests.pipelines.conftest import read_tar
from tests.s3_server import free_port, s3_variables, serve_s3

ROOT = Path(__file__).parents[2]
PLACES = {"src": "s3://in", "dst": "s3://out"}
SECRET = "s3://key:secret@bucket"
PATIENCE = 400.0  # seconds; a server, a flow's process and a Ray come up meanwhile


@pytest.fixture
def bucket(box: Path, tmp_path: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """The variables that lead to a bucket with the box in it, and the folder that is served."""
    for name in ("incoming", "clean"):
        (tmp_path / "buckets" / name).mkdir(parents=True)
    (tmp_path / "buckets/incoming/box.tar").write_bytes((box / "box.tar").read_bytes())
    with serve_s3(tmp_path / "buckets") as url:
        yield s3_variables(url, "a-key", "a-secret"), tmp_path / "buckets"


def _deployment(folder: Path, **changes: object) -> Path:
    """A deployment file with one deployment called `often`."""
    often = {
        "name": "often",
        "entrypoint": "flows/clean_archive.py:clean_archive",
        "schedules": [{"interval": 5}],
        "parameters": {"src": "{{ $DEMOIRE_SRC }}", "dst": "{{ $DEMOIRE_DST }}"},
        **changes,
    }
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": [often]}))
    return file


@pytest.mark.slow
def test_a_scheduled_run_cleans_a_bucket(
    bucket: tuple[dict[str, str], Path], box: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    variables, folder = bucket
    settings = tomllib.loads(tiny_toml.read_text())
    parameters = {"src": "{{ $DEMOIRE_SRC }}", "dst": "{{ $DEMOIRE_DST }}", "settings": settings}
    limit = {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    file = _deployment(tmp_path, parameters=parameters, concurrency_limit=limit)
    port = free_port()
    words = [sys.executable, "-m", "flows.cli", "serve", "--file", str(file), "--port", str(port)]
    places = {"DEMOIRE_SRC": "s3://incoming", "DEMOIRE_DST": "s3://clean"}
    prefect = {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    environment = {**os.environ, **variables, **places, **prefect}
    del environment["PREFECT_LOGGING_LEVEL"]  # the tests' own; what a user has is to be logged
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        serving = subprocess.Popen(
            words, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        end = time.monotonic() + PATIENCE
        first = None
        while first is None:
            assert serving.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
            first = _process_of_a_run(serving)
        first.send_signal(signal.SIGABRT)  # as Ray's library ends the process that uses it
        page = folder / "clean/_demoire/page/index.html"
        while not page.exists():
            assert serving.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        runs = _ask(f"http://127.0.0.1:{port}/api/flow_runs/filter")
        crashed = [run["id"] for run in runs if run["state_type"] == "CRASHED"]
        begun_again = [run["parameters"]["src"] for run in runs if "go-2" in run["tags"]]
        assert (len(crashed), begun_again) == (1, ["s3://incoming"])
        outcome = "count proved: 7 images, 3 cleaned, 3 copied, 1 quarantined"
        while outcome not in log.read_text():  # a moment after the page
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        assert "at capacity" not in log.read_text()  # of the runs that were due meanwhile
        before, after = read_tar(box / "box.tar"), read_tar(folder / "clean/box.tar")
        assert [name for name in before if after[name] != before[name]] == [
            "img_000.jpg",
            "img_002.jpg",
            "img_004.jpg",
        ]
        serving.terminate()
        assert serving.wait(60) == 0, log.read_text()
        assert "Warning" not in log.read_text()
    finally:
        serving.send_signal(signal.SIGINT)
        try:
            serving.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.wait()


def _process_of_a_run(serving: subprocess.Popen[bytes]) -> psutil.Process | None:
    """The process of a run that `demoire serve` has started; None where there is none."""
    for process in psutil.Process(serving.pid).children(recursive=True):
        with suppress(psutil.Error):
            if "prefect.engine" in process.cmdline():
                return process
    return None


@pytest.mark.slow
def test_deploy_creates_the_deployment_and_its_pool_and_again_changes_it(tmp_path: Path) -> None:
    port = free_port()
    with local_server(port) as api:
        for cron in ("30 1 * * *", "30 2 * * *"):
            file = _deployment(
                tmp_path,
                parameters=PLACES,
                schedules=[{"cron": cron}],
            )
            words = [
                sys.executable,
                "-m",
                "flows.cli",
                "deploy",
                "--file",
                str(file),
                "--pool",
                "archive",
            ]
            done = subprocess.run(
                words, capture_output=True, text=True, env={**os.environ, "PREFECT_API_URL": api}
            )
            assert done.returncode == 0, done.stderr
            assert "deployment clean-archive/often is in place" in done.stdout
        (deployment,) = _ask(f"{api}/deployments/filter")
        assert (deployment["name"], deployment["work_pool_name"]) == ("often", "archive")
        assert deployment["parameters"] == PLACES
        assert [schedule["schedule"]["cron"] for schedule in deployment["schedules"]] == [
            "30 2 * * *"
        ]
        assert [pool["type"] for pool in _ask(f"{api}/work_pools/filter")] == ["process"]
        _check_that_an_odd_end_is_begun_again(deployment["id"], api)


def _check_that_an_odd_end_is_begun_again(deployment: str, api: str) -> None:
    """A run that ended oddly gets four others, one after the other; all else gets none.

    One that writes to the pipe of a worker that was killed is ended by a SystemExit.
    """
    without_a_worker = asyncio.run(exception_to_crashed_state(SystemExit(1)))
    terminated = asyncio.run(exception_to_crashed_state(TerminationSignal(signal.SIGTERM)))
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(UUID(deployment), tags=["nightly"])
    stalled = Failed(data=StalledError("It stood still."))
    stopped = Failed(data=StoppedError("Stopped."))
    begin_again_after_crash(None, run, terminated)
    begin_again_after_crash(None, run, Crashed(message="It exited with status code: -15. Stopped."))
    begin_again_after_stall(None, run, stopped)
    assert _goes(api) == []
    begin_again_after_crash(None, run, Crashed(message="It exited with status code: 75. Odd."))
    begin_again_after_crash(None, run, Crashed(message="It exited with status code 75."))
    assert _goes(api) == ["go-2"], "the same end of the same run is answered once"
    fourth = run.model_copy(update={"id": uuid4(), "tags": ["nightly", "go-4"]})
    begin_again_after_stall(None, fourth, stalled)
    fifth = run.model_copy(update={"id": uuid4(), "tags": ["nightly", "go-5"]})
    begin_again_after_stall(None, fifth, stalled)
    by_a_command = run.model_copy(update={"id": uuid4(), "deployment_id": None})
    begin_again_after_stall(None, by_a_command, stalled)
    third = run.model_copy(update={"id": uuid4(), "tags": ["nightly", "go-2"]})
    begin_again_after_crash(None, third, without_a_worker)
    assert _goes(api) == ["go-2", "go-3", "go-5"]


def _goes(api: str) -> list[str]:
    """Which goes the runs on this server are that were begun again."""
    goes = []
    for run in _ask(f"{api}/flow_runs/filter"):
        goes += [tag for tag in run["tags"] if tag.startswith("go-")]
    return sorted(goes)


def _ask(address: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        address, data=b"{}", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(json.load(answer))


def test_an_unset_variable_is_an_error_before_the_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOIRE_DST", "s3://clean")
    monkeypatch.delenv("DEMOIRE_SRC", raising=False)
    with pytest.raises(ConfigError, match="needs the environment variable DEMOIRE_SRC"):
        read_deployment(_deployment(tmp_path))


@pytest.mark.parametrize("command", ["serve", "deploy"])
def test_the_nightly_deployment_comes_with_the_package(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wherever the command is started, the one thing that it misses is a variable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEMOIRE_SRC", raising=False)

    assert main([command]) == 2

    assert "needs the environment variable DEMOIRE_SRC" in capsys.readouterr().err
    packaging = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = packaging["tool"]["setuptools"]["package-data"]["flows"]
    assert NIGHTLY == ROOT / "flows" / "nightly.yaml" and NIGHTLY.name in shipped


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schedules": [{"interval": -1}]}, "schedules.0.interval"),
        ({"schedules": [{"timezone": "UTC"}]}, "either 'cron' or 'interval'"),
        ({"schedules": [{"cron": "0 1 * * *", "interval": 60}]}, "either 'cron' or 'interval'"),
        ({"schedules": [{"interval": 60, "timezone": "Mars"}]}, "schedules.0.timezone"),
        ({"concurrency_limit": {"limit": 1, "collision_strategy": "WAIT"}}, "collision_strategy"),
        ({"entrypoint": "flows/other.py:clean"}, "'entrypoint'"),
        ({"parameters": {"src": "s3://in"}}, "'parameters.dst'"),
        ({"parameters": {**PLACES, "source": "s3://in"}}, "'parameters.source'"),
        ({"parameters": {**PLACES, "settings": {"gate": "of"}}}, "'parameters.settings.gate'"),
        ({"retries": 3}, "'retries'"),
        ({"name": None}, "'name'"),
    ],
)
def test_a_malformed_deployment_is_named(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read_deployment(_deployment(tmp_path, **{"parameters": PLACES, **changes}))


@pytest.mark.parametrize(
    "parameters",
    [
        {"src": SECRET, "dst": "s3://out"},
        {"src": "s3://in", "dst": SECRET},
        {"src": "s3://in", "dst": "s3://out", "settings": {"also": [SECRET]}},
        {"src": "s3://in", "dst": "s3://out", "settings": {"registry": SECRET}},
    ],
)
def test_no_place_of_a_deployment_may_carry_credentials(
    parameters: dict[str, object], tmp_path: Path
) -> None:
    """Prefect stores the parameters in plain sight."""
    with pytest.raises(UsageError, match="credentials"):
        read_deployment(_deployment(tmp_path, parameters=parameters))


def test_a_schedule_that_is_no_line_of_cron_is_one_sentence(tmp_path: Path) -> None:
    schedules = [{"cron": "every day"}]
    file = _deployment(tmp_path, parameters=PLACES, schedules=schedules)
    with pytest.raises(ConfigError, match="deployment 'often' is wrong: .*every day"):
        as_prefect(read_deployment(file))


def test_a_deployment_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no deployment 'weekly'; it has often"):
        read_deployment(_deployment(tmp_path, parameters=PLACES), "weekly")
    with pytest.raises(ConfigError, match="There is no deployment file"):
        read_deployment(tmp_path / "nosuch.yaml")


def test_deploy_without_a_server_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PREFECT_API_URL"):
        deploy(read_deployment(_deployment(tmp_path, parameters=PLACES)), pool=None)


@pytest.mark.slow
@pytest.mark.parametrize("command", [["serve"], ["deploy", "--pool", "archive"]])
def test_a_server_that_does_not_answer_is_one_sentence(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _deployment(tmp_path, parameters=PLACES)
    address = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    ended = demoire(*command, "--file", file)  # Prefect reads the variable once a process
    assert ended.status == 2
    assert ended.err.startswith(f"demoire: The Prefect server at {address} did not")
