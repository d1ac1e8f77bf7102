"""A collection that changes between runs and under them, and samples of one."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import SourceChangedError, StorageError, UsageError
from pipelines.job import CleanJob
from pipelines.retry import RetryOrder, retry
from pipelines.run import run_job
from tests.pipelines.conftest import draw, half_moire, read_tar, tree, write_tar
from tests.pipelines.job_box import report_of, traces

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


@pytest.fixture
def two_tars(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    box.mkdir()
    for number in range(2):
        write_tar(box / f"{number}.tar", half_moire(3, 100 + 10 * number))
    return box


def test_what_changed_between_two_runs_is_planned_anew_and_only_that(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(job).images == 6
    before = traces(tmp_path / "out")
    write_tar(two_tars / "1.tar", half_moire(4, 200))
    (two_tars / "new.jpg").write_bytes(draw(True, 300))
    summary = run_job(job)
    assert (summary.images, summary.cleaned, summary.copied) == (8, 5, 3)
    assert traces(tmp_path / "out")["0.tar"] == before["0.tar"]
    mirrored = read_tar(tmp_path / "out" / "1.tar")
    assert mirrored == {
        name: Cleaner(tiny_config).clean(data).data for name, data in half_moire(4, 200).items()
    }
    assert (tmp_path / "out" / "new.jpg").read_bytes() == Cleaner(tiny_config).clean(
        draw(True, 300)
    ).data


def test_a_source_that_changes_under_the_run_is_planned_anew(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    changes = iter([lambda: write_tar(two_tars / "1.tar", half_moire(4, 200))])

    def change_once(what: str, done: float, total: float) -> None:
        if what == "clean":
            next(changes, lambda: None)()

    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(job, progress=change_once).images == 7
    assert read_tar(tmp_path / "out" / "1.tar").keys() == half_moire(4, 200).keys()


def test_a_source_that_never_stops_changing_fails_the_run_once_all_others_are_done(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    write_tar(two_tars / "2.tar", half_moire(3, 120))

    def change(what: str, done: float, total: float) -> None:
        if what == "clean":
            write_tar(two_tars / "1.tar", half_moire(4, time.monotonic_ns() % 1_000_000))

    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    with pytest.raises(
        SourceChangedError, match=r"\A[^\n]*1.tar changed since it was planned: [^\n]*\Z"
    ):
        run_job(job, progress=change)
    assert {"0.tar", "2.tar"} <= tree(tmp_path / "out").keys()
    assert {row["source"] for row in report_of(tmp_path / "out").to_pylist()} >= {"0.tar", "2.tar"}
    assert run_job(job).images == 10


def test_a_run_whose_dst_goes_away_writes_nothing_in_its_place_and_goes_on_once_it_is_back(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"

    def take_away(what: str, done: float, total: float) -> None:
        if what == "clean" and out.exists():
            out.rename(elsewhere)

    job = CleanJob(str(two_tars), str(out), tiny_config, workers=1)
    with pytest.raises(StorageError, match=r"\A[^\n]*/out went away[^\n]*mount it again[^\n]*\Z"):
        run_job(job, progress=take_away)
    assert not out.exists()
    elsewhere.rename(out)
    assert run_job(job).images == 6


def test_a_file_that_is_deleted_under_the_run_is_left_out(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    (tmp_path / "box").mkdir()
    for name, data in half_moire(4).items():
        (tmp_path / "box" / name).write_bytes(data)

    def delete(what: str, done: float, total: float) -> None:
        if what == "clean":
            (tmp_path / "box" / "img_002.jpg").unlink(missing_ok=True)

    job = CleanJob(str(tmp_path / "box"), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(job, progress=delete).images == 3
    assert tree(tmp_path / "out").keys() == {"img_000.jpg", "img_001.jpg", "img_003.jpg"}


def test_a_sample_is_a_part_of_the_whole_which_may_follow_but_not_come_before(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(replace(job, sample=2)).images == 2
    assert run_job(replace(job, sample=2)).mps == 0.0  # nothing was left to clean
    assert run_job(job).images == 6
    for number in range(2):
        mirrored = read_tar(tmp_path / "out" / f"{number}.tar")
        originals = half_moire(3, 100 + 10 * number)
        assert mirrored == {
            name: Cleaner(tiny_config).clean(data).data for name, data in originals.items()
        }
    with pytest.raises(UsageError, match="give a sample another DST"):
        run_job(replace(job, sample=2))


def test_a_retry_plans_anew_what_was_fetched_again_since(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    """In a folder and in a tar."""
    whole = draw(True, 50)
    box = tmp_path / "box"
    box.mkdir()
    (box / "a.jpg").write_bytes(draw(True, 1))

    def write_box(last: bytes) -> None:
        (box / "torn.jpg").write_bytes(last)
        write_tar(box / "a.tar", {"a.jpg": draw(True, 1), "torn.jpg": last})

    write_box(whole[:1500])
    job = CleanJob(str(box), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(job).quarantined == 2
    write_box(whole)

    summary = retry(job.dst, RetryOrder("truncated", workers=1))

    assert (summary.images, summary.cleaned, summary.quarantined) == (4, 4, 0)
    cleaned = Cleaner(tiny_config).clean(whole).data
    assert (tmp_path / "out" / "torn.jpg").read_bytes() == cleaned
    assert read_tar(tmp_path / "out" / "a.tar")["torn.jpg"] == cleaned


def test_a_retry_tries_what_is_still_in_quarantine_after_it_planned_anew(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (box / "large.jpg").write_bytes(draw(True, 60, side=160))
    small = replace(tiny_config, max_megapixels=0.02)
    job = CleanJob(str(box), str(tmp_path / "out"), small, workers=1)
    assert run_job(job).quarantined == 1
    (box / "large.jpg").write_bytes(draw(True, 61, side=160))

    summary = retry(job.dst, RetryOrder("too_large", tiny_config, workers=1))

    assert (summary.cleaned, summary.quarantined) == (1, 0)
    cleaned = Cleaner(tiny_config).clean(draw(True, 61, side=160)).data
    assert (tmp_path / "out" / "large.jpg").read_bytes() == cleaned
