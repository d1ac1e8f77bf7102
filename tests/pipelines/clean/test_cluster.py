"""Where a job runs: errors that come home as they were, a cluster that grows from nothing and
loses a node.
"""

import errno
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.exceptions import ActorDiedError, OutOfDiskError, RayTaskError, WorkerCrashedError

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import SourceChangedError, UsageError
from demoire.imaging.pdf.passwords import passwords_in_use, use_passwords
from pipelines.clean.cluster import is_death, own_error, ray_session, storage_environment
from pipelines.job import CleanJob
from pipelines.run import run_job
from tests.pipelines.clean.growing_cluster import GrowingCluster
from tests.pipelines.conftest import half_moire, read_tar, write_tar

# Errors


def test_an_error_for_the_user_is_found_in_what_ray_wraps_around_it() -> None:
    own = SourceChangedError("a.tar changed")
    wrapped = RayTaskError("fetch", "traceback", own)
    assert own_error(wrapped) is own
    assert own_error(wrapped.as_instanceof_cause()) is own
    outer = ValueError("outer")
    outer.__cause__ = wrapped
    assert own_error(outer) is own
    assert own_error(ValueError("none of ours")) is None


def test_what_the_machine_refuses_a_worker_is_one_sentence_with_the_file_and_the_way_out() -> None:
    full = RayTaskError("clean", "traceback", OSError(errno.ENOSPC, "No space left", "/tmp/x"))
    assert str(own_error(full)) == (
        "Cannot use /tmp/x: the disk is full, free some space and run the same command again."
    )
    handles = RayTaskError("clean", "traceback", OSError(errno.EMFILE, "Too many open files"))
    assert "raise the limit (ulimit -n)" in str(own_error(handles.as_instanceof_cause()))
    spilling = own_error(OutOfDiskError("Local disk is full\nThe object cannot be created"))
    assert "RAY_TMPDIR" in str(spilling)
    assert own_error(RayTaskError("clean", "traceback", ConnectionError("none of ours"))) is None


def test_an_error_for_the_user_is_free_of_what_ray_data_adds_to_it() -> None:
    found = own_error(
        RayTaskError("fetch", "traceback", UsageError("Check this.\nFailed to apply UDF transform"))
    )
    assert str(found) == "Check this."


def test_deaths_are_told_from_errors() -> None:
    assert is_death(WorkerCrashedError()) and is_death(ActorDiedError())
    assert not is_death(RayTaskError("clean", "traceback", ZeroDivisionError()))
    assert not is_death(ValueError())


def test_workers_get_the_variables_of_storage_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("DEMOIRE_STORAGE_OPTIONS", "{}")
    monkeypatch.setenv("SOMETHING_ELSE", "x")
    use_passwords([b"hush"])
    carried = pickle.loads(pickle.dumps(storage_environment()))
    use_passwords(())
    assert "a-key" not in repr(carried) and "hush" not in repr(carried)
    for name in ("AWS_ACCESS_KEY_ID", "DEMOIRE_STORAGE_OPTIONS", "SOMETHING_ELSE"):
        monkeypatch.delenv(name)
    carried.install()
    found = (
        os.environ.get(name)
        for name in ("AWS_ACCESS_KEY_ID", "DEMOIRE_STORAGE_OPTIONS", "SOMETHING_ELSE")
    )
    assert tuple(found) == ("a-key", "{}", None)
    assert passwords_in_use() == (b"hush",)
    use_passwords(())


# A cluster


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[GrowingCluster]:
    """A cluster of which there is only a head that does not work itself."""
    # What cleans on the GPU takes all CPUs of its node: the other one reads and publishes.
    cluster = GrowingCluster(tmp_path, {"cpu": {"CPU": 1}, "gpu": {"CPU": 1, "GPU": 1}})
    yield cluster
    ray.shutdown()
    cluster.end()


@pytest.mark.slow
def test_a_cluster_grows_from_nothing_and_a_node_that_vanishes_costs_nothing_but_time(
    growing: GrowingCluster, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    """A GPU is asked for, and a node with one comes; there torch finds none, and uses the CPU."""
    (tmp_path / "box").mkdir()
    originals = {f"{number}.tar": half_moire(2, 10 * number) for number in range(6)}
    for name, members in originals.items():
        write_tar(tmp_path / "box" / name, members)
    phases = []
    lost = []

    def lose_a_node(phase: str, done: float, total: float) -> None:
        phases.append(phase)
        if phase == "clean" and done and not lost:
            lost.append(growing.types())
            growing.lose_node("gpu")

    job = CleanJob(
        src=str(tmp_path / "box"),
        dst=str(tmp_path / "out"),
        config=replace(tiny_config, device="auto"),
        gpus=1,
        ray_address=growing.address,
    )
    summary = run_job(job, progress=lose_a_node)
    assert "wait" in phases and not ray.is_initialized()
    assert len(lost) == 1 and "gpu" in lost[0]
    assert (summary.images, summary.cleaned, summary.copied) == (12, 6, 6)
    cleaner = Cleaner(tiny_config)
    for name, members in originals.items():
        expected = {member: cleaner.clean(data).data for member, data in members.items()}
        assert read_tar(tmp_path / "out" / name) == expected
    ledger = tmp_path / "out" / "_demoire"
    begun = list((ledger / "attempts").glob("*.json"))
    done = [*(ledger / "commits").glob("*.json"), *(ledger / "bundles").glob("*.json")]
    assert len(begun) - len(done) <= 2, "more was begun again than the lost actor had in hand"
    growing.await_none()  # idle nodes go away


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_told_at_once(address: str) -> None:
    with pytest.raises(
        UsageError, match=f"There is no Ray cluster at {address}: check --ray-address"
    ):
        ray_session(address).__enter__()
