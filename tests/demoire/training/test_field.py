"""A folder of field pictures: every picture has one source, every source one part."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from demoire.errors import UsageError
from demoire.training.field import FieldFolder, FieldPair, read_pair

_SPLIT = """
[train]
one = ["clean/*_one_*", "real_pairs/one-*"]
[validation]
two = ["clean/*_two_*", "screens/two_*"]
[test]
drawn = ["faults/noise/*"]
"""


def _picture(seed: int, height: int = 64, width: int = 96) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.clip(127 + 1500 * (soft - 0.5), 0, 255).astype(np.uint8)


def _write(folder: Path, name: str, picture: np.ndarray) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """Two sources of clean pictures, a screen, a pair and a drawing with noise."""
    _write(tmp_path, "clean/camera_one_001.png", _picture(1))
    _write(tmp_path, "clean/camera_two_001.png", _picture(2))
    _write(tmp_path, "screens/two_a.png", _picture(3))
    _write(tmp_path, "real_pairs/one-a_moire.png", _picture(4))
    _write(tmp_path, "real_pairs/one-a_clean.png", _picture(4))
    _write(tmp_path, "faults/noise/drawn.png", _picture(5))
    (tmp_path / "split.toml").write_text(_SPLIT)
    return tmp_path


def test_every_picture_is_in_the_part_of_its_source(field: Path) -> None:
    train, validation, test = (
        FieldFolder(field).part(part) for part in ("train", "validation", "test")
    )
    assert [picture.path.name for picture in train.pictures] == ["camera_one_001.png"]
    assert [pair.name for pair in train.pairs] == ["one-a"]
    assert [picture.source for picture in validation.of("clean", "screens")] == ["two", "two"]
    assert [picture.group for picture in test.pictures] == ["noise"]


def test_a_split_file_elsewhere_is_taken(field: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other.toml"
    elsewhere.write_text(_SPLIT.replace("train", "test2").replace("test]", "train]", 1))
    with pytest.raises(
        UsageError, match="has a part test2; name its parts train, validation, test, unused"
    ):
        FieldFolder(field, elsewhere).part("train")


def test_a_folder_without_a_split_file_is_refused(field: Path) -> None:
    (field / "split.toml").unlink()
    with pytest.raises(UsageError, match="names the source of every picture"):
        FieldFolder(field).part("train")


def test_a_source_in_two_parts_is_refused(field: Path) -> None:
    (field / "split.toml").write_text(_SPLIT + 'one = ["clean/*_one_*"]\n')
    with pytest.raises(UsageError, match="puts the source one into train and test; choose one"):
        FieldFolder(field).part("train")


def test_a_picture_of_two_sources_is_refused(field: Path) -> None:
    (field / "split.toml").write_text(_SPLIT + 'all = ["clean/*"]\n')
    with pytest.raises(UsageError, match="belongs to the sources one and all"):
        FieldFolder(field).part("train")


def test_unused_pictures_are_in_no_part(field: Path) -> None:
    (field / "split.toml").write_text(_SPLIT + '[unused]\nodd = ["clean/camera_one_001.png"]\n')
    assert FieldFolder(field).part("train").of("clean") == []


def test_a_picture_without_a_source_is_refused(field: Path) -> None:
    _write(field, "clean/camera_three_001.png", _picture(6))
    with pytest.raises(UsageError, match="clean/camera_three_001.png belongs to no source"):
        FieldFolder(field).part("train")


def test_half_a_pair_is_refused(field: Path) -> None:
    (field / "real_pairs/one-a_clean.png").unlink()
    with pytest.raises(UsageError, match="one-a_moire.png has no twin"):
        FieldFolder(field).part("train")


def _pair(folder: Path, photograph: np.ndarray, shown: np.ndarray) -> FieldPair:
    moire = _write(folder, "a_moire.png", photograph)
    return FieldPair("a", moire, _write(folder, "a_clean.png", shown), "one")


def test_a_pair_in_another_tone_is_read(tmp_path: Path) -> None:
    shown = _picture(7)
    photograph, _ = read_pair(_pair(tmp_path, (0.6 * shown + 30).astype(np.uint8), shown))
    assert photograph.shape == (64, 96, 3)


def test_a_pair_of_two_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are of 96 x 64 and 80 x 64 px; a pair has one size"):
        read_pair(_pair(tmp_path, _picture(8), _picture(8, width=80)))


def test_a_pair_of_two_scenes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not show the same scene"):
        read_pair(_pair(tmp_path, _picture(9, 256, 256), _picture(10, 256, 256)))
