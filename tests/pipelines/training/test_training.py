"""From training to use: what is registered, what is not, and what becomes of a run that is cut on
its way there.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from demoire.errors import UsageError
from demoire.models.detector import Detector, DetectorConfig
from demoire.models.networks import save_detector
from demoire.models.weights import find_weights
from demoire.simulate.pairs import PairSet, write_pairs
from demoire.training.config_files import load_config, to_toml, with_values
from pipelines.training.job import (
    Trained,
    TrainJob,
    evaluate_weights,
    run_training,
    simulate_pairs,
    simulate_shards,
    train_weights,
)
from pipelines.training.registry import Registry


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty drawn pictures without moiré, of which two fall to the test split."""
    folder = tmp_path_factory.mktemp("images")
    write_pairs(None, folder, PairSet("none", 20, seed=0, size=128))
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_and_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Small pairs, and a cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("pipelines.training.job._SIZE", 128)
        yield


def job_in(folder: Path, images: Path) -> TrainJob:
    registry = str(folder / "registry")
    return TrainJob(
        "tiny-detector", images, folder / "run", register="finder", registry=registry, pairs=1
    )


@pytest.fixture
def job(images: Path, tmp_path: Path) -> TrainJob:
    return job_in(tmp_path, images)


@pytest.fixture(scope="module")
def forced(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainJob, Trained]:
    """A job whose weights, which are of no use, were registered all the same."""
    job = job_in(tmp_path_factory.mktemp("forced"), images)
    return job, run_training(replace(job, force=True))


def test_the_minutes_are_for_simulating_and_training_together(job: TrainJob) -> None:
    """A machine that is rented for thirteen minutes is gone after them."""
    given: list[float | None] = []

    class TrainedEnoughError(Exception):
        pass

    def step(function: Callable[..., Any]) -> Callable[..., Any]:
        def instead(job: TrainJob, *rest: object) -> None:
            if function is simulate_shards:
                time.sleep(0.3)
            if function is train_weights:
                given.append(job.minutes)
                raise TrainedEnoughError

        return instead

    for minutes in (1.0, 0.001, None):
        limited = replace(job, register=None, shards=job.out / "shards", minutes=minutes)
        with pytest.raises(TrainedEnoughError):
            run_training(limited, step)
    assert given[0] is not None and 0.9 < given[0] <= 1 - 0.3 / 60
    assert given[1] is not None and 0 < given[1] <= 0.001
    assert given[2] is None


def test_weights_that_are_no_better_than_a_guess_are_not_registered(job: TrainJob) -> None:
    done = run_training(replace(job, config="tiny-restorer"))
    assert done.registered is None and done.contest is not None and done.contest.newest is None
    assert done.contest.score <= 0  # dB: six steps make nothing better
    assert "not registered" in done.sentence() and "of doing nothing" in done.sentence()
    assert Registry(job.registry).names() == []


def test_a_version_is_kept_with_its_configuration_and_figures(
    forced: tuple[TrainJob, Trained],
) -> None:
    job, trained = forced
    (version,) = Registry(job.registry).versions("finder")
    assert version == trained.registered
    assert version.digest == find_weights(str(job.out / "tiny-detector.safetensors")).digest
    assert version.training["name"] == "tiny-detector" and version.training["steps"] == 6
    assert version.figures["n"] == 7  # a picture of each kind, the twins of three, a clean one
    assert version.figures["pairs"]["split"] == "test"
    assert {"accuracy", "precision", "recall", "f1", "auc", "confusion", "calibration"} <= set(
        version.figures
    )


def test_the_same_weights_again_are_no_new_version(forced: tuple[TrainJob, Trained]) -> None:
    job, trained = forced
    again = run_training(replace(job, resume=True))
    assert again.registered == trained.registered
    assert len(Registry(job.registry).versions("finder")) == 1


def test_weights_are_measured_against_the_newest_version_on_the_same_pairs(
    forced: tuple[TrainJob, Trained], tmp_path: Path
) -> None:
    job, trained = forced
    torch.manual_seed(5)
    network = Detector(DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8))
    other = save_detector(network, tmp_path / "other.safetensors", {}).path
    assert trained.contest is not None and trained.result.weights is not None
    found = evaluate_weights(job, other)
    assert found.newest == trained.registered
    assert found.to_beat == max(0.5, trained.contest.score)


def test_it_is_said_what_the_weights_reach_that_training_began_from(
    forced: tuple[TrainJob, Trained], tmp_path: Path
) -> None:
    """That a stretch of training is better than nothing does not make it worth anything."""
    job, trained = forced
    start = trained.result.weights
    assert trained.contest is not None and start is not None
    assert trained.contest.begun_from is None
    config = tmp_path / "goes-on.toml"
    goes_on = with_values(load_config("tiny-detector"), {"start_from": str(start)})
    config.write_text(to_toml(goes_on), encoding="utf-8")

    found = evaluate_weights(replace(job, config=str(config)), start)

    assert found.begun_from == found.score == trained.contest.score
    said = replace(trained, contest=found).sentence()
    assert f"began from reach AUC {found.score:.4f}" in said


def test_one_who_registers_meanwhile_is_what_there_is_to_beat(
    job: TrainJob, tmp_path: Path
) -> None:
    network = Detector(DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8))
    rival = save_detector(network, tmp_path / "rival.safetensors", {})
    steps: list[str] = []

    def step(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            if function.__name__ == "register_weights" and "register_weights" not in steps:
                Registry(job.registry).register(
                    rival, "finder", after=None, training={}, figures={}
                )
            steps.append(function.__name__)
            return function(*arguments)

        return run

    done = run_training(replace(job, force=True), step)
    once = ["evaluate_weights", "register_weights"]
    assert steps == ["simulate_pairs", "train_weights", *once, *once]
    assert done.registered is not None and done.registered.number == 2
    assert done.contest is not None and done.contest.newest is not None
    assert done.contest.newest.digest == rival.digest


def test_a_step_that_is_tried_again_goes_on_where_it_was(job: TrainJob) -> None:
    """As a scheduler does after a crash: the same call with the same job."""
    first = train_weights(job)
    again = train_weights(job)
    assert (again.step, again.score) == (first.step, first.score)
    with pytest.raises(UsageError, match="--resume"):
        run_training(job)  # a whole new run over an old one is another matter


def test_pairs_that_are_made_again_take_the_place_of_the_old_ones(job: TrainJob) -> None:
    simulate_pairs(replace(job, pairs=2))
    folder = simulate_pairs(job)
    assert (
        len(list(folder.glob("*_moire.png"))) == 3
        and len(list(folder.glob("*_clean.png"))) == 3 + 1
    )


def test_without_a_name_training_is_all_there_is(job: TrainJob) -> None:
    done = run_training(replace(job, register=None))
    assert done.contest is None and done.sentence() == ""
    assert not (job.out / "pairs").exists()


def test_what_would_fail_after_the_night_fails_before_it(job: TrainJob, tmp_path: Path) -> None:
    few = tmp_path / "few"
    write_pairs(None, few, PairSet("none", 1, seed=0, size=128))
    for wrong, says in (
        (replace(job, register="detector"), "weights that are shipped"),
        (replace(job, registry="s3://key:secret@models"), "carries credentials"),
        (replace(job, images=few), "falls to test"),
    ):
        with pytest.raises(UsageError, match=says):
            run_training(wrong)
    assert not job.out.exists()
