"""The sample: every archive, format and size has its due share, and the same one each time."""

from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from demoire.errors import UsageError
from pipelines.preview.sample import at_equal_steps, draw_sample
from tests.pipelines.conftest import draw, write_tar


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Three archives of 60, 30 and 10 pictures, a third of each PNG files."""
    for box, count in (("a", 60), ("b", 30), ("c", 10)):
        members = {}
        for number in range(count):
            form, suffix = ("PNG", "png") if number % 3 == 0 else ("JPEG", "jpg")
            members[f"{number:03}.{suffix}"] = draw(False, number, side=32, form=form)
        write_tar(tmp_path / f"{box}.tar", members)
    return tmp_path


def test_every_archive_and_format_has_its_due_share(boxes: Path) -> None:
    sample = draw_sample(str(boxes), 20)

    assert sample.all_images == 100
    assert Counter(image.source.path for image in sample.images) == {
        "a.tar": 12,
        "b.tar": 6,
        "c.tar": 2,
    }
    suffixes = Counter(PurePosixPath(image.member.name).suffix for image in sample.images)
    assert suffixes[".png"] == pytest.approx(20 / 3, abs=1)


def test_large_and_small_files_both_have_their_share(tmp_path: Path) -> None:
    members = {f"small-{n}.png": draw(False, n, side=16, form="PNG") for n in range(10)}
    members |= {f"large-{n}.png": draw(False, n, side=128, form="PNG") for n in range(10)}
    write_tar(tmp_path / "box.tar", members)

    sample = draw_sample(str(tmp_path), 6)

    kinds = Counter(image.member.name.partition("-")[0] for image in sample.images)
    assert kinds == {"small": 3, "large": 3}


def test_the_same_archive_gives_the_same_sample(boxes: Path) -> None:
    assert draw_sample(str(boxes), 7) == draw_sample(str(boxes), 7)


def test_several_sources_share_one_sample(boxes: Path) -> None:
    sample = draw_sample(str(boxes / "a.tar"), 9, also=[str(boxes / "b.tar")])

    counts = Counter(image.source.path for image in sample.images)
    assert sample.all_images == 90
    assert counts == {"a.tar": 6, "b.tar": 3}


def test_few_images_are_all_taken(boxes: Path) -> None:
    sample = draw_sample(str(boxes / "c.tar"), 200)

    assert len(sample.images) == sample.all_images == 10
    assert sample.all_indexed


def test_of_many_archives_only_as_many_are_indexed_as_images_are_asked_for(tmp_path: Path) -> None:
    for number in range(12):
        members = {f"{n}.jpg": draw(False, n, side=32) for n in range(5)}
        write_tar(tmp_path / f"box-{number:02}.tar", members)

    sample = draw_sample(str(tmp_path), 4)

    assert (sample.indexed_sources, sample.all_sources) == (4, 12)
    assert sample.all_images == 60, "estimated from the five of each box that was looked into"
    assert len({image.source.path for image in sample.images}) == 4


def test_a_damaged_archive_is_named_and_the_others_are_sampled(boxes: Path) -> None:
    (boxes / "d.zip").write_bytes(b"PK\x03\x04 torn")

    sample = draw_sample(str(boxes), 10)

    (sentence,) = sample.damaged
    assert "d.zip is damaged" in sentence
    assert len(sample.images) == 10


def test_an_archive_without_images_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")

    with pytest.raises(UsageError, match="holds no image that could be cleaned"):
        draw_sample(str(tmp_path), 10)


@pytest.mark.parametrize(
    ("count", "taken"), [(1, [5]), (2, [2, 7]), (5, [1, 3, 5, 7, 9]), (10, list(range(10)))]
)
def test_equal_steps_begin_and_end_half_a_step_inside(count: int, taken: list[int]) -> None:
    assert at_equal_steps(range(10), count) == taken
