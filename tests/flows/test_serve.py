"""`demoire serve` against a real Prefect server that it starts itself: the schedule comes, a bucket
is clean.
"""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from demoire.errors import ConfigError, UsageError
from flows.deployment_file import read_deployment
from flows.deployments import deploy
from flows.server import local_server
from tests.pipelines.conftest import read_tar
from tests.s3_server import free_port, s3_variables, serve_s3

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
    environment = {**os.environ, **variables, **places, "PREFECT_HOME": str(tmp_path / "prefect")}
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        serving = subprocess.Popen(
            words, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        page = folder / "clean/_demoire/page/index.html"
        end = time.monotonic() + PATIENCE
        while not page.exists():
            assert serving.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        before, after = read_tar(box / "box.tar"), read_tar(folder / "clean/box.tar")
        assert [name for name in before if after[name] != before[name]] == [
            "img_000.jpg",
            "img_002.jpg",
            "img_004.jpg",
        ]
    finally:
        serving.send_signal(signal.SIGINT)
        try:
            serving.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.wait()


@pytest.mark.slow
def test_deploy_creates_the_deployment_and_its_pool_and_again_changes_it(tmp_path: Path) -> None:
    port = free_port()
    with local_server(port) as api:
        for cron in ("30 1 * * *", "30 2 * * *"):
            file = _deployment(
                tmp_path,
                parameters={"src": "s3://in", "dst": "s3://out"},
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
        assert deployment["parameters"] == {"src": "s3://in", "dst": "s3://out"}
        assert [schedule["schedule"]["cron"] for schedule in deployment["schedules"]] == [
            "30 2 * * *"
        ]
        assert [pool["type"] for pool in _ask(f"{api}/work_pools/filter")] == ["process"]


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


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schedules": [{"interval": -1}]}, "schedules.0.interval"),
        ({"retries": 3}, "'retries'"),
        ({"name": None}, "'name'"),
    ],
)
def test_a_malformed_deployment_is_named(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read_deployment(_deployment(tmp_path, parameters={}, **changes))


def test_a_deployment_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no deployment 'weekly'; it has often"):
        read_deployment(_deployment(tmp_path, parameters={}), "weekly")
    with pytest.raises(ConfigError, match="There is no deployment file"):
        read_deployment(tmp_path / "nosuch.yaml")


def test_deploy_without_a_server_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PREFECT_API_URL"):
        deploy(read_deployment(_deployment(tmp_path, parameters={})), pool=None)
