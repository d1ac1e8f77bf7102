"""What has left SRC: it is removed from the mirror when somebody asks, and only what is ours."""

import os
from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from pipelines.destination.differences import differences
from pipelines.prune import prune
from tests.pipelines.conftest import draw, half_moire, tree, write_tar
from tests.pipelines.publish.job import Job, published_job


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """Two loose files and two tars."""
    src = tmp_path / "src"
    src.mkdir()
    for name in ("kept.txt", "gone.txt", "edited.txt"):
        (src / name).write_bytes(name.encode())
    for name in ("kept.tar", "gone.tar"):
        write_tar(src / name, half_moire(1))
    return src


@pytest.fixture
def left(src: Path, tmp_path: Path, cleaner: Cleaner) -> Job:
    """All was published, then some of it left SRC, and one of that was edited in the mirror."""
    published_job(src, tmp_path / "dst", cleaner)
    for name in ("gone.txt", "edited.txt", "gone.tar"):
        (src / name).unlink()
    job = published_job(src, tmp_path / "dst", cleaner)
    (job.dst / "edited.txt").write_bytes(b"edited since")
    (job.dst / "theirs.txt").write_bytes(b"never ours")
    return job


def test_what_has_left_is_removed_but_for_what_somebody_edited(left: Job) -> None:
    assert differences(left.destination, left.plan).left.count == 3

    assert prune(left.destination, left.plan) == 2

    assert tree(left.dst).keys() == {"kept.txt", "kept.tar", "edited.txt", "theirs.txt"}
    assert (left.dst / "edited.txt").read_bytes() == b"edited since"
    assert differences(left.destination, left.plan).left.count == 0
    assert left.destination.markers.done(left.plan) == left.plan.source_ids
    assert left.prove().files == 2
    assert prune(left.destination, left.plan) == 0


def test_a_source_that_has_left_takes_its_report_with_it(left: Job) -> None:
    reports = left.dst / "_demoire" / "report"
    assert len(list(reports.iterdir())) == 3
    prune(left.destination, left.plan)
    assert len(list(reports.iterdir())) == 2


def test_what_came_back_before_pruning_stays(left: Job, src: Path, cleaner: Cleaner) -> None:
    write_tar(src / "gone.tar", half_moire(2))
    (src / "gone.txt").write_bytes(b"back")
    job = published_job(src, left.dst, cleaner)
    assert prune(job.destination, job.plan) == 0
    assert {"gone.tar", "gone.txt"} <= tree(left.dst).keys()


def test_the_mirror_of_another_source_is_not_pruned(
    src: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_tar(other / "other.tar", {"1.jpg": draw(False, 1)})
    dst = tmp_path / "dst"
    published_job(other, dst, cleaner)
    (src / "kept.tar").unlink()
    job = published_job(src, dst, cleaner)
    assert prune(job.destination, job.plan) == 0
    assert "other.tar" in tree(dst)


def test_folders_that_are_empty_then_go_as_well_but_not_those_of_src(
    src: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    odd = os.fsdecode(b"empty-\xe9t\xe9")  # no UTF-8
    for folder in ("gone/deep", "empty", odd, "stays/deep", "theirs"):
        (src / folder).mkdir(parents=True)
    for name in ("gone/deep/a.txt", "stays/deep/b.txt", "stays/c.txt", "theirs/d.txt"):
        (src / name).write_bytes(b"text")
    published_job(src, dst, cleaner)
    assert (dst / "empty").is_dir() and (dst / odd).is_dir()
    (dst / "theirs" / "note.txt").write_bytes(b"never ours")
    for name in ("gone/deep/a.txt", "stays/deep/b.txt", "stays/c.txt", "theirs/d.txt"):
        (src / name).unlink()
    for folder in ("gone/deep", "gone", "empty", odd, "stays/deep", "theirs"):
        (src / folder).rmdir()
    job = published_job(src, dst, cleaner)

    assert prune(job.destination, job.plan) == 4

    folders = {str(path.relative_to(dst)) for path in dst.iterdir() if path.is_dir()}
    assert folders == {"_demoire", "stays", "theirs"}
    assert not list((dst / "stays").iterdir())
    assert job.prove().withheld == 0
