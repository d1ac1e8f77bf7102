"""A short campaign of every kind: what `make chaos` does by the hour."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from demoire.cleaning.config import CleanerConfig
from tests.chaos.collection import Published, make_collection, published, start_clean, write_config
from tests.chaos.faults import clean_bucket, fault_campaign
from tests.chaos.files import run_hostile_files
from tests.chaos.kills import KINDS, kill_campaign
from tests.chaos.odd_sources import put_theirs
from tests.s3_server import serve_s3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def config(tiny_config: CleanerConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tiny_config, tmp_path_factory.mktemp("config") / "tiny.toml")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chaos") / "box"
    assert make_collection(folder, 60) == 161
    return folder


@pytest.fixture(scope="module")
def calm(box: Path, config: Path) -> Published:
    """What an undisturbed run publishes."""
    dst = box.parent / "calm"
    put_theirs(dst)
    assert start_clean(str(box), str(dst), config, box.parent / "calm.log", "--merge").wait() == 0
    return published(dst)


def test_whatever_process_is_killed_the_result_is_that_of_an_undisturbed_run(
    box: Path, calm: Published, config: Path, tmp_path: Path
) -> None:
    runs = [("worker", "actor", "driver"), ("raylet",), ("prefect",)]
    campaign = kill_campaign(box, calm, config, tmp_path, runs, seed=1)
    assert campaign.injected == dict.fromkeys(KINDS, 1)
    assert campaign.proved and not campaign.stuck, campaign


@pytest.fixture
def buckets(box: Path, tmp_path: Path) -> Iterator[Path]:
    put_theirs(tmp_path / "calm")
    shutil.copytree(box, tmp_path / "box", symlinks=True)
    yield tmp_path


def test_a_bucket_that_stumbles_changes_nothing(
    buckets: Path, config: Path, tmp_path: Path
) -> None:
    with serve_s3(buckets) as endpoint:
        assert clean_bucket("calm", config, tmp_path / "calm.log", endpoint) == 0
    campaign = fault_campaign(buckets, published(buckets / "calm"), config, tmp_path, 15, seed=1)
    assert campaign.injected.total() >= 15 and len(campaign.injected) >= 3
    assert campaign.proved, campaign


def test_hostile_files_have_their_rows_and_kill_nothing(config: Path, tmp_path: Path) -> None:
    found = run_hostile_files(config, tmp_path, 400, seed=7, extra_parents=None)
    assert found.proved, found
    # MiB; it varies with what meets in the worker, about 1,400 to 1,700
    assert found.peaks["cleaning worker"] < 2000
    assert (
        found.mutations > 40
        and found.outcomes["cleaned"] > 20
        and found.outcomes["quarantined truncated"] > 20
    )


def test_a_campaign_would_see_what_is_lost_doubled_or_changed(box: Path, calm: Published) -> None:
    dst = box.parent / "calm"
    report = next(iter((dst / "_demoire" / "report").glob("*.parquet")))
    kept = report.read_bytes()
    report.unlink()
    assert 0 < published(dst).lost(calm) < 107 and published(dst).report != calm.report
    report.write_bytes(kept)
    report.with_name("twice.parquet").write_bytes(kept)
    assert published(dst).doubled > 0
    report.with_name("twice.parquet").unlink()
    with (dst / "a.tar").open("r+b") as file:
        file.seek(5000)
        file.write(b"x")
    assert published(dst).mirrors != calm.mirrors and published(dst).report == calm.report
