"""No credential shows in what is said of a command that fails at once."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from flows.cli import main
from pipelines.storage import s3_client
from tests.flows.secrets.planted import (
    KEY,
    OTHER_SECRET,
    PASSWORD,
    SECRET,
    left_in,
    shown_in,
)
from tests.flows.secrets.sandbox import OPTION, Sandbox, log_in
from tests.s3_server import free_port


@dataclass(frozen=True)
class Failing:
    """A line that fails, and what is said of it. DST, FILE (holding `file`) and NOWHERE stand for a
    path or a URL.
    """

    line: str
    says: str
    variables: dict[str, str] = field(default_factory=dict)
    file: str = ""
    status: int = 2


_IN_YAML = f"deployments:\n  - name: nightly\n   secret: {PASSWORD}\n"  # one space short

FAILING = {
    "wrong secret": Failing(
        "clean s3://incoming DST",
        "refused the credentials",
        {"AWS_SECRET_ACCESS_KEY": OTHER_SECRET},
    ),
    "wrong secret by option": Failing(
        f"clean s3://incoming DST {OPTION} secret={OTHER_SECRET} {OPTION} key={KEY}",
        "refused the credentials",
    ),
    "no such bucket": Failing("clean s3://nosuch DST", "no such bucket"),
    "nothing listens": Failing(
        "clean s3://incoming DST",
        "cannot be reached",
        {"AWS_ENDPOINT_URL": "NOWHERE"},
        status=3,  # it may listen tomorrow
    ),
    "password in endpoint": Failing(
        "clean s3://incoming DST",
        "carries credentials",
        {"AWS_ENDPOINT_URL": f"http://user:{PASSWORD}@127.0.0.1:9"},
    ),
    "password in endpoint without scheme": Failing(
        "clean s3://incoming DST", "endpoint", {"AWS_ENDPOINT_URL": f"user:{PASSWORD}@127.0.0.1:9"}
    ),
    "password in endpoint by option": Failing(
        f"clean s3://incoming DST {OPTION} endpoint_url=http://user:{PASSWORD}@127.0.0.1:9",
        "carries credentials",
    ),
    "password in endpoint by client_kwargs": Failing(
        f'clean s3://incoming DST {OPTION} client_kwargs={{"endpoint_url":"http://user:{PASSWORD}@127.0.0.1:9"}}',
        "carries credentials",
        {"AWS_ENDPOINT_URL": ""},
    ),
    "secret in SRC": Failing(
        f"clean s3://{KEY}:{PASSWORD}@incoming/box DST", "carries credentials"
    ),
    "quoted secret in SRC": Failing(
        f"clean s3://{KEY}:{quote(SECRET, safe='')}@incoming DST", "carries credentials"
    ),
    "secret with slashes in SRC": Failing(
        f"clean s3://{KEY}:{SECRET}@incoming/box DST", "carries credentials"
    ),
    "secret in a glob": Failing(
        f"clean s3://{KEY}:{PASSWORD}@incoming/*.tar DST", "carries credentials"
    ),
    "secret in DST": Failing(
        f"clean s3://incoming s3://{KEY}:{PASSWORD}@clean/by-environment", "carries credentials"
    ),
    "secret in SRC of the flow": Failing(
        f"clean s3://{KEY}:{PASSWORD}@incoming/box DST --prefect", "carries credentials"
    ),
    "secret in the place of status": Failing(
        f"status s3://{KEY}:{PASSWORD}@clean/by-environment", "carries credentials"
    ),
    "variable that is no JSON": Failing(
        "clean s3://incoming DST",
        "is no JSON object",
        {"DEMOIRE_STORAGE_OPTIONS": f"secret={OTHER_SECRET}"},
    ),
    "variable that is no object": Failing(
        "clean s3://incoming DST",
        "is no JSON object",
        {"DEMOIRE_STORAGE_OPTIONS": f'["{OTHER_SECRET}"]'},
    ),
    "variable that is no JSON beside an option": Failing(
        f"clean s3://incoming DST {OPTION} anon=true",
        "is no JSON object",
        {"DEMOIRE_STORAGE_OPTIONS": f"secret={OTHER_SECRET}"},
    ),
    "option without a name": Failing(
        f"clean s3://incoming DST {OPTION} {PASSWORD}", "is not of the form KEY=VALUE"
    ),
    "secret as a setting": Failing(
        "clean s3://incoming DST --config FILE",
        "Unknown setting 'secret'",
        file=f'secret = "{OTHER_SECRET}"\n',
    ),
    "secret in a table of settings": Failing(
        "clean s3://incoming DST --config FILE",
        "Unknown setting 'storage'",
        file=f'[storage]\nkey = "{PASSWORD}"\n',
    ),
    "secret without quotes": Failing(
        "clean s3://incoming DST --config FILE", "not valid TOML", file=f"secret = {OTHER_SECRET}\n"
    ),
    "secret in a malformed deployment": Failing(
        "deploy --file FILE", "no Prefect deployment file", file=_IN_YAML
    ),
}


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("failing", FAILING.values(), ids=FAILING.keys())
def test_a_line_that_fails_tells_no_secret(
    failing: Failing,
    debug: bool,
    store: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    stands_for = {
        "DST": str(left / "dst"),
        "FILE": str(tmp_path / "given"),
        "NOWHERE": f"http://127.0.0.1:{free_port()}",
    }

    def meant(text: str) -> str:
        return stands_for.get(text, text)

    (tmp_path / "given").write_text(failing.file)
    log_in(store, monkeypatch, {name: meant(value) for name, value in failing.variables.items()})
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    monkeypatch.setattr(s3_client, "MOST_ATTEMPTS", 1)  # patience is another test's matter
    status = main([*map(meant, failing.line.split()), *(["--debug"] if debug else [])])
    printed = capfd.readouterr()
    told = printed.out + printed.err
    assert shown_in(told, SECRET, OTHER_SECRET, PASSWORD) == []
    assert left_in(left, SECRET, OTHER_SECRET, PASSWORD) == {}
    sentence = printed.err.splitlines()[-1]
    assert sentence.startswith("demoire: ") and failing.says in sentence
    assert ("Traceback" in told) == debug and (debug or told == sentence + "\n")
    assert status == failing.status


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("s3://incoming", "refused the credentials"),
        (f"s3://{KEY}:{PASSWORD}@incoming", "carries credentials"),
    ],
    ids=["wrong secret", "secret in the place"],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["", "json"])
def test_doctor_says_what_is_wrong_without_the_secret(
    place: str,
    says: str,
    as_json: bool,
    store: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_in(store, monkeypatch, {"AWS_SECRET_ACCESS_KEY": OTHER_SECRET})
    assert main(["doctor", place, *(["--json"] if as_json else [])]) == 3
    printed = capfd.readouterr()
    assert says in printed.out
    assert shown_in(printed.out + printed.err, OTHER_SECRET, PASSWORD) == []


@pytest.mark.parametrize("host", ["127.0.0.1:9", "127.0.0.1"])
def test_doctor_keeps_the_password_of_a_prefect_server(
    host: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://user:{PASSWORD}@{host}/api")
    assert main(["doctor"]) == 3
    printed = capfd.readouterr()
    assert shown_in(printed.out + printed.err, PASSWORD) == []
    assert "PREFECT_API_URL" in printed.out
