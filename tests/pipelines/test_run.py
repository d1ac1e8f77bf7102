"""The whole job over a small collection: what comes of it, and of running it again."""

import shutil
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import UsageError
from pipelines.destination.destination import Destination
from pipelines.gc import gc
from pipelines.records import REPORT_SCHEMA
from pipelines.retry import RetryOrder, retry
from pipelines.run import run_job
from tests.pipelines.conftest import tree
from tests.pipelines.job_box import (
    LARGE,
    Finished,
    contents,
    outcomes,
    report_of,
    status_of,
    traces,
)
from tests.s3_server import s3_variables, serve_s3

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


def test_every_image_is_accounted_for(finished: Finished) -> None:
    summary = finished.summary
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (21, 9, 6, 6)
    assert summary.others == 4
    assert Counter(outcomes(finished.dst).values()) == {
        ("cleaned", None): 9,
        ("copied", None): 6,
        ("quarantined", "too_large"): 4,
        ("quarantined", "truncated"): 1,
        ("quarantined", "not_an_image"): 1,
    }
    assert outcomes(finished.dst)["a.tar/cut.jpg"] == ("quarantined", "truncated")
    assert outcomes(finished.dst)["a.tar/text.jpg"] == ("quarantined", "not_an_image")


def test_the_mirror_holds_what_the_cleaner_makes_of_each_image_and_all_else_as_it_was(
    finished: Finished,
) -> None:
    cleaner = Cleaner(finished.job.config)
    before = contents(finished.src)
    expected = {
        name: cleaner.clean(data).data if name.endswith(".jpg") else data
        for name, data in before.items()
    }
    assert contents(finished.dst) == expected
    assert sum(before[name] != expected[name] for name in before) == 9
    assert tree(finished.dst).keys() == tree(finished.src).keys()


def test_the_report_says_what_was_read_and_written(finished: Finished) -> None:
    before, after = contents(finished.src), contents(finished.dst)
    table = report_of(finished.dst)
    assert table.schema.equals(REPORT_SCHEMA, check_metadata=True)
    for row in table.to_pylist():
        name = f"{row['source']}/{row['member']}"
        assert (row["bytes_in"], row["sha256_in"]) == (
            len(before[name]),
            sha256(before[name]).hexdigest(),
        ), name
        assert (row["bytes_out"], row["sha256_out"]) == (
            len(after[name]),
            sha256(after[name]).hexdigest(),
        ), name
        assert row["run_id"] == finished.summary.run_id


def test_the_summary_and_the_status_agree_with_the_report(finished: Finished) -> None:
    table = report_of(finished.dst)
    cleaned = [row for row in table.to_pylist() if row["status"] == "cleaned"]
    summary, state = finished.summary, status_of(finished.job)
    assert summary.moire_before == pytest.approx(sum(row["moire_before"] for row in cleaned) / 9)
    assert summary.moire_after == pytest.approx(sum(row["moire_after"] for row in cleaned) / 9)
    pixels = sum((row["width"] or 0) * (row["height"] or 0) for row in table.to_pylist())
    assert summary.megapixels == pytest.approx(pixels / 1e6)
    assert Path(summary.report).read_text().startswith("<!doctype html>")
    assert (state.planned_images, state.images_done, state.units, state.units_done) == (
        21,
        21,
        4,
        4,
    )
    assert (state.sources, state.sources_published, state.megapixels_done) == (
        4,
        4,
        state.megapixels,
    )
    assert state.quarantine == {"too_large": 4, "truncated": 1, "not_an_image": 1}


def test_a_job_of_a_bucket_gives_the_same_and_keeps_no_secret(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.src, tmp_path / "box")
    (tmp_path / "results").mkdir()
    with serve_s3(tmp_path, "a-key", "planted-secret") as endpoint:
        for name, value in s3_variables(endpoint, "a-key", "planted-secret").items():
            monkeypatch.setenv(name, value)
        summary = run_job(replace(finished.job, src="s3://box", dst="s3://results/out"))
    assert (summary.images, summary.cleaned) == (21, 9)
    assert tree(tmp_path / "results" / "out") == tree(finished.dst)
    written = tree(tmp_path / "results", bookkeeping=True)
    assert not [name for name, data in written.items() if b"planted-secret" in data]


# Run again


def test_the_same_job_again_writes_nothing(finished: Finished) -> None:
    before = traces(finished.dst)
    again = run_job(finished.job)
    assert traces(finished.dst) == before
    assert (again.images, again.cleaned, again.mps) == (21, 9, 0.0)


def test_a_collected_job_keeps_its_results_and_has_nothing_to_do(
    finished: Finished, tmp_path: Path
) -> None:
    job = finished.copied_to(tmp_path / "out")
    collected = gc(Destination.at(job.dst))
    left = traces(Path(job.dst))
    assert not [
        name
        for name in left
        if name.startswith(("_demoire/segments", "_demoire/commits", "_demoire/rows"))
    ]
    assert collected.objects == len(traces(finished.dst)) - len(left) and collected.bytes > 0
    assert run_job(job).images == 21
    assert traces(Path(job.dst)) == left
    assert tree(Path(job.dst)) == tree(finished.dst)
    assert status_of(job).images_done == 21


def test_a_mirror_that_is_lost_is_made_again(finished: Finished, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path / "out")
    gc(Destination.at(job.dst))
    (tmp_path / "out" / "c.zip").unlink()
    others = {
        name: trace
        for name, trace in traces(tmp_path / "out").items()
        if name in ("a.tar", "b.tar.gz")
    }
    run_job(job)
    assert tree(tmp_path / "out") == tree(finished.dst)
    assert others.items() <= traces(tmp_path / "out").items()


def test_a_retry_takes_one_reason_into_every_kind_of_mirror(
    finished: Finished, tmp_path: Path
) -> None:
    job = finished.copied_to(tmp_path / "out")
    gc(Destination.at(job.dst))
    larger = replace(finished.job.config, max_megapixels=1)
    summary = retry(job.dst, RetryOrder("too_large", larger, workers=1))
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (21, 13, 6, 2)
    cleaned = Cleaner(larger).clean(LARGE).data
    expected = {
        n: cleaned if n.endswith("large.jpg") else data
        for n, data in contents(finished.dst).items()
    }
    assert contents(tmp_path / "out") == expected
    assert status_of(job).quarantine == {"truncated": 1, "not_an_image": 1}
    assert run_job(job).cleaned == 13  # which leaves the retried ones alone
    with pytest.raises(UsageError, match="Nothing of reason too_large"):
        retry(job.dst, RetryOrder("too_large"))


def test_a_retry_that_changes_nothing_leaves_the_count_as_it_was(
    finished: Finished, tmp_path: Path
) -> None:
    job = finished.copied_to(tmp_path / "out")
    summary = retry(job.dst, RetryOrder(workers=1))
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (21, 9, 6, 6)
    assert tree(tmp_path / "out") == tree(finished.dst)
    assert outcomes(tmp_path / "out") == outcomes(finished.dst)
