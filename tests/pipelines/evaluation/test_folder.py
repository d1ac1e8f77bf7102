"""Folders that `demoire evaluate` takes, and what it says about those that it does not take."""

import shutil
from pathlib import Path

import pytest

from demoire.errors import UsageError
from pipelines.evaluation.evaluate import evaluate_pairs
from pipelines.evaluation.folder import read_folder
from pipelines.evaluation.labels import TrueLabel, read_labels
from tests.pipelines.evaluation.conftest import MakeCleaner, scene, write


def sentence(caught: pytest.ExceptionInfo[UsageError]) -> str:
    """What the user reads, which has to be one sentence on one line."""
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_files_of_other_roles_are_ignored(pairs: Path) -> None:
    for name in ("b_defocus.png", "b_guide.png", "moire.png"):
        shutil.copy(pairs / "b_clean.png", pairs / name)

    assert read_folder(pairs).images == 6


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")

    with pytest.raises(UsageError, match="holds no labelled images") as caught:
        read_folder(tmp_path)

    assert str(tmp_path) in sentence(caught)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is no folder") as caught:
        read_folder(tmp_path / "nowhere")

    assert sentence(caught)


@pytest.mark.parametrize(("there", "lacking"), [("moire", "clean"), ("clean", "moire")])
def test_a_picture_without_its_twin_is_refused(pairs: Path, there: str, lacking: str) -> None:
    (pairs / f"b_{lacking}.png").unlink()

    with pytest.raises(UsageError, match="has no twin") as caught:
        read_folder(pairs)

    message = sentence(caught)
    assert f"b_{there}.png" in message
    assert f"add b_{lacking} to" in message
    assert f"name it b_only_{there}" in message


def test_a_pair_of_two_sizes_is_refused(pairs: Path) -> None:
    write(pairs / "b_clean.png", scene(0, side=301))

    with pytest.raises(
        UsageError, match="of 300 x 300 px and its twin b_clean.png of 301"
    ) as caught:
        read_folder(pairs)

    assert "b_moire.png" in sentence(caught)


def test_two_files_of_one_name_are_refused(pairs: Path) -> None:
    shutil.copy(pairs / "b_moire.png", pairs / "b_moire.bmp")

    with pytest.raises(UsageError, match="are of one name") as caught:
        read_folder(pairs)

    message = sentence(caught)
    assert "b_moire.png" in message and "b_moire.bmp" in message


@pytest.mark.parametrize("name", ["b_moire.png", "b_clean.png", "c_only_clean.png"])
def test_what_is_no_image_is_refused(pairs: Path, make_cleaner: MakeCleaner, name: str) -> None:
    (pairs / name).write_bytes(b"no image at all")

    with pytest.raises(UsageError, match=r"cannot be read \(not an image\)") as caught:
        evaluate_pairs(pairs, make_cleaner("never"))

    assert name in sentence(caught)


@pytest.mark.parametrize("name", ["b_moire.png", "b_clean.png"])
def test_what_is_cut_short_is_refused(pairs: Path, make_cleaner: MakeCleaner, name: str) -> None:
    whole = (pairs / name).read_bytes()
    (pairs / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UsageError, match=r"cannot be read \(truncated\)") as caught:
        evaluate_pairs(pairs, make_cleaner("never"))

    assert name in sentence(caught)


def test_all_that_is_wrong_is_told_at_once(pairs: Path) -> None:
    write(pairs / "b_clean.png", scene(0, side=301))
    (pairs / "c_only_clean.png").write_bytes(b"no image at all")
    for lonely in ("lonely_moire.png", "lonelier_clean.png"):
        shutil.copy(pairs / "b_moire.png", pairs / lonely)

    with pytest.raises(UsageError, match="4 things are wrong") as caught:
        read_folder(pairs)

    message = sentence(caught)
    assert "b_moire.png is of 300 x 300 px" in message
    assert "lonelier_clean.png has no twin" in message and " and 1 more" in message


class TestLabels:
    def test_without_the_file_there_are_none(self, tmp_path: Path) -> None:
        assert read_labels(tmp_path) == {}

    def test_a_strength_that_is_no_number_is_not_known(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("name,kind,strength\na,screen,2.5\nb,moon,?\n")

        labels = read_labels(tmp_path)

        assert labels == {"a": TrueLabel("screen", 2.5), "b": TrueLabel("moon", None)}

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"file;kind\na;screen\n", "no column 'name'"),
            (b"name,kind\na,screen\nb\n", "line 3 does not have as many fields"),
            (b"name,kind\na,screen,2\n", "line 2 does not have as many fields"),
            (b'name,kind\n"a,screen\nb,screen\n', "unexpected end of data"),
            (b"name,kind\n\xff\xfe,screen\n", "it is not UTF-8"),
        ],
    )
    def test_a_damaged_file_is_refused_not_read_as_none(
        self, pairs: Path, make_cleaner: MakeCleaner, content: bytes, why: str
    ) -> None:
        """Figures by kind would otherwise be missing without a word."""
        (pairs / "labels.csv").write_bytes(content)

        with pytest.raises(UsageError, match=why) as caught:
            evaluate_pairs(pairs, make_cleaner("never"))

        assert "labels.csv cannot be read" in sentence(caught)
