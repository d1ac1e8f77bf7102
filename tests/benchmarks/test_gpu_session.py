"""What a rented GPU is for, with the CPU standing in for it."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from demoire.simulate.pairs import PairSet, clean_images, read_scene, write_pairs
from demoire.training.shards import Shards, make_shards
from tests.benchmarks import gpu
from tests.benchmarks.gpu import Stage, main, run_stage
from tests.benchmarks.gpu_bench import CardWatch, Look, watched_card
from tests.benchmarks.packing import pack, unpack


def test_without_a_gpu_it_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["--images", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().out.count("\n") == 1
    assert not (tmp_path / "out").exists()


def put_nvidia_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("cuda", "says"),
    [(None, "built for CPUs alone"), ("13.0", "nvidia-smi finds H9, 470.1. The driver may be")],
)
def test_a_gpu_that_torch_cannot_use_is_told_with_the_reason(
    cuda: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_nvidia_smi(tmp_path, "echo 'H9, 470.1'", monkeypatch)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", cuda)
    reason = gpu.why_no_gpu()
    assert reason is not None and says in reason
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert gpu.why_no_gpu() is None


def test_a_stage_that_overruns_is_stopped(tmp_path: Path) -> None:
    sleeps = Stage("sleeps", (sys.executable, "-c", "import time; time.sleep(60)"), 1.0)
    ended = run_stage(sleeps, tmp_path)
    assert ended.status is None
    assert ended.seconds < 20


def test_a_stage_that_fails_is_told(tmp_path: Path) -> None:
    fails = Stage("fails", (sys.executable, "-c", "import sys; sys.exit(3)"), 30.0)
    assert run_stage(fails, tmp_path).status == 3


def test_the_log_keeps_what_both_outputs_and_earlier_sessions_said(tmp_path: Path) -> None:
    says = "import sys; print('one'); sys.stdout.flush(); print('two', file=sys.stderr)"
    stage = Stage("says", (sys.executable, "-c", says), 30.0)
    run_stage(stage, tmp_path)
    run_stage(stage, tmp_path)
    assert (tmp_path / "says.log").read_text() == "one\ntwo\none\ntwo\n"


def test_a_package_that_is_missing_is_told_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpu._NEEDED, "tests", ("pytest", "no_such_package"))
    words = ["--images", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*words, "--stages", "tests"]) == 2
    assert "no_such_package" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--images", "nowhere"], "There is no folder"),
        (["--pack", "nowhere.zip"], "is no pack"),
        (["--images", "images", "--config", "no-such"], "no-such"),
    ],
)
def test_what_cannot_be_trained_on_is_told_before_anything_is_done(
    words: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_pairs(None, tmp_path / "images", PairSet("none", 1, 0, size=64))
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--out", "out", "--device", "cpu"]) == 2
    out = capsys.readouterr().out
    assert says in out and out.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_stage_that_fails_is_told_with_the_end_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(None, tmp_path / "images", PairSet("none", 1, 0, size=64))
    fails = (sys.executable, "-c", "print('one'); import sys; sys.exit('the card has gone')")
    monkeypatch.setattr(gpu, "stage_of", lambda *_: Stage("tests", fails, 30.0))
    words = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    assert main([*words, "--device", "cpu", "--stages", "tests"]) == 1
    out = capsys.readouterr().out
    assert "status 1" in out and out.endswith("tests.log ends with: the card has gone\n")


def test_how_busy_the_card_is_is_read_from_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_nvidia_smi(tmp_path, "echo '37, 1024'\necho '[N/A], [N/A]'\nexec sleep 60", monkeypatch)
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


def test_a_pack_brings_images_and_whole_shards_as_far_as_there_is_room(tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_pairs(None, images, PairSet("none", 3, 0, size=64))
    scene = read_scene(clean_images(images)[0])
    pairs = make_shards(
        tmp_path / "made",
        2,
        lambda kind, rng: (scene, scene, 3.0),
        {"screen": 1.0},
        seed=0,
        workers=0,
    )
    assert sorted(pairs) == [0, 1]
    out = tmp_path / "out"
    whole = pack(tmp_path / "whole.zip", images, tmp_path / "made", 60_000_000)
    assert (whole.images, whole.images_left, whole.pairs) == (len(clean_images(images)), 0, 512)
    tight = pack(tmp_path / "tight.zip", images, tmp_path / "made", whole.bytes - 1000)
    assert (tight.images, tight.pairs) == (whole.images, 256)
    assert tight.bytes < whole.bytes - 1000
    unpacked, shards = unpack(tmp_path / "whole.zip", out)
    assert {path.name for path in clean_images(unpacked)} == {
        path.name for path in clean_images(images)
    }
    pair = Shards(shards, 64).draw("screen", np.random.default_rng(0))
    assert pair.strength == 3.0
    assert np.abs(pair.moire.astype(int) - scene).mean() < 2
    (unpacked / "kept").touch()
    unpack(tmp_path / "whole.zip", out)
    assert (unpacked / "kept").exists(), "it is not unpacked again"


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
fresh_scenes = 2
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
    # Nothing is left of the six steps, so a session that trained would have begun anew.
    checkpoint = out / "run" / "checkpoint.pt"
    written = checkpoint.stat().st_mtime_ns
    assert main([*words, "--stages", "train"]) == 0
    assert checkpoint.stat().st_mtime_ns == written
