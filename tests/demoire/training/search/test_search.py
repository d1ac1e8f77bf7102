"""The search on tiny networks: what it leaves, how it goes on, and what it does with trials that go
wrong.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from demoire.errors import ConfigError, DemoireError, UsageError
from demoire.training.config import OptimizerConfig, SearchRange, TrainConfig
from demoire.training.config_files import load_config
from demoire.training.search.search import DEFAULT_SPACES, SearchResult, search

pytest.importorskip("optuna")

RATE = "optimizer.learning_rate"
SPACE = {
    RATE: SearchRange(low=1e-4, high=1e-2, log=True),
    "restorer.widths": [[8, 8, 8, 8], [8, 8, 8, 16]],
    "restorer.middle_depth": SearchRange(low=0, high=2),
}
MOMENT = 1e-9  # minutes: stop after the step at hand


def _config(space: dict[str, Any] = SPACE, **changes: Any) -> TrainConfig:
    config = load_config("tiny-restorer")
    data = {"size": 32, "batch": 1, "drawn": 0.0, "drawn_clean": 0.0, "validation_per_kind": 1}
    changes = {"steps": 2, "validate_every": 2, **changes}
    return config.model_copy(
        update={"data": config.data.model_copy(update=data), "search": space, **changes}
    )


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def straight(
    scene_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SearchResult, Path]:
    """A search of three trials, undisturbed."""
    out = tmp_path_factory.mktemp("search")
    return search(_config(), scene_folder, out, trials=3), out


def test_a_search_leaves_the_best_configuration_and_all_trials(
    straight: tuple[SearchResult, Path],
) -> None:
    found, out = straight
    assert found.finished and [trial.state for trial in found.trials] == ["done"] * 3
    assert found.best.score == max(trial.score or -99 for trial in found.trials)
    best = load_config(found.config)
    assert best.restorer.middle_depth == found.best.values["restorer.middle_depth"]
    assert best.optimizer.learning_rate == found.best.values[RATE]
    assert best.model_copy(
        update={"search": SPACE, "restorer": None, "optimizer": None}
    ) == _config().model_copy(update={"restorer": None, "optimizer": None})
    rows = _rows(out)
    assert [json.loads(row["restorer.widths"]) for row in rows] == [
        t.values["restorer.widths"] for t in found.trials
    ]
    assert all(
        1e-4 <= float(row[RATE]) <= 1e-2 and 1 < float(row["kmac_per_pixel"]) < 2 for row in rows
    )
    assert (out / "search.png").read_bytes().startswith(b"\x89PNG")
    assert all((out / "trials" / f"00{n}" / "tiny-restorer.safetensors").exists() for n in range(3))


def test_a_search_that_was_cut_goes_on_as_if_it_had_not_been(
    straight: tuple[SearchResult, Path], scene_folder: Path, tmp_path: Path
) -> None:
    cut = [search_or_none(scene_folder, tmp_path, minutes=MOMENT) for _ in range(3)]
    assert cut[0] is None  # not one trial was done
    assert cut[-1] is not None and not cut[-1].finished
    resumed = search(_config(), scene_folder, tmp_path, trials=3)
    assert resumed.finished and resumed.trials == straight[0].trials
    assert (tmp_path / "best.toml").read_bytes() == (straight[1] / "best.toml").read_bytes()


def search_or_none(images: Path, out: Path, minutes: float) -> SearchResult | None:
    try:
        return search(_config(), images, out, trials=3, minutes=minutes)
    except DemoireError as error:
        assert "None of the 1 trials" in str(error) and "the same search goes on" in str(error)
        return None


def test_a_trial_that_fails_or_costs_too_much_does_not_end_the_search(
    scene_folder: Path, tmp_path: Path
) -> None:
    """Rates at which the loss is soon no number, and structures of which one is above the limit."""
    space = {RATE: [1e-3, 1e30], "restorer.widths": [[8, 8, 8, 8], [8, 8, 8, 128]]}
    optimizer = load_config("tiny-restorer").optimizer.model_copy(
        update={"clip_norm": 0, "warmup_steps": 0}
    )
    found = search(
        _config(space, optimizer=optimizer), scene_folder, tmp_path, trials=4, max_kmac=1.3
    )
    states = {trial.state for trial in found.trials}
    assert found.finished and states == {"done", "failed", "refused"}
    for trial in found.trials:
        costly, wild = trial.values["restorer.widths"][-1] == 128, trial.values[RATE] > 1
        assert trial.state == ("refused" if costly else "failed" if wild else "done")
    why = {row["state"]: row["why"] for row in _rows(tmp_path)}
    assert "no longer a number" in why["failed"] and "kMAC a pixel are above 1.3" in why["refused"]


def test_a_trial_that_falls_behind_is_given_up(
    monkeypatch: pytest.MonkeyPatch, scene_folder: Path, tmp_path: Path
) -> None:
    """Of runs that differ by their first values alone, and are judged after one step and two."""
    monkeypatch.setattr("demoire.training.search.search._AT_RANDOM", 1)
    rash = OptimizerConfig(learning_rate=0.03, warmup_steps=0, ema=0.0)
    config = _config(
        {"seed": SearchRange(low=0, high=1000)}, validate_every=1, optimizer=rash, seed=1
    )
    found = search(config, scene_folder, tmp_path, trials=3)
    (given_up, *_) = [trial for trial in found.trials if trial.state == "pruned"]
    with (tmp_path / "trials" / f"{given_up.number:03d}" / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file) if row["gain"]] == ["1"]
    assert (
        given_up.score is not None
        and found.best.score is not None
        and given_up.score < found.best.score
    )


@pytest.mark.parametrize("name", ["tiny-restorer", "tiny-detector", "search-restorer"])
def test_default_and_shipped_spaces_are_sound(name: str, tmp_path: Path) -> None:
    """They get as far as looking for images."""
    config = load_config(name)
    assert len(config.search or DEFAULT_SPACES[config.task]) > 2
    with pytest.raises(UsageError, match="image"):
        search(config, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"optimizer.learning_rat": [0.1]}, "optimizer.learning_rat: is not a known key"),
        ({"steps.long": [1, 2]}, "steps.long: is not a known key"),
        ({"restorer.kernel_size": [3, 4]}, "kernel_size has to be odd"),
        ({RATE: SearchRange(low=-1.0, high=1.0)}, "optimizer.learning_rate"),
    ],
)
def test_a_wrong_space_is_one_sentence_and_nothing_is_written(
    space: dict[str, Any], says: str, scene_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        search(_config(space), scene_folder, tmp_path / "out")
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("[]", "at least 1 item"),
        ("3", "search.steps"),
        ("{ low = 2, high = 1 }", "low has to be below high"),
        ("{ low = 0.0, high = 1.0, log = true }", "low has to be above 0"),
        ("{ low = 0, hihg = 1 }", "search.steps"),
    ],
)
def test_wrong_options_are_named_on_reading(options: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'task = "restorer"\nname = "mine"\nsteps = 5\n[search]\nsteps = {options}\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_another_search_in_the_folder_is_not_touched(
    straight: tuple[SearchResult, Path], scene_folder: Path, tmp_path: Path
) -> None:
    out = straight[1]
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="holds another search"):
        search(_config(steps=4), scene_folder, out, trials=9)
    with pytest.raises(UsageError, match="holds another search"):
        search(_config({RATE: [1e-3]}), scene_folder, out, trials=9)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (tmp_path / "trials").mkdir()
    with pytest.raises(UsageError, match="a search that is gone"):
        search(_config(), scene_folder, tmp_path)
    (tmp_path / "search.db").write_bytes(b"no database at all" * 9)
    with pytest.raises(UsageError, match="cannot be opened"):
        search(_config(), scene_folder, tmp_path)


def test_a_limit_of_time_in_the_configuration_is_refused(
    scene_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="take minutes out"):
        search(_config(minutes=1.0), scene_folder, tmp_path / "out")


def test_without_optuna_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, scene_folder: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("demoire.training.search.search.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"demoire\[search\]"):
        search(_config(), scene_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
