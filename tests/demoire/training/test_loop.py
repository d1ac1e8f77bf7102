"""The training loop on tiny networks: it learns, resumes bit for bit, and fails with the last good
state intact.
"""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from demoire.errors import DemoireError, UsageError, WeightsError
from demoire.measure.likeness import psnr
from demoire.models.dmcnn import DMCNNConfig
from demoire.models.esdnet import ESDNetConfig
from demoire.models.networks import load_detector, load_restorer
from demoire.models.restorer import RestorerConfig, build_restorer
from demoire.models.transformer import TransformerConfig
from demoire.models.unet import UNetConfig
from demoire.models.weights import find_weights
from demoire.training import curves
from demoire.training.config import (
    CurriculumStage,
    DiscriminatorConfig,
    FieldConfig,
    OptimizerConfig,
    RestorerLossConfig,
    TrainConfig,
)
from demoire.training.config_files import load_config
from demoire.training.field import FieldFolder
from demoire.training.loop import fill_shards, train
from demoire.training.tasks import RestorerTask

MOMENT = 1e-9  # minutes: stop after the step at hand


def _tiny(task: str, **changes: object) -> TrainConfig:
    config = load_config(f"tiny-{task}")
    data = config.data.model_copy(update={"drawn": 0.0, "drawn_clean": 0.0})
    return config.model_copy(update={"data": data, **changes})


@pytest.mark.parametrize("task", ["restorer", "detector"])
def test_a_run_leaves_weights_figures_and_curve(
    task: str, scene_folder: Path, tmp_path: Path
) -> None:
    result = train(_tiny(task), scene_folder, tmp_path)
    assert (result.step, result.finished) == (6, True)
    assert result.weights == tmp_path / f"tiny-{task}.safetensors"
    load = load_restorer if task == "restorer" else load_detector
    assert load(str(result.weights)).config == getattr(_tiny(task), task)
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert facts["figures"] == json.loads(json.dumps(result.figures))
    assert find_weights(str(result.weights)).metadata["training"] == facts
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [2, 3, 4, 6, 6]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_detector_trains_on_field_pictures(
    scene_folder: Path, field: FieldFolder, tmp_path: Path
) -> None:
    config = _tiny("detector", field=FieldConfig(share=1.0, drawn=2))
    alone = train(config, scene_folder, tmp_path / "alone")
    result = train(config, scene_folder, tmp_path / "out", field=field)
    assert result.finished
    assert alone.weights is not None
    assert result.weights is not None
    assert find_weights(str(result.weights)).digest != find_weights(str(alone.weights)).digest


@pytest.mark.parametrize("task", ["restorer", "detector"])
def test_field_pictures_are_as_large_as_each_stage_of_the_curriculum_wants_them(
    task: str, scene_folder: Path, field: FieldFolder, tmp_path: Path
) -> None:
    config = _tiny(
        task,
        steps=2,
        field=FieldConfig(share=0.5, drawn=2),
        curriculum=(CurriculumStage(after=1, size=96),),
    )
    mixed = config.data.model_copy(update={"batch": 6})
    config = config.model_copy(update={"data": mixed})
    assert train(config, scene_folder, tmp_path, field=field).finished


def test_a_restorer_trains_on_field_pictures(
    scene_folder: Path, field: FieldFolder, tmp_path: Path
) -> None:
    config = _tiny("restorer", field=FieldConfig(share=1.0, drawn=2))
    result = train(config, scene_folder, tmp_path / "out", field=field)
    without = train(_tiny("restorer"), scene_folder, tmp_path / "without")
    assert result.finished
    assert result.weights is not None
    assert without.weights is not None
    assert result.weights.read_bytes() != without.weights.read_bytes()


@pytest.mark.parametrize(
    "restorer",
    [
        UNetConfig((8, 8, 8, 8), (0, 0, 0), 1, (1, 0, 0)),
        DMCNNConfig((8, 8, 8, 8, 8), depth=1, outer_width=8),
        TransformerConfig((8, 8, 8, 8), (0, 0), (1, 0), 1, (0, 1), head_width=8),
        ESDNetConfig(4, 4, 4, 4),
    ],
    ids=lambda config: config.architecture,
)
def test_every_architecture_trains(
    restorer: RestorerConfig, scene_folder: Path, tmp_path: Path
) -> None:
    config = _tiny("restorer", restorer=restorer, steps=3)
    data = config.data.model_copy(
        update={"size": 128, "batch": 1, "mix": {"screen": 1.0}, "validation_per_kind": 1}
    )
    result = train(config.model_copy(update={"data": data}), scene_folder, tmp_path)
    assert result.weights is not None
    trained = load_restorer(str(result.weights))
    torch.manual_seed(config.seed)
    fresh, picture = build_restorer(restorer).eval(), torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        moved = (trained(picture) - fresh(picture)).abs().max()
    assert trained.config == restorer
    assert 1e-5 < moved < 1


ADVERSARIAL: dict[str, object] = {
    "restorer_loss": RestorerLossConfig(adversarial=0.1),
    "discriminator": DiscriminatorConfig(widths=(4, 4), warmup_steps=2),
    "keep": "last",
}


CURRICULUM = (
    CurriculumStage(after=2, size=96, batch=1),
    CurriculumStage(after=4, mix={"halftone": 1.0}),
)


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("restorer", {}),
        ("restorer", ADVERSARIAL),
        ("restorer", {"curriculum": CURRICULUM}),
        (
            "restorer",
            {
                "optimizer": OptimizerConfig(kind="muon"),
                "restorer": UNetConfig((16,) * 4, (0, 0, 0), 1, (1, 0, 0)),
            },
        ),
        ("detector", {}),
    ],
    ids=["restorer", "gan", "curriculum", "muon", "detector"],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    task: str, changes: dict[str, object], scene_folder: Path, tmp_path: Path
) -> None:
    straight = train(_tiny(task, **changes), scene_folder, tmp_path / "straight")
    for stop in range(1, 4):
        cut = train(
            _tiny(task, minutes=MOMENT, **changes), scene_folder, tmp_path / "cut", resume=True
        )
        assert (cut.step, cut.finished) == (stop, False)
    resumed = train(_tiny(task, **changes), scene_folder, tmp_path / "cut", resume=True)
    assert resumed.finished
    one, other = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("straight", "cut")
    )
    for part in ("network", "mean", "optimizer", "adversary"):
        _assert_equal(one[part], other[part])
    assert straight.weights is not None and resumed.weights is not None
    assert find_weights(str(straight.weights)).digest == find_weights(str(resumed.weights)).digest


def _assert_equal(one: object, other: object) -> None:
    """To the bit, tensors inside dictionaries included."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys()
        for name in one:
            _assert_equal(one[name], other[name])
    elif isinstance(one, list) and isinstance(other, list):
        for parts in zip(one, other, strict=True):
            _assert_equal(*parts)
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def test_a_discriminator_is_trained_beside_and_stays_out_of_the_weights(
    scene_folder: Path, tmp_path: Path
) -> None:
    result = train(_tiny("restorer", **ADVERSARIAL), scene_folder, tmp_path / "gan")
    plain = train(_tiny("restorer", keep="last"), scene_folder, tmp_path / "plain")
    assert (
        load_restorer(str(result.weights)).state_dict().keys()
        == load_restorer(str(plain.weights)).state_dict().keys()
    )
    assert find_weights(str(result.weights)).digest != find_weights(str(plain.weights)).digest
    with (tmp_path / "gan" / "curve.csv").open() as file:
        losses = [
            float(row["discriminator_loss"])
            for row in csv.DictReader(file)
            if row["discriminator_loss"]
        ]
    assert len(losses) == 3 and all(0 < loss < 2 for loss in losses)


def test_a_discriminator_that_explodes_is_named(scene_folder: Path, tmp_path: Path) -> None:
    wild = {**ADVERSARIAL, "discriminator": DiscriminatorConfig(widths=(4,), learning_rate=1e38)}
    with pytest.raises(
        DemoireError, match=r"discriminator's loss .* lower discriminator.learning_rate"
    ):
        train(_tiny("restorer", **wild), scene_folder, tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_the_last_weights_are_kept_where_they_are_asked_for(
    scene_folder: Path, tmp_path: Path
) -> None:
    """Of a run whose best validation is its first, since it is taught nonsense fast."""
    bad = OptimizerConfig(learning_rate=0.3, warmup_steps=0, ema=0.0)
    for keep, step in (("best", 1), ("last", 3)):
        config = _tiny("restorer", steps=3, validate_every=1, optimizer=bad, keep=keep)
        result = train(config, scene_folder, tmp_path / keep)
        facts = find_weights(str(result.weights)).metadata["training"]
        assert (facts["step"], facts["figures"]) == (step, result.figures)


def test_event_files_hold_the_curve_and_a_resumed_run_has_each_point_once(
    scene_folder: Path, tmp_path: Path
) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    train(
        _tiny("restorer", steps=3, log_every=1, validate_every=1, minutes=MOMENT),
        scene_folder,
        tmp_path,
    )
    train(
        _tiny("restorer", steps=3, log_every=1, validate_every=1),
        scene_folder,
        tmp_path,
        resume=True,
    )
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("loss", "gain", "psnr_screen"):
        points = [
            (int(row["step"]), pytest.approx(float(row[name]), rel=1e-5))
            for row in rows
            if row[name]
        ]
        assert [(event.step, event.value) for event in events.Scalars(name)] == points
        assert len(points) == 3


def test_without_tensorboard_there_are_no_event_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    curves.write_events([{"step": 1, "loss": 0.5}], tmp_path / "tensorboard")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("workers", "number"), [(0, signal.SIGINT), (1, signal.SIGINT), (1, signal.SIGTERM)]
)
def test_a_run_that_is_told_to_stop_can_be_resumed(
    workers: int, number: signal.Signals, scene_folder: Path, tmp_path: Path
) -> None:
    """A signal to a training and its workers, as Ctrl-C gives it: the step is ended and saved;
    nothing is lost.
    """
    (tmp_path / "long.toml").write_text(
        'task = "restorer"\nname = "long"\nsteps = 100000\nthreads = 1\nlog_every = 1\n'
        "[restorer]\nwidths = [8, 8, 8, 8]\n"
        f"[data]\nsize = 32\nbatch = 1\nworkers = {workers}\n"
        "drawn = 0.0\ndrawn_clean = 0.0\nvalidation_per_kind = 1\n"
    )
    program = (
        "import logging, sys; from pathlib import Path\n"
        "from demoire.training import load_config, train\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "train(load_config(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(tmp_path / "long.toml"),
        str(scene_folder),
        str(tmp_path / "out"),
    ]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 3/" in line:
                os.killpg(process.pid, number)
            if "resume goes on from there" in line:
                break
    assert process.returncode == 0
    assert torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["step"] >= 3


def test_resuming_a_finished_run_changes_nothing(scene_folder: Path, tmp_path: Path) -> None:
    first = train(_tiny("restorer"), scene_folder, tmp_path)
    again = train(_tiny("restorer"), scene_folder, tmp_path, resume=True)
    assert (again.step, again.finished, again.figures) == (first.step, True, first.figures)


def striped(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures of 64 px with upright stripes over them, and without: the simplest moiré there
    is.
    """
    grey = np.random.default_rng(seed).integers(70, 180, (count, 1, 1, 1), dtype=np.uint8)
    clean = np.broadcast_to(grey, (count, 64, 64, 3)).copy()
    stripes = (20 * np.sin(2 * np.pi * np.arange(64) / 5)).round().astype(np.int16)
    return (clean + stripes[:, None]).astype(np.uint8), clean


@pytest.fixture(scope="module")
def striped_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for name, pictures in zip(("moire", "clean"), striped(60, seed=0), strict=True):
        np.save(folder / f"{name}-00000.npy", pictures)
    (folder / "rows-00000.csv").write_text("screen,14.0\n" * 60)
    return folder


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_restorer_learns_to_take_stripes_away(
    precision: str, scene_folder: Path, striped_shards: Path, tmp_path: Path
) -> None:
    """On pictures that it was not trained on, within 100 steps and with eight channels."""
    config = _tiny("restorer", steps=100, validate_every=100, precision=precision)
    data = config.data.model_copy(
        update={"mix": {"screen": 1.0}, "batch": 4, "rotate": False, "shards": 1}
    )
    optimizer = config.optimizer.model_copy(update={"learning_rate": 3e-3, "ema": 0.9})
    config = config.model_copy(update={"data": data, "optimizer": optimizer})
    result = train(config, scene_folder, tmp_path, shards=striped_shards)
    restorer = load_restorer(str(result.weights))
    moire, clean = striped(6, seed=1)
    with torch.inference_mode():
        restored = restorer(torch.from_numpy(moire.transpose(0, 3, 1, 2)).float() / 255)
    after = (255 * restored.clamp(0, 1)).round().byte().numpy().transpose(0, 2, 3, 1)
    assert psnr(after.reshape(-1, 64, 3), clean.reshape(-1, 64, 3)) > 6 + psnr(
        moire.reshape(-1, 64, 3), clean.reshape(-1, 64, 3)
    )


def test_a_cpu_without_instructions_for_bfloat16_trains_in_float32_and_says_so(
    scene_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where they are emulated, a step of a restorer takes ten times as long."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    exact = train(_tiny("restorer", steps=2), scene_folder, tmp_path / "exact")
    assert not caplog.records
    narrow = train(
        _tiny("restorer", steps=2, precision="bfloat16"), scene_folder, tmp_path / "narrow"
    )
    (said,) = (record.message for record in caplog.records)
    assert said == "cpu has no instructions for bfloat16: layers compute in float32"
    assert exact.weights is not None and narrow.weights is not None
    as_trained = load_restorer(str(exact.weights)).state_dict()
    for name, values in load_restorer(str(narrow.weights)).state_dict().items():
        assert torch.equal(values, as_trained[name]), name


def test_another_run_in_the_folder_is_not_overwritten(scene_folder: Path, tmp_path: Path) -> None:
    train(_tiny("restorer", minutes=MOMENT), scene_folder, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        train(_tiny("restorer"), scene_folder, tmp_path)
    with pytest.raises(UsageError, match="another configuration"):
        shards = tmp_path / "shards"
        train(_tiny("restorer", steps=7), scene_folder, tmp_path, resume=True, shards=shards)
    assert not shards.exists(), "told before an hour of simulating"
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_exploding_loss_stops_and_keeps_the_last_good_checkpoint(
    scene_folder: Path, tmp_path: Path
) -> None:
    wild = OptimizerConfig(
        kind="gradient_descent", learning_rate=1e30, clip_norm=0, warmup_steps=0, l2=0
    )
    config = _tiny("restorer", optimizer=wild, checkpoint_every=1)
    with pytest.raises(DemoireError, match="no longer a number at step"):
        train(config, scene_folder, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] >= 1
    assert not list(tmp_path.glob("*.part"))


def test_damaged_checkpoint_is_named_and_left_alone(scene_folder: Path, tmp_path: Path) -> None:
    torch.save({"of": "another program"}, tmp_path / "foreign")
    for data in (b"half a file", (tmp_path / "foreign").read_bytes()):
        (tmp_path / "checkpoint.pt").write_bytes(data)
        with pytest.raises(UsageError, match="is damaged"):
            train(_tiny("restorer"), scene_folder, tmp_path, resume=True)
        assert (tmp_path / "checkpoint.pt").read_bytes() == data


def test_early_stopping_ends_a_run_that_gets_no_better(scene_folder: Path, tmp_path: Path) -> None:
    still = OptimizerConfig(learning_rate=1e-30, warmup_steps=0, l2=0)
    config = _tiny("restorer", steps=50, validate_every=1, patience=2, optimizer=still)
    result = train(config, scene_folder, tmp_path)
    assert (result.step, result.finished) == (3, True)


@pytest.mark.parametrize("kind", ["gradient_descent", "sgd", "adam", "adamw", "muon"])
def test_every_optimizer_with_l1_and_l2(kind: str, scene_folder: Path, tmp_path: Path) -> None:
    optimizer = OptimizerConfig(kind=kind, learning_rate=1e-3, l1=1e-6, l2=1e-4)
    result = train(_tiny("restorer", steps=2, optimizer=optimizer), scene_folder, tmp_path)
    assert result.finished


@pytest.mark.parametrize(
    "larger", [{}, {"widths": (12, 12, 12, 12), "middle_depth": 2}], ids=["same", "grown"]
)
def test_training_goes_on_from_given_weights(
    larger: dict[str, Any], scene_folder: Path, tmp_path: Path
) -> None:
    tiny = _tiny("restorer")
    first = train(tiny, scene_folder, tmp_path / "first")
    still = OptimizerConfig(learning_rate=1e-30, warmup_steps=0, l2=0)
    restorer = replace(tiny.restorer, **larger)
    config = _tiny(
        "restorer", steps=1, start_from=str(first.weights), optimizer=still, restorer=restorer
    )
    second = train(config, scene_folder, tmp_path / "second")
    assert second.score == pytest.approx(first.score, abs=1e-3)


def test_training_does_not_go_on_from_another_architecture(
    scene_folder: Path, tmp_path: Path
) -> None:
    first = train(_tiny("restorer", steps=1), scene_folder, tmp_path / "first")
    config = _tiny(
        "restorer",
        steps=1,
        start_from=str(first.weights),
        restorer=DMCNNConfig((8, 8, 8, 8, 8), 1, 8),
    )
    shards = tmp_path / "shards"
    with pytest.raises(WeightsError, match="another structure"):
        train(config, scene_folder, tmp_path / "second", shards=shards)
    assert not shards.exists(), "told before an hour of simulating"


def test_weights_that_cannot_be_started_from_are_one_sentence(
    scene_folder: Path, tmp_path: Path
) -> None:
    save_file(
        {"a": torch.zeros(9)}, tmp_path / "newer.safetensors", {"format": "demoire-weights/9"}
    )
    data = (tmp_path / "newer.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    says = {
        "nosuch": "There are no weights nosuch",
        "restorer": "another structure than this configuration's restorer",
        str(tmp_path / "newer.safetensors"): "says demoire-weights/9",
        str(tmp_path / "cut.safetensors"): "no whole safetensors file",
    }
    for start, sentence in says.items():
        with pytest.raises(WeightsError) as caught:
            train(_tiny("restorer", start_from=start), scene_folder, tmp_path / "out")
        assert sentence in str(caught.value) and "\n" not in str(caught.value)
        assert not list((tmp_path / "out").glob("*"))


def test_the_curriculum_changes_the_batches(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    loss = RestorerTask.loss
    monkeypatch.setattr(
        RestorerTask,
        "loss",
        lambda task, network, batch: (seen.append(batch.moire.shape), loss(task, network, batch))[
            1
        ],
    )
    train(_tiny("restorer", curriculum=CURRICULUM), scene_folder, tmp_path)
    assert seen == [(2, 3, 64, 64)] * 2 + [(1, 3, 96, 96)] * 4


def test_shards_are_large_enough_for_every_stage(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demoire.training.shards.PAIRS_PER_SHARD", 16)
    config = _tiny("restorer", curriculum=CURRICULUM)
    config = config.model_copy(update={"data": config.data.model_copy(update={"shards": 1})})
    # as a scheduler does it, in a step before training
    fill_shards(tmp_path / "shards", scene_folder, config)
    assert train(config, scene_folder, tmp_path / "run", shards=tmp_path / "shards").finished
