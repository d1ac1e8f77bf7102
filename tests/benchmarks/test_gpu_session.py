"""What a rented GPU is for, with the CPU standing in for it."""

import json
import sys
from pathlib import Path

import pytest

from demoire.simulate.pairs import PairSet, write_pairs
from tests.benchmarks.gpu import Stage, main, run_stage


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
    words += ["--config", str(config), "--stages", "tests,train", "--minutes", "10"]
    assert main(words) == 0
    facts = json.loads((out / "gpu.json").read_text())
    assert [stage["name"] for stage in facts["stages"]] == ["tests", "train"]
    weights = out / "run" / "tiny.safetensors"
    assert weights.exists()
    before = (out / "run" / "checkpoint.pt").stat().st_mtime_ns
    assert main([*words[:-4], "--stages", "train", "--minutes", "10"]) == 0
    assert (out / "run" / "checkpoint.pt").stat().st_mtime_ns >= before
