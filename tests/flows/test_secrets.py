"""No credential from environment, URL or storage options shows in anything that a run prints,
writes or hands on.

Distinctive secrets are planted, and all that is left afterwards is searched for them: what was
printed, every file under DST, Prefect's home with its database, Ray's session with its logs, and
temporary files. A secret counts as found when any part of it is there, plain, URL-quoted or in
base64, also inside Parquet and SQLite.
"""

import base64
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flows.cli import main
from flows.server import local_server
from pipelines.storage import s3_client
from tests.pipelines.conftest import read_tar
from tests.s3_server import free_port, s3_variables, serve_s3

KEY = "a-key"
# Like those of AWS: with characters that are quoted in URLs, and a slash, at which a URL's user
# part seems to end.
SECRET = "PlantedHush7f3a/Qu1et+Hidden9c1e/NeverT0ld="
OTHER_SECRET = "AlienVeil5d2b/Cl0aked+Masked8e4f/S1lenced="
TOKEN = "SessionWhisper6b1d/Mut3d+Sealed2f9a=="
PASSWORD = "PasswordMurmur3e8c"  # of letters and digits only, as URLs take it without quotes


# The search


def forms(secret: str) -> set[bytes]:
    """What a secret, or one of its parts between slashes, looks like in a file."""
    found: set[bytes] = set()
    for part in filter(None, secret.split("/")):
        quoted = quote(part, safe="")
        lower = re.sub("%..", lambda code: code.group().lower(), quoted)
        found |= {text.encode() for text in (part, quoted, lower, quote(quoted), quote_plus(part))}
        # base64 of something longer, in which the part begins anywhere
        for shift, cut in enumerate((0, 2, 3)):
            encoded = base64.b64encode(bytes(shift) + part.encode())[
                cut : (shift + len(part)) * 8 // 6
            ]
            found |= {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def shown_in(data: bytes | str, *secrets: str) -> list[str]:
    """Where `data` tells one of the secrets: the place, with a little of what stands around it."""
    data = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    places = ((data.find(form), len(form)) for secret in secrets for form in forms(secret))
    return [
        data[max(0, at - 60) : at + length].decode(errors="replace")
        for at, length in sorted(places)
        if at >= 0
    ]


def left_in(folder: Path, *secrets: str) -> dict[str, str]:
    """The files under a folder that tell one of the secrets, and a place where."""
    found = {}
    for file in sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    ):
        with suppress(FileNotFoundError):  # a running server's journal comes and goes
            if places := [place for data in contents(file) for place in shown_in(data, *secrets)]:
                found[str(file.relative_to(folder))] = places[0]
    return found


def contents(file: Path) -> Iterator[bytes]:
    """The bytes of a file; then its values, where the file holds them compressed or cut into
    pages.
    """
    data = file.read_bytes()
    yield data
    if data.startswith(b"PAR1"):
        table = pq.read_table(file)
        yield repr((table.to_pylist(), table.schema.metadata)).encode()
    if data.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                yield repr(database.execute(f'SELECT * FROM "{name}"').fetchall()).encode()


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET, safe=""),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        f"https://...{SECRET.rpartition('/')[2]}@store",
    ],
    ids=["plain", "quoted", "base64", "urlsafe", "last part"],
)
def test_the_search_finds_a_secret_in_each_kind_of_file(written: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/plain.log").write_bytes(b"\xff\0" + written.encode() + b"\n")
    packed, schema = tmp_path / "values.parquet", tmp_path / "schema.parquet"
    notes = pa.table({"note": ["so " * 99, written]})
    pq.write_table(notes, packed, compression="gzip", use_dictionary=False, write_statistics=False)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"note": written}), schema)
    with closing(sqlite3.connect(tmp_path / "live.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE log (line TEXT)")
        database.execute("INSERT INTO log VALUES (?)", (written,))
        database.commit()
        for file in (packed, tmp_path / "live.db"):  # which it is not enough to read as they are
            assert shown_in(file.read_bytes(), SECRET) == []
        planted = {"logs/plain.log", "values.parquet", "schema.parquet", "live.db", "live.db-wal"}
        assert set(left_in(tmp_path, SECRET)) == planted
        assert left_in(tmp_path, OTHER_SECRET) == {}


# Whole runs, as the flow on a Prefect server and on a Ray of their own


@dataclass(frozen=True)
class Sandbox:
    """A store with the buckets `incoming` (the box) and `clean`, and with all other places that a
    run may write to.
    """

    root: Path
    endpoint: str

    def variables(self) -> dict[str, str]:
        return s3_variables(self.endpoint, KEY, SECRET)

    def run(
        self, words: list[str], variables: dict[str, str], program: str = ""
    ) -> tuple[int, str]:
        """The command in a process of its own, told to log all it can: exit status and everything
        it printed.

        program: Python that calls the command, instead of the command itself.
        """
        folders = {"HOME": "home", "TMPDIR": "tmp", "RAY_TMPDIR": "tmp"}
        for folder in folders.values():
            (self.root / folder).mkdir(exist_ok=True)
        talkative = {
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "S3FS_LOGGING_LEVEL": "DEBUG",
            "RAY_BACKEND_LOG_LEVEL": "debug",
            # all that a cluster's dashboard or history server is told, as files
            "RAY_enable_export_api_write": "1",
        }
        places = {name: str(self.root / folder) for name, folder in folders.items()}
        command = [sys.executable, *(["-c", program] if program else ["-m", "flows.cli"]), *words]
        environment = {**os.environ, **talkative, **places, **variables}
        done = subprocess.run(command, capture_output=True, env=environment, timeout=300)
        return done.returncode, (done.stdout + done.stderr).decode(errors="backslashreplace")


@contextmanager
def sandbox(box: Path, secret: str) -> Iterator[Sandbox]:
    # not pytest's: the sockets of Ray want a short path
    root = Path(tempfile.mkdtemp(prefix="demoire-"))
    try:
        for bucket in ("incoming", "clean"):
            (root / "buckets" / bucket).mkdir(parents=True)
        shutil.copy(box / "box.tar", root / "buckets/incoming")
        with serve_s3(root / "buckets", KEY, secret) as endpoint:
            yield Sandbox(root, endpoint)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def store(box: Path) -> Iterator[Sandbox]:
    with sandbox(box, SECRET) as made:
        yield made


@pytest.fixture(scope="module")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a Prefect server and its clients. The server's address is in the environment
    meanwhile.
    """
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        with local_server(free_port()):
            yield home


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
    assert {"manifest", "commits", "segments", "rows", "published", "report", "runs"} <= kept
    assert "prefect.db" in left_in(prefect_home, dst.name)


@pytest.fixture(scope="module")
def cleaned(store: Sandbox, prefect_home: Path, tiny_toml: Path) -> tuple[int, str]:
    """A run with all its credentials in the environment."""
    variables = {**store.variables(), "AWS_SESSION_TOKEN": TOKEN}
    return store.run(_flow_words(tiny_toml, "s3://clean/by-environment"), variables)


@pytest.mark.slow
def test_keys_in_the_environment_are_left_nowhere(
    cleaned: tuple[int, str], store: Sandbox, prefect_home: Path, box: Path
) -> None:
    status, printed = cleaned
    assert (status, shown_in(printed, SECRET, TOKEN)) == (0, []), printed[-2000:]
    dst = store.root / "buckets/clean/by-environment"
    assert read_tar(dst / "box.tar").keys() == read_tar(box / "box.tar").keys()
    _check_search(store.root, dst, prefect_home)
    assert left_in(prefect_home, SECRET, TOKEN) | left_in(store.root, SECRET, TOKEN) == {}


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
        assert "RayTaskError" in printed  # a traceback of worker and driver both
        assert shown_in(printed, SECRET, OTHER_SECRET) == []
        assert left_in(prefect_home, "refused the credentials") != {}
        assert (
            left_in(prefect_home, SECRET, OTHER_SECRET) | left_in(store.root, SECRET, OTHER_SECRET)
            == {}
        )


# Runs that fail at once


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


_OPTION = "--storage-option"
_IN_YAML = f"deployments:\n  - name: nightly\n   secret: {PASSWORD}\n"  # one space short

FAILING = {
    "wrong secret": Failing(
        "clean s3://incoming DST",
        "refused the credentials",
        {"AWS_SECRET_ACCESS_KEY": OTHER_SECRET},
    ),
    "wrong secret by option": Failing(
        f"clean s3://incoming DST {_OPTION} secret={OTHER_SECRET} {_OPTION} key={KEY}",
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
        f"clean s3://incoming DST {_OPTION} endpoint_url=http://user:{PASSWORD}@127.0.0.1:9",
        "carries credentials",
    ),
    "password in endpoint by client_kwargs": Failing(
        f'clean s3://incoming DST {_OPTION} client_kwargs={{"endpoint_url":"http://user:{PASSWORD}@127.0.0.1:9"}}',
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
        f"clean s3://incoming DST {_OPTION} anon=true",
        "is no JSON object",
        {"DEMOIRE_STORAGE_OPTIONS": f"secret={OTHER_SECRET}"},
    ),
    "option without a name": Failing(
        f"clean s3://incoming DST {_OPTION} {PASSWORD}", "is not of the form KEY=VALUE"
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


def _log_in(
    store: Sandbox, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str] | None = None
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    # Empty is as good as unset; and what a command puts there is taken back at the test's end.
    for name, value in {
        **store.variables(),
        "DEMOIRE_STORAGE_OPTIONS": "",
        **(variables or {}),
    }.items():
        monkeypatch.setenv(name, value)


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
    _log_in(store, monkeypatch, {name: meant(value) for name, value in failing.variables.items()})
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)  # patience is another test's matter
    status = main([*map(meant, failing.line.split()), *(["--debug"] if debug else [])])
    printed = capfd.readouterr()
    told = printed.out + printed.err
    assert shown_in(told, SECRET, OTHER_SECRET, PASSWORD) == []
    assert left_in(left, SECRET, OTHER_SECRET, PASSWORD) == {}
    sentence = printed.err.splitlines()[-1]
    assert sentence.startswith("demoire: ") and failing.says in sentence
    assert ("Traceback" in told) == debug and (debug or told == sentence + "\n")
    assert status == failing.status


# Other commands


@pytest.mark.slow
@pytest.mark.parametrize("by_option", [False, True], ids=["environment", "options"])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("status s3://clean/by-environment", "units committed"),
        ("status s3://clean/by-environment --json", '"quarantine"'),
        (
            "report s3://clean/by-environment",
            "s3://clean/by-environment/_demoire/report/index.html",
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
    _log_in(store, monkeypatch, {"AWS_SECRET_ACCESS_KEY": ""} if by_option else None)
    options = [f"{_OPTION}=key={KEY}", f"{_OPTION}=secret={SECRET}"] if by_option else []
    words = [str(tiny_toml) if word == "FILE" else word for word in line.split()]
    status = main([*words, *options, "--debug"])
    printed = capfd.readouterr()
    assert says in printed.out, printed.err
    # which may have other things to say of this machine
    assert status == 0 or line.startswith("doctor")
    assert shown_in(printed.out + printed.err, SECRET) == []
    assert left_in(store.root / "buckets", SECRET) == {}


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
    _log_in(store, monkeypatch, {"AWS_SECRET_ACCESS_KEY": OTHER_SECRET})
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
