"""Labelled pairs as files, and the contact sheet: what `demoire simulate` writes."""

import csv
from pathlib import Path

import numpy as np
import pytest

from demoire.errors import UsageError
from demoire.moire import MoireKind
from demoire.simulate.pairs import PairSet, read_scene, write_pairs
from demoire.simulate.sheet import contact_sheet, gather
from demoire.simulate.splits import split_of


def test_pairs_have_twins_of_their_size_and_a_row_of_labels(
    scene_folder: Path, tmp_path: Path
) -> None:
    written = write_pairs(scene_folder, tmp_path, PairSet("screen", 3, seed=1, size=64))
    assert [path.name for path in written] == [
        f"screen_1_0000{number}_moire.png" for number in range(3)
    ]
    for path in written:
        moire = read_scene(path)
        clean = read_scene(tmp_path / path.name.replace("_moire", "_clean"))
        assert moire.shape == clean.shape == (64, 64, 3)
        assert not np.array_equal(moire, clean)
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["screen_1_00000", "screen_1_00001", "screen_1_00002"]
    assert all(row["kind"] == "screen" and float(row["strength"]) >= 2 for row in rows)


def test_kinds_and_seeds_share_a_folder_and_the_same_again_changes_nothing(
    scene_folder: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        write_pairs(scene_folder, tmp_path, PairSet("halftone", 2, seed=1, size=64))
        write_pairs(scene_folder, tmp_path, PairSet("none", 2, seed=2, size=64))
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) == 2 * 2 + 2 + 1
    assert {name for name in files if name.startswith("none")} == {
        f"none_2_0000{n}_only_clean.png" for n in range(2)
    }
    write_pairs(scene_folder, tmp_path, PairSet("halftone", 1, seed=1, size=64))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_split_takes_only_scenes_that_training_leaves_alone(
    scene_folder: Path, tmp_path: Path
) -> None:
    write_pairs(scene_folder, tmp_path, PairSet("none", 12, seed=1, size=64, split="test"))
    with (tmp_path / "labels.csv").open(newline="") as file:
        sources = {row["source"] for row in csv.DictReader(file)}
    assert sources and all(split_of(source) == "test" for source in sources)


def test_scenes_are_drawn_where_no_folder_is_given(tmp_path: Path) -> None:
    (picture,) = write_pairs(None, tmp_path, PairSet("none", 1, seed=3, size=64))
    assert read_scene(picture).std() > 0


@pytest.mark.parametrize(
    ("kind", "count", "size", "says"),
    [("plaid", 1, 64, "'plaid'"), ("screen", 0, 64, "0 pairs"), ("screen", 1, 33, "33 px")],
)
def test_impossible_pairs_are_refused_in_one_sentence(
    kind: MoireKind, count: int, size: int, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        PairSet(kind, count, seed=0, size=size)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder") as caught:
        write_pairs(tmp_path / "nosuch", tmp_path / "out", PairSet("screen", 1, seed=0, size=64))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_contact_sheet_shows_each_kind_above_its_target_and_the_real_below(
    scene_folder: Path,
) -> None:
    without = contact_sheet(gather(scene_folder, count=3, size=64), columns=2)
    assert without.shape[1] == 2 * (64 + 4) and without.dtype == np.uint8
    told: list[tuple[int, int]] = []
    gallery = gather(
        scene_folder,
        count=3,
        size=64,
        real=scene_folder,
        progress=lambda what, *step: told.append(step),
    )
    sheet = contact_sheet(gallery, columns=2)
    assert sheet.shape[0] == without.shape[0] // 6 * 7
    assert np.array_equal(sheet[: without.shape[0]], without)
    assert told[-1] == (9, 9)
    assert len(gallery.real) == 30 and {crop.shape for crop in gallery.crops} == {(64, 64, 3)}
