"""What a rented GPU is for, with the CPU standing in for it."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from demoire.simulate.pairs import PairSet, write_pairs
from tests.benchmarks import gpu
from tests.benchmarks.gpu import Stage, main, run_stage
from tests.benchmarks.gpu_bench import CardWatch, Look, watched_card


def test_without_a_gpu_it_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["--images", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().out.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_stage_that_overruns_is_stopped(tmp_path: Path) -> None:
    sleeps = Stage("sleeps", (sys.executable, "-c", "import time; time.sleep(60)"), 1.0)
    ended = run_stage(sleeps, tmp_path)
    assert ended.status is None
    assert ended.seconds < 20


def test_a_stage_that_fails_is_told(tmp_path: Path) -> None:
    fails = Stage("fails", (sys.executable, "-c", "import sys; sys.exit(3)"), 30.0)
    assert run_stage(fails, tmp_path).status == 3


def test_a_package_that_is_missing_is_told_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpu._NEEDED, "tests", ("pytest", "no_such_package"))
    words = ["--images", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*words, "--stages", "tests"]) == 2
    assert "no_such_package" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_how_busy_the_card_is_is_read_from_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '37, 1024'\necho '[N/A], [N/A]'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with watched_card() as watch:
        end = time.monotonic() + 10
        while not watch.looks and time.monotonic() < end:
            time.sleep(0.01)
    assert [(look.busy, look.memory_mb) for look in watch.looks] == [(37, 1024)]


def test_the_busy_share_is_that_of_the_whole_job_without_what_comes_before_and_after() -> None:
    phases = [(0.0, "every stage alone"), (10.0, "the whole job"), (20.0, "the script")]
    busy = {5: 100, 11: 0, 12: 80, 13: 40, 14: 60, 19: 0, 25: 100}
    looks = [Look(when, share, 100 * when) for when, share in busy.items()]
    facts = CardWatch(looks, phases).facts()
    assert facts == {"busy": 0.6, "peak_memory_mb": 1400, "looks": 3}


@pytest.mark.slow
def test_training_goes_on_from_one_session_to_the_next(tmp_path: Path) -> None:
    images = tmp_path / "clean"
    write_pairs(None, images, PairSet("none", 20, 0, size=128))
    config = tmp_path / "tiny.toml"
    config.write_text(
        """task = "restorer"
name = "tiny"
steps = 6
validate_every = 3
device = "cuda"
threads = 1
[data]
size = 64
batch = 2
workers = 0
shards = 1
validation_per_kind = 2
[restorer]
widths = [8, 8, 8, 8]
encoder_depths = [0, 0, 0]
middle_depth = 1
decoder_depths = [1, 0, 0]
""",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    words = ["--images", str(images), "--out", str(out), "--device", "cpu"]
    words += ["--config", str(config), "--stages", "tests,bench,train", "--minutes", "10"]
    words += ["--quick"]
    assert main(words) == 0
    facts = json.loads((out / "gpu.json").read_text())
    assert [stage["name"] for stage in facts["stages"]] == ["tests", "bench", "train"]
    bench = json.loads((out / "bench.json").read_text())
    assert bench["bench"]["end_to_end_mps"] > 0
    weights = out / "run" / "tiny.safetensors"
    assert weights.exists()
    before = (out / "run" / "checkpoint.pt").stat().st_mtime_ns
    assert main([*words, "--stages", "train"]) == 0
    assert (out / "run" / "checkpoint.pt").stat().st_mtime_ns >= before
