"""What is wrong from the start is said at the start, and not after minutes of work."""

from pathlib import Path

import pytest

from flows.cli import main


@pytest.fixture
def in_the_way(tmp_path: Path) -> Path:
    """A file where a folder would have to be."""
    file = tmp_path / "in_the_way"
    file.write_text("a file")
    return file


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--out", "OUT", "--device", "cuda:99"], "cuda:99"),
        (["clean", "BOX", "OUT", "--canary", "5", "--device", "cuda:99"], "cuda:99"),
        (["clean", "BOX", "OUT", "--prefect", "--device", "cuda:99"], "cuda:99"),
        (["clean", "BOX", "OUT", "--prefect", "--restorer", "nosuch"], "no weights nosuch"),
        (["preview", "BOX", "--out", "OUT", "--detector", "nosuch"], "no weights nosuch"),
    ],
)
def test_models_and_devices_that_are_not_there(
    words: list[str],
    said: str,
    box: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    placed = [{"BOX": str(box), "OUT": str(out)}.get(word, word) for word in words]

    assert main(placed) == 2

    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1, "nothing was begun that has something to tell"
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["preview", "nosuch"], "--out"),
        (["evaluate", "nosuch"], "--html"),
        (["simulate", "drawn", "OUT", "--kind", "none"], "--sheet"),
    ],
)
def test_a_file_that_cannot_be_written(
    words: list[str],
    option: str,
    in_the_way: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    placed = [str(out) if word == "OUT" else word for word in words]

    assert main([*placed, option, str(in_the_way / "page.png")]) == 2

    assert f"cannot be written: choose another file with {option}." in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sheet", "sheet.xyz"], "sheet.xyz is not a name for a picture"),
        (["--sheet", "sheet.png", "--real", "nosuch"], "There is no folder nosuch"),
    ],
)
def test_a_sheet_that_cannot_be_drawn(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    assert main(["simulate", "drawn", str(out), "--kind", "none", *words]) == 2

    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("lines", "words", "said"),
    [
        ('start_from = "nosuch"', [], "There are no weights nosuch"),
        ("", ["--field", "nosuch"], "There is no folder nosuch"),
    ],
)
def test_a_training_that_could_not_begin_once_its_pairs_are_simulated(
    lines: str,
    words: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clean = tmp_path / "clean"
    assert main(["simulate", "drawn", str(clean), "--kind", "none", "--count", "4"]) == 0
    config = tmp_path / "mine.toml"
    config.write_text(f'task = "restorer"\nname = "mine"\nsteps = 1\n{lines}\n')
    shards = tmp_path / "shards"
    command = ["train", str(config), "--images", str(clean), "--out", str(tmp_path / "run")]

    assert main([*command, "--shards", str(shards), *words]) == 2

    assert said in capsys.readouterr().err
    assert not shards.exists()
