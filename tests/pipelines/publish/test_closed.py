"""What may not be read does not stop the night: it is withheld, and all else is published."""

from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from pipelines.destination.differences import differences
from pipelines.prune import prune
from tests.ordinary_user import modes_count
from tests.pipelines.conftest import half_moire, tree, write_tar
from tests.pipelines.publish.job import Job, published_job


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A loose file and an archive at the top, and the same in a folder."""
    src = tmp_path / "src"
    (src / "inner").mkdir(parents=True)
    for folder in (src, src / "inner"):
        (folder / "note.txt").write_bytes(b"a note")
        write_tar(folder / "box.tar", half_moire(1))
    return src


def publish(src: Path, cleaner: Cleaner) -> Job:
    with modes_count():
        return published_job(src, src.parent / "dst", cleaner)


def withheld_of(job: Job) -> dict[str, str]:
    reasons = {}
    for planned in job.plan.sources:
        for member in planned.withheld:
            reasons[f"{planned.source.path}/{member.name}"] = member.reason
    return reasons


@pytest.mark.parametrize(
    ("closed", "mirrored"),
    [
        ("inner/note.txt", {"note.txt", "box.tar", "inner/box.tar"}),
        ("inner/box.tar", {"note.txt", "box.tar", "inner/note.txt"}),
        ("inner", {"note.txt", "box.tar"}),
    ],
)
def test_all_else_is_published(
    src: Path, cleaner: Cleaner, closed: str, mirrored: set[str]
) -> None:
    (src / closed).chmod(0)
    job = publish(src, cleaner)
    name = closed if "/" in closed else f"/{closed}"
    assert withheld_of(job) == {name: "no_access"}
    assert tree(job.dst).keys() == mirrored
    assert job.prove().withheld == 1


@pytest.mark.parametrize("closed", ["inner/note.txt", "inner/box.tar", "inner"])
def test_an_earlier_mirror_of_it_stays_and_has_not_left(
    src: Path, cleaner: Cleaner, closed: str
) -> None:
    mirrored = tree(publish(src, cleaner).dst)
    (src / closed).chmod(0)
    job = publish(src, cleaner)
    assert differences(job.destination, job.plan).left.count == 0
    assert prune(job.destination, job.plan) == 0
    assert tree(job.dst) == mirrored


@pytest.mark.parametrize("closed", ["inner/note.txt", "inner/box.tar", "inner"])
def test_it_is_cleaned_once_it_may_be_read(src: Path, cleaner: Cleaner, closed: str) -> None:
    mode = (src / closed).stat().st_mode
    (src / closed).chmod(0)
    publish(src, cleaner)
    (src / closed).chmod(mode)
    job = publish(src, cleaner)
    assert withheld_of(job) == {}
    assert tree(job.dst).keys() == {"note.txt", "box.tar", "inner/note.txt", "inner/box.tar"}
    assert job.prove().withheld == 0
