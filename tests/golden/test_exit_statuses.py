"""Exit statuses of real processes, and that an error is one sentence on stderr."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.golden.command import ROOT, Ended, demoire, environment
from tests.golden.conftest import GATE_OFF, Mirror, draw


def assert_one_sentence(ended: Ended) -> None:
    assert ended.out == ""
    assert ended.err.startswith("demoire: ") and ended.err.count("\n") == 1, ended.err


def test_0_for_the_version() -> None:
    ended = demoire("--version")

    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("demoire ")


def test_1_with_strict_where_something_is_in_quarantine(mirror: Mirror) -> None:
    assert demoire("clean", mirror.src, mirror.dst, *GATE_OFF, "--strict").status == 1


def test_1_with_strict_where_a_picture_at_hand_cannot_be_read(tmp_path: Path) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(draw(1, "JPEG")[:600])

    assert demoire("detect", torn, "--device", "cpu", "--strict").status == 1


@pytest.mark.parametrize(
    "words",
    [
        ["claen"],
        ["clean", "only-one-place"],
        ["clean", "a", "b", "--no-such-flag"],
        ["clean", "a", "b", "--gate", "maybe"],
        ["clean", "a", "b", "--threshold", "2"],
        ["clean", "a", "b", "--config", "no-such-file.toml"],
        ["detect", "no-such-picture.jpg"],
        ["status", "no-such-folder"],
    ],
    ids=" ".join,
)
def test_2_for_bad_usage_or_input(words: list[str]) -> None:
    ended = demoire(*words)

    assert ended.status == 2
    assert_one_sentence(ended)


def test_3_for_a_run_that_failed(tmp_path: Path) -> None:
    """The plan of this destination is of a version that nobody can read."""
    manifest = tmp_path / "dst" / "_demoire" / "manifest"
    manifest.mkdir(parents=True)
    (manifest / "latest.json").write_text('{"plan": "0123456789abcdef"}')
    (manifest / "0123456789abcdef.sources.parquet").write_bytes(b"no table")

    ended = demoire("status", tmp_path / "dst")

    assert ended.status == 3
    assert_one_sentence(ended)


def test_3_where_the_doctor_finds_something_wrong() -> None:
    ended = demoire("doctor", "ftp://nowhere")

    assert ended.status == 3
    assert "WRONG storage ftp://nowhere" in ended.out


def test_130_where_the_keyboard_stops_it(tmp_path: Path) -> None:
    words = ["simulate", "drawn", str(tmp_path / "pairs"), "--kind", "screen", "--count", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not any((tmp_path / "pairs").glob("*.png")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130, err
    assert "Traceback" not in err
