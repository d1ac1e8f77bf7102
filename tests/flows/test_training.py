"""From simulated pairs to weights and figures, by the commands: simulate, train, evaluate."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from prefect.client.orchestration import get_client

from demoire.models.weights import find_weights
from flows.cli import main
from flows.train_model import run_train_flow
from pipelines.training.job import TrainJob


def simulate(folder: Path, words: str) -> None:
    """Run `demoire simulate` on scenes that it draws itself."""
    assert main(["simulate", "drawn", str(folder), *words.split()]) == 0


@pytest.fixture(scope="module")
def clean_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty drawn pictures without moiré, as `simulate --kind none` makes them."""
    folder = tmp_path_factory.mktemp("clean")
    simulate(folder, "--kind none --count 20 --size 128")
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of screens, one of halftone, and a clean picture."""
    folder = tmp_path_factory.mktemp("pairs")
    for kind, count in (("screen", 2), ("halftone", 1), ("none", 1)):
        simulate(folder, f"--kind {kind} --count {count} --seed 7 --size 128")
    return folder


def test_simulate_draws_a_contact_sheet_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(tmp_path, f"--kind texture --count 1 --size 64 --sheet {tmp_path / 'sheet.png'}")
    assert (tmp_path / "texture_0_00000_moire.png").exists()
    assert (tmp_path / "sheet.png").stat().st_size > 100_000
    assert re.search(r"pairs of kind texture in .*: 1\n", capsys.readouterr().out)


def test_simulate_of_a_folder_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["simulate", str(tmp_path / "nosuch"), str(tmp_path / "out"), "--kind", "screen"]) == 2
    )
    assert "does not exist" in capsys.readouterr().err


def test_evaluate_gives_the_promised_figures_as_json_and_as_a_page(
    pairs: Path, tiny_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = tomllib.loads(tiny_toml.read_text())
    weights = ["--detector", tiny["detector"], "--restorer", tiny["restorer"]]
    page = tmp_path / "page.html"
    assert (
        main(["evaluate", str(pairs), "--gate", "off", "--json", "--html", str(page), *weights])
        == 0
    )
    figures = json.loads(capsys.readouterr().out)
    measures = {
        f"{name}_{when}" for name in ("psnr", "ssim") for when in ("before", "after", "blur")
    }
    assert [pair["name"] for pair in figures["pairs"]] == [
        "halftone_7_00000",
        "screen_7_00000",
        "screen_7_00001",
    ]
    assert all(measures | {"name"} <= set(pair) for pair in figures["pairs"])
    assert measures <= set(figures["mean"])
    assert {"accuracy", "precision", "recall", "f1", "auc", "n"} <= set(figures["detector"])
    assert figures["detector"]["n"] == 3 + 3 + 1
    assert "screen_7_00001" in page.read_text(encoding="utf-8")
    assert main(["evaluate", str(pairs), *weights]) == 0
    assert "halftone" in capsys.readouterr().out


def test_evaluate_aligns_the_truth_to_the_photographs_tone(
    pairs: Path, tiny_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = tomllib.loads(tiny_toml.read_text())
    weights = ["--detector", tiny["detector"], "--restorer", tiny["restorer"]]
    words = ["evaluate", str(pairs), "--gate", "off", "--align", "tone", *weights]
    assert main([*words, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["align"] == "tone"
    assert len(figures["pairs"]) == 3
    names = {"pattern_left", "edges_kept", "tolerant_psnr", "tone_shift"}
    for picture in ("photograph", "blur", "result"):
        assert set(figures["pairs"][0][picture]) == names
        assert set(figures["mean"][picture]) == names
    assert main(words) == 0
    assert "pattern left" in capsys.readouterr().out
    assert main([*words, "--html", "page.html"]) == 2
    assert "leave out --html" in capsys.readouterr().err


def test_evaluate_names_a_pair_of_two_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, side in (("odd_moire.png", 64), ("odd_clean.png", 65)):
        Image.new("RGB", (side, 64)).save(tmp_path / name)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "a pair has to be of one size" in capsys.readouterr().err


def test_evaluate_names_a_picture_without_its_twin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lonely_moire.png").write_bytes(b"whatever")
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "lonely_moire.png has no twin" in capsys.readouterr().err


def test_train_leaves_weights_that_the_other_commands_take_and_resumes(
    clean_pictures: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", "tiny-restorer", "--images", str(clean_pictures), "--out", str(out)]
    assert main(words) == 0
    weights = out / "tiny-restorer.safetensors"
    assert str(weights) in capsys.readouterr().out
    assert (out / "curve.png").exists() and (out / "metrics.json").exists()
    picture = str(pairs / "screen_7_00000_moire.png")
    fix = ["fix", picture, "-o", str(tmp_path / "fixed")]
    assert main([*fix, "--gate", "off", "--restorer", str(weights)]) == 0
    assert main(words) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty registry that the environment names, a place of its own for local copies, and small
    pairs.
    """
    monkeypatch.setenv("DEMOIRE_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pipelines.training.job._SIZE", 128)
    return tmp_path / "registry"


def test_what_was_trained_is_registered_and_used_by_its_name(
    clean_pictures: Path,
    pairs: Path,
    registry: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "run"
    words = ["train", "tiny-detector", "--images", str(clean_pictures), "--out", str(out)]
    assert main([*words, "--pairs", "1", "--register", "finder", "--force"]) == 0
    assert "registered: finder@" in capsys.readouterr().out
    assert "simulating pairs to evaluate on, 1 of each kind" in caplog.messages
    assert (out / "evaluation.html").exists() and (out / "evaluation.json").exists()

    assert main(["weights", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["model"], one["number"]) for one in known] == [
        ("detector", "detector", 0),
        ("restorer", "restorer", 0),
        ("restorer-fast", "restorer", 0),
        ("restorer-large", "restorer", 0),
        ("finder", "detector", 1),
    ]
    digest = find_weights(str(tmp_path / "run/tiny-detector.safetensors")).digest
    assert known[-1]["digest"] == digest and known[-1]["training"]["name"] == "tiny-detector"
    assert main(["weights", "finder"]) == 0
    assert digest[:12] in capsys.readouterr().out

    picture = str(pairs / "screen_7_00000_moire.png")
    by_name = ["--weights", f"finder@{digest[:6]}", "--registry", str(registry)]
    outputs = []
    for flags in (by_name, ["--detector", str(tmp_path / "run/tiny-detector.safetensors")]):
        assert main(["detect", picture, "--json", *flags]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_names_that_are_not_known_or_name_one_model_twice_are_one_sentence(
    pairs: Path, registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(pairs / "screen_7_00000_moire.png")
    assert main(["detect", picture, "--weights", "nosuch"]) == 2
    assert "no weights nosuch in the registry" in capsys.readouterr().err
    both = ["--weights", "detector", "--detector", "other.safetensors"]
    assert main(["detect", picture, *both]) == 2
    assert "Both 'weights' and 'detector'" in capsys.readouterr().err
    assert main(["weights", "nosuch"]) == 2
    assert "known here are detector, restorer" in capsys.readouterr().err


def test_a_name_that_cannot_be_had_is_said_before_anything_is_trained(
    clean_pictures: Path, registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", "tiny-detector", "--images", str(clean_pictures), "--out", str(out)]
    assert main([*words, "--register", "restorer"]) == 2
    assert "weights that are shipped" in capsys.readouterr().err
    assert not out.exists()


def test_simulated_moire_is_compared_with_real(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.commands.simulation._COMPARED", 6)
    words = ["simulate", "drawn", str(tmp_path), "--kind", "none", "--count", "1", "--size", "64"]
    assert main([*words, "--sheet", str(tmp_path / "sheet.png"), "--real", str(pairs)]) == 0
    found = json.loads((tmp_path / "sheet.json").read_text())
    assert list(found["sets"]) == ["screen", "halftone", "texture", "clean", "real"]
    assert found["sets"]["real"]["pictures"] == 3  # those called NAME_moire
    assert (tmp_path / "sheet-spectra.png").exists()
    assert "contrast of colour" in capsys.readouterr().out
    assert main([*words, "--real", str(pairs)]) == 2
    assert "--sheet" in capsys.readouterr().err


def test_train_names_an_unknown_key_of_its_configuration(
    clean_pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.toml").write_text(
        'task = "restorer"\nname = "x"\nsteps = 1\nlerning_rate = 1\n'
    )
    words = [
        "train",
        str(tmp_path / "wrong.toml"),
        "--images",
        str(clean_pictures),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 2
    assert "lerning_rate: is not a known key" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_train_without_images_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    words = [
        "train",
        "tiny-restorer",
        "--images",
        str(tmp_path / "empty"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "empty") in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_search_leaves_a_configuration_that_train_takes(
    clean_pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "mine.toml", tmp_path / "search"
    config.write_text(
        'task = "restorer"\nname = "mine"\nsteps = 2\nthreads = 1\n'
        '[search]\n"optimizer.learning_rate" = { low = 1e-4, high = 1e-2, log = true }\n'
        '"restorer.activation" = ["relu", "gelu"]\n'
        "[restorer]\nwidths = [8, 8, 8, 8]\n"
        "[data]\nsize = 32\nbatch = 1\nworkers = 0\nvalidation_per_kind = 1\n"
    )
    images = ["--images", str(clean_pictures)]
    assert main(["search", str(config), *images, "--out", str(out), "--trials", "2"]) == 0
    table = capsys.readouterr().out
    for shown in ("kMAC a pixel", "restorer.activation", str(out / "best.toml")):
        assert shown in table
    run = tmp_path / "run"
    assert main(["train", str(out / "best.toml"), *images, "--out", str(run)]) == 0
    assert (run / "mine.safetensors").exists()


@pytest.mark.slow
def test_the_training_flow_takes_each_step_as_a_task_and_leaves_its_figures_as_artifacts(
    clean_pictures: Path, registry: Path, tmp_path: Path
) -> None:
    job = TrainJob(
        "tiny-detector", clean_pictures, tmp_path / "run", register="finder", pairs=1, force=True
    )
    done = run_train_flow(job)
    assert done.registered is not None and done.result.weights is not None
    with get_client(sync_client=True) as client:
        artifacts = {found.key: found for found in client.read_artifacts()}
        flow_run = artifacts["trained-weights"].flow_run_id
        tasks = [run for run in client.read_task_runs() if run.flow_run_id == flow_run]
    assert {task.name.rsplit("-", 1)[0] for task in tasks} == {
        "simulate_pairs",
        "train_weights",
        "evaluate_weights",
        "register_weights",
    }
    rows = {
        row["figure"]: row["value"] for row in json.loads(str(artifacts["trained-weights"].data))
    }
    assert rows["sha256"] == find_weights(str(done.result.weights)).digest == done.registered.digest
    assert rows["step"] == "6"
    rows = {
        row["figure"]: row["value"] for row in json.loads(str(artifacts["evaluated-weights"].data))
    }
    assert done.registered.reference in rows["registration"]
    assert 0 <= float(rows["auc"]) <= 1
    assert "evaluation.html" in str(artifacts["evaluation"].data)
    assert json.loads(str(artifacts["learning-curve"].data))[-1]["step"] == "6"


def test_train_stops_within_its_minutes_and_goes_on_elsewhere(
    clean_pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", "tiny-restorer", "--images", str(clean_pictures), "--out", str(out)]
    assert main([*words, "--minutes", "0.01"]) == 0
    told = capsys.readouterr()
    assert "stopped before the end; the same command with --resume goes on" in told.err
    moved = out.rename(tmp_path / "elsewhere")
    words[-1] = str(moved)
    assert main([*words, "--resume"]) == 0
    assert "step 6," in capsys.readouterr().out
    assert (moved / "tiny-restorer.safetensors").exists()
