"""The command itself: help, version, errors as one sentence, and exit statuses."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from demoire.errors import ProofError, StalledError
from flows import app as command_line
from flows.cli import main

PROMISED = [
    "clean",
    "plan",
    "status",
    "report",
    "retry",
    "gc",
    "preview",
    "fix",
    "detect",
    "evaluate",
    "simulate",
    "train",
    "search",
    "bench",
    "serve",
    "deploy",
    "weights",
    "doctor",
    "demo",
]  # one line to read


def test_every_promised_command_has_a_help_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert "<bool>" not in listed
    for command in PROMISED:
        assert f" {command} " in listed
        assert main([command, "--help"]) == 0
        page = capsys.readouterr().out
        assert "Usage: demoire" in page
        assert "<bool>" not in page, "a switch takes no value"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"demoire {version('demoire')}\n"


@pytest.mark.parametrize(
    "words", [["claen"], ["clean"], ["clean", "a"], ["clean", "a", "b", "--nosuch"]]
)
def test_bad_usage_is_one_sentence_with_the_way_to_help(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("demoire: ") and said.count("\n") == 1 and "--help" in said


def test_an_error_ends_with_its_own_status_and_debug_anywhere_adds_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> None:
        raise ProofError("The count does not come out.")

    monkeypatch.setattr(command_line, "app", fails)
    assert main(["clean", "a", "b"]) == 3
    assert capsys.readouterr().err == "demoire: The count does not come out.\n"
    assert main(["clean", "--debug", "a", "b"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_work_that_stood_still_in_somebody_elses_process_is_not_begun_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> None:
        raise StalledError("It stood still.")

    monkeypatch.setattr(command_line, "app", fails)
    assert main(["clean", "a", "b"]) == 3
    assert capsys.readouterr().err == "demoire: It stood still.\n"


def test_the_process_that_waits_for_the_work_imports_nothing_of_weight() -> None:
    code = (
        "import sys, flows.cli; "
        "heavy = {'typer', 'pydantic', 'psutil', 'ray', 'torch', 'numpy', 'prefect'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_an_unforeseen_error_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(command_line, "app", fails)
    assert main(["clean", "a", "b"]) == 3
    assert (
        capsys.readouterr().err
        == "demoire: unexpected ZeroDivisionError: of all things; run again with --debug\n"
    )


def test_a_reader_that_goes_away_is_no_failure() -> None:
    """As in `demoire --help | head -1`; status 1 would mean that something is in quarantine."""
    words = [sys.executable, "-m", "flows.cli", "--help"]
    read_end, write_end = os.pipe()
    os.close(read_end)

    done = subprocess.run(words, stdout=write_end, stderr=subprocess.PIPE)

    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_output_that_finds_a_full_disk_is_one_sentence() -> None:
    words = [sys.executable, "-m", "flows.cli", "--help"]

    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE)

    assert done.returncode == 2
    assert done.stderr.startswith(b"demoire: The work cannot go on: the disk is full")
    assert done.stderr.count(b"\n") == 1


def test_the_installed_command_is_this_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "fix", "nosuch.jpg", "-o", "x"], capture_output=True
    )
    assert done.returncode == 2
    assert done.stderr == b"demoire: nosuch.jpg does not exist; check the path.\n"


def test_doctor_finds_nothing_wrong_here_and_says_what_is_wrong_with_a_place(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("place")
    new = place.with_name("new") / "inner"
    main(["doctor", str(place), str(new), "ftp://nowhere", "--write", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    for name in (
        "demoire",
        "torch",
        "ray",
        "prefect",
        "device",
        "weights detector",
        "weights restorer",
    ):
        assert checks[name]["ok"], checks[name]
    assert checks[f"storage {place}"]["finding"].endswith("can be written")
    assert checks[f"storage {new}"]["finding"].endswith("can be written")
    assert list(place.iterdir()) == [] and not new.parent.exists()
    assert not checks["storage ftp://nowhere"]["ok"] and checks["storage ftp://nowhere"]["way_out"]


@pytest.mark.parametrize(
    ("capabilities", "width"), [({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")]
)
def test_doctor_says_how_exactly_a_cpu_restores(
    capabilities: dict[str, bool],
    width: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    main(["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["device"]["finding"].endswith(f"restores in {width}")


def test_ctrl_c_ends_any_command_with_a_sentence() -> None:
    """Here while the command waits for a list of sources."""
    code = (
        "import os, signal, sys, threading; from flows.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start(); "
        "sys.exit(main(['plan', '--from-file', '-', 'out']))"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert process.returncode == 130
    assert said == "demoire: stopped; the same command again goes on where this one ended\n"
