"""The command on a real S3 server: one bucket cleaned into another, and how it ends where it cannot
be.
"""

import itertools
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demoire.models.weights import find_weights
from flows.cli import main
from pipelines.training.registry import Registry
from tests.pipelines.conftest import read_tar
from tests.s3_server import Fault, s3_variables, serve_faults, serve_s3

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

KEY, SECRET = "the-key", "the-secret-hush-hush"


@pytest.fixture(scope="module")
def endpoint(box: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server with the box in the bucket `incoming` and an empty bucket `clean`, and the folder
    that it serves.
    """
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "incoming/1890s").mkdir(parents=True)
    (folder / "clean").mkdir()
    (folder / "incoming/1890s/box.tar").write_bytes((box / "box.tar").read_bytes())
    with serve_s3(folder, KEY, SECRET) as url:
        yield url, folder


def _log_in(monkeypatch: pytest.MonkeyPatch, endpoint: str, secret: str = SECRET) -> None:
    for name, value in s3_variables(endpoint, KEY, secret).items():
        monkeypatch.setenv(name, value)


def test_a_bucket_is_cleaned_into_another_bucket(
    endpoint: tuple[str, Path],
    box: Path,
    tiny_toml: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, folder = endpoint
    _log_in(monkeypatch, url)
    assert main(["clean", "s3://incoming", "s3://clean/mirror", "--config", str(tiny_toml)]) == 0
    assert "report: s3://clean/mirror/_demoire/page/index.html" in capsys.readouterr().out
    before, after = read_tar(box / "box.tar"), read_tar(folder / "clean/mirror/1890s/box.tar")
    assert list(before) == list(after)
    assert [name for name in before if after[name] != before[name]] == [
        "img_000.jpg",
        "img_002.jpg",
        "img_004.jpg",
    ]
    assert main(["status", "s3://clean/mirror"]) == 0
    assert SECRET not in "".join(
        p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file()
    )


def test_weights_are_taken_by_their_names_from_a_bucket(
    endpoint: tuple[str, Path], tiny_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = endpoint
    _log_in(monkeypatch, url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny, registry = tomllib.loads(tiny_toml.read_text()), "s3://clean/models"
    digests = {}
    for name, model in (("books", "restorer"), ("finder", "detector")):
        weights = find_weights(tiny[model])
        assert Registry(registry).register(weights, name, after=None, training={}, figures={})
        digests[model] = weights.digest
    named = tmp_path / "named.toml"
    named.write_text(
        f'weights = ["books", "finder"]\nregistry = "{registry}"\nthreshold = {tiny["threshold"]}\n'
    )
    assert (
        main(
            [
                "clean",
                "s3://incoming",
                "s3://clean/named",
                "--config",
                str(named),
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    (table,) = (folder / "clean/named/_demoire/report").glob("*.parquet")
    rows = pq.read_table(table, columns=["status", "weights_digest"]).to_pylist()
    assert [row["weights_digest"] for row in rows if row["status"] == "cleaned"] == 3 * [
        digests["restorer"]
    ]
    kept = {path.stem for path in (folder / "clean/named/_demoire/weights").iterdir()}
    assert kept == set(digests.values())


def test_wrong_credentials_are_one_sentence_and_status_2(
    endpoint: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _log_in(monkeypatch, endpoint[0], secret="another-secret")
    assert main(["clean", "s3://incoming", "s3://clean/other"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("demoire: ") and message.count("\n") == 1
    assert "AWS_ACCESS_KEY_ID" in message and "another-secret" not in message


def test_a_bucket_that_is_not_there_is_one_sentence_and_status_2(
    endpoint: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _log_in(monkeypatch, endpoint[0])
    assert main(["clean", "s3://nosuch", "s3://clean/other"]) == 2
    assert "no such bucket" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["slow_down", "reset"])
def test_a_store_that_keeps_failing_is_one_sentence_and_status_3(
    endpoint: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
) -> None:
    impatient = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", json.dumps(impatient))
    monkeypatch.setattr("pipelines.storage.s3_client.LONGEST_PAUSE", 0.01)
    with serve_faults(endpoint[0], itertools.repeat(fault)) as url:
        _log_in(monkeypatch, url)
        assert main(["clean", "s3://incoming", "s3://clean/other"]) == 3
    message = capsys.readouterr().err
    assert message.startswith("demoire: Cannot ") and message.count("\n") == 1
    assert "run the same command again later" in message
