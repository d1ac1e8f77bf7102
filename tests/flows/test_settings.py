"""Flags and configuration file become one object, and what is wrong in them is named in one
sentence.
"""

import io
import json
import os
from pathlib import Path

import pytest

from demoire.cleaning.config import CleanerConfig
from demoire.errors import ConfigError, UsageError
from flows.settings import CleanSettings, read_settings
from flows.storage_options import keep_storage_options


@pytest.fixture
def night_toml(tmp_path: Path) -> Path:
    file = tmp_path / "night.toml"
    file.write_text('gate = "off"\nworkers = 3\nmax_megapixels = 80\n')
    return file


def test_nothing_given_is_the_defaults() -> None:
    assert read_settings(None, gate=None, workers=None) == CleanSettings()


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(night_toml: Path) -> None:
    settings = read_settings(night_toml, workers=1, gate=None)
    assert (settings.gate, settings.workers, settings.max_megapixels, settings.device) == (
        "off",
        1,
        80,
        "auto",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wrokers = 3\n", "Unknown setting 'wrokers'"),
        ("workers = 0\n", "greater than or equal to 1"),
        ('gate = "maybe"\n', "'gate'"),
        ('device = "tpu"\n', "There is no device 'tpu'"),
        ("workers = \n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_settings(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml does not exist"):
        read_settings(tmp_path / "missing.toml")


def test_weights_by_name_take_the_place_of_the_model_that_each_is() -> None:
    assert read_settings(None, weights=["restorer"]).cleaner_config() == CleanerConfig()
    with pytest.raises(UsageError, match="Both 'weights' and 'restorer' name a restorer"):
        read_settings(None, weights=["restorer"], restorer="mine.safetensors").cleaner_config()


def test_storage_options_go_to_the_environment_with_their_types(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", '{"key": "old", "kept": 1}')
    keep_storage_options(["key=new", "anon=false", 'client_kwargs={"verify": false}', "secret=a=b"])
    assert json.loads(os.environ["DEMOIRE_STORAGE_OPTIONS"]) == {
        "key": "new",
        "kept": 1,
        "anon": False,
        "client_kwargs": {"verify": False},
        "secret": "a=b",
    }


def test_a_malformed_storage_option_is_refused_without_repeating_it() -> None:
    with pytest.raises(UsageError) as caught:
        keep_storage_options(["hush-hush"])
    assert "hush-hush" not in str(caught.value)


def test_further_sources_come_from_options_and_then_from_the_list(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"/data/b\n\n/data/with space \xe9\r\n")
    job = CleanSettings(also=("/data/a",), from_file=str(listed)).clean_job("/data", "/out")
    assert job.also == ("/data/a", "/data/b", "/data/with space \udce9")


def test_a_list_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"/data/b\n/data/c")))
    assert CleanSettings(from_file="-").clean_job("", "/out").also == ("/data/b", "/data/c")


@pytest.mark.parametrize("content", [None, b"\n \n"])
def test_a_list_that_names_nothing_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    listed = tmp_path / "list.txt"
    if content is not None:
        listed.write_bytes(content)
    with pytest.raises(UsageError, match="list.txt (cannot be read|names no SRC)"):
        CleanSettings(from_file=str(listed)).clean_job("/data", "/out")


def test_gpus_that_the_device_would_leave_idle_are_refused() -> None:
    settings = CleanSettings(gpus=2, device="cpu")
    with pytest.raises(UsageError, match="--gpus asks for what --device cpu leaves idle"):
        settings.clean_job("box", "out")
