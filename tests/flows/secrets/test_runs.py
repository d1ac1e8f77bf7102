"""No credential from environment or storage options shows in what a run prints, writes or hands on.

The runs are real: as the flow on a Prefect server and on a Ray of their own. Afterwards everything
is searched: what was printed, every file under DST, Prefect's home with its database, Ray's session
with its logs, and temporary files.
"""

import json
from pathlib import Path

import pytest
import yaml

from flows.cli import main
from tests.flows.secrets.planted import (
    KEY,
    OTHER_SECRET,
    PASSWORD,
    SECRET,
    TOKEN,
    left_in,
    shown_in,
)
from tests.flows.secrets.sandbox import OPTION, Sandbox, log_in, sandbox
from tests.pipelines.conftest import read_tar
from tests.s3_server import free_port


def _flow_words(tiny_toml: Path, dst: str, *more: str) -> list[str]:
    return ["clean", "s3://incoming", dst, "--config", str(tiny_toml), "--prefect", *more]


def _check_search(root: Path, dst: Path, prefect_home: Path) -> None:
    """The search goes over what it is meant to go over: each kind of file is there, and Prefect's
    parameters are.
    """
    names = {file.name for file in root.rglob("*")}
    assert {
        "raylet.out",
        "ray-data.log",
        "event_EXPORT_DRIVER_JOB.log",
        "event_EXPORT_DATASET_METADATA.log",
    } <= names
    kept = {path.name for path in (dst / "_demoire").iterdir()}
    assert {"manifest", "commits", "segments", "rows", "shelves", "report", "runs"} <= kept
    assert "prefect.db" in left_in(prefect_home, dst.name)


@pytest.fixture(scope="module")
def cleaned(store: Sandbox, prefect_home: Path, tiny_toml: Path) -> tuple[int, str]:
    """A run with all its credentials in the environment, and a password for PDF files."""
    variables = {**store.variables(), "AWS_SESSION_TOKEN": TOKEN}
    passwords = tiny_toml.with_name("passwords.txt")
    passwords.write_text(PASSWORD)
    words = _flow_words(tiny_toml, "s3://clean/by-environment", "--debug")
    return store.run([*words, "--pdf-password-file", str(passwords)], variables)


@pytest.mark.slow
def test_keys_in_the_environment_are_left_nowhere(
    cleaned: tuple[int, str], store: Sandbox, prefect_home: Path, box: Path
) -> None:
    status, printed = cleaned
    secrets = (SECRET, TOKEN, PASSWORD)
    assert (status, shown_in(printed, *secrets)) == (0, []), printed[-2000:]
    dst = store.root / "buckets/clean/by-environment"
    assert read_tar(dst / "box.tar").keys() == read_tar(box / "box.tar").keys()
    _check_search(store.root, dst, prefect_home)
    assert left_in(prefect_home, *secrets) | left_in(store.root, *secrets) == {}


@pytest.mark.slow
def test_keys_in_storage_options_are_left_nowhere_and_debugging_tells_none(
    box: Path, prefect_home: Path, tiny_toml: Path
) -> None:
    with sandbox(box, OTHER_SECRET) as store:
        client = json.dumps({"endpoint_url": store.endpoint, "region_name": "us-east-1"})
        options = [f"key={KEY}", f"secret={OTHER_SECRET}", f"client_kwargs={client}"]
        words = [word for option in options for word in ("--storage-option", option)]
        status, printed = store.run(
            _flow_words(tiny_toml, "s3://clean/by-option", "--debug", *words), {}
        )
        assert (status, shown_in(printed, OTHER_SECRET)) == (0, []), printed[-2000:]
        _check_search(store.root, store.root / "buckets/clean/by-option", prefect_home)
        assert left_in(prefect_home, OTHER_SECRET) | left_in(store.root, OTHER_SECRET) == {}


# The command, but that the key is changed in the store's eyes once the plan is made: it is the
# workers who are refused.
REVOKED = """
import os, sys
from flows import cli, tasks
from pipelines import run
tasks.RETRIES = 0
plan_units = run.plan_units
def plan_and_lose_the_key(*arguments):
    planned = plan_units(*arguments)
    os.environ["AWS_SECRET_ACCESS_KEY"] = os.environ["LATER_SECRET"]
    return planned
run.plan_units = plan_and_lose_the_key
sys.exit(cli.main())
"""


@pytest.mark.slow
def test_workers_whose_keys_are_refused_tell_none(
    box: Path, prefect_home: Path, tiny_toml: Path
) -> None:
    with sandbox(box, SECRET) as store:
        words = _flow_words(tiny_toml, str(store.root / "dst"), "--debug")
        status, printed = store.run(
            words, {**store.variables(), "LATER_SECRET": OTHER_SECRET}, REVOKED
        )
        assert status == 2 and "refused the credentials" in printed, printed[-2000:]
        assert "Traceback (most recent call last)" in printed
        assert shown_in(printed, SECRET, OTHER_SECRET) == []
        assert left_in(prefect_home, "refused the credentials") != {}
        assert (
            left_in(prefect_home, SECRET, OTHER_SECRET) | left_in(store.root, SECRET, OTHER_SECRET)
            == {}
        )


# Other commands about that run


@pytest.mark.slow
@pytest.mark.parametrize("by_option", [False, True], ids=["environment", "options"])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("status s3://clean/by-environment", "units committed"),
        ("status s3://clean/by-environment --json", '"quarantine"'),
        (
            "report s3://clean/by-environment",
            "s3://clean/by-environment/_demoire/page/index.html",
        ),
        ("plan s3://incoming s3://clean/by-environment --json --config FILE", '"plan"'),
        ("doctor s3://incoming s3://clean --write", "can be written"),
    ],
    ids=["status", "status as json", "report", "plan", "doctor"],
)
def test_commands_about_a_run_tell_no_secret(
    line: str,
    says: str,
    by_option: bool,
    tiny_toml: Path,
    cleaned: tuple[int, str],
    store: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_in(store, monkeypatch, {"AWS_SECRET_ACCESS_KEY": ""} if by_option else None)
    options = [f"{OPTION}=key={KEY}", f"{OPTION}=secret={SECRET}"] if by_option else []
    words = [str(tiny_toml) if word == "FILE" else word for word in line.split()]
    status = main([*words, *options, "--debug"])
    printed = capfd.readouterr()
    assert says in printed.out, printed.err
    # which may have other things to say of this machine
    assert status == 0 or line.startswith("doctor")
    assert shown_in(printed.out + printed.err, SECRET) == []
    assert left_in(store.root / "buckets", SECRET) == {}


# Deployments: their parameters are for all to see


def _deploy(store: Sandbox, tmp_path: Path, variables: dict[str, str]) -> tuple[int, str]:
    parameters = {"src": "{{ $DEMOIRE_SRC }}", "dst": "{{ $DEMOIRE_DST }}"}
    entry = {
        "name": "often",
        "entrypoint": "flows/clean_archive.py:clean_archive",
        "parameters": parameters,
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": [entry]}))
    places = {"DEMOIRE_SRC": "s3://incoming", "DEMOIRE_DST": "s3://clean"}
    return store.run(["deploy", "--file", str(file), "--pool", "archive"], {**places, **variables})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DEMOIRE_SRC", "DEMOIRE_DST"])
def test_a_url_with_credentials_is_not_deployed(
    name: str, store: Sandbox, prefect_home: Path, tmp_path: Path
) -> None:
    secret = f"{PASSWORD}{name[-3:]}"
    status, printed = _deploy(store, tmp_path, {name: f"s3://{KEY}:{secret}@archive/box"})
    assert left_in(prefect_home, secret) == {}
    assert shown_in(printed, secret) == []
    assert status == 2 and "carries credentials" in printed


@pytest.mark.slow
def test_deploy_keeps_the_password_of_a_prefect_server(store: Sandbox, tmp_path: Path) -> None:
    address = f"http://user:{PASSWORD}@127.0.0.1:{free_port()}/api"
    status, printed = _deploy(store, tmp_path, {"PREFECT_API_URL": address})
    assert status == 2 and "did not take the deployment" in printed
    assert shown_in(printed, PASSWORD) == []
