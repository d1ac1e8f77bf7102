"""Where a job runs: actors for the nodes there are, errors that come home as they were, a cluster
that loses a node.
"""

import errno
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import ActorDiedError, OutOfDiskError, RayTaskError, WorkerCrashedError

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import SourceChangedError, UsageError
from pipelines.clean.cluster import (
    FETCH_CPUS,
    Pool,
    is_death,
    own_error,
    plan_pool,
    ray_session,
    storage_environment,
)
from pipelines.job import CleanJob
from pipelines.run import run_job
from tests.pipelines.conftest import half_moire, read_tar, write_tar


def node(cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, Any]:
    return {
        "Alive": alive,
        "Resources": {"CPU": cpus, "memory": 1e9} | ({"GPU": gpus} if gpus else {}),
    }


def pool_on(
    nodes: list[dict[str, Any]], device: str = "auto", workers: int | None = None, threads: int = 0
) -> Pool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "nodes", lambda: nodes)
        return plan_pool(device, workers, threads)


# The actors of a wave


@pytest.mark.parametrize(
    ("nodes", "size", "threads"),
    [
        ([node(1)], 1, 1),
        ([node(2)], 1, 2),
        ([node(4)], 1, 4),
        ([node(16)], 4, 4),
        ([node(8), node(8)], 4, 4),
        ([node(2), node(2), node(2, alive=False)], 2, 2),
        ([node(8), {"Alive": True, "Resources": {}}], 2, 4),  # a head that works nothing itself
    ],
)
def test_without_a_gpu_there_is_an_actor_for_about_four_cores(
    nodes: list[dict[str, Any]], size: int, threads: int
) -> None:
    pool = pool_on(nodes)
    assert (pool.size, pool.threads, pool.gpus, pool.device) == (size, threads, 0.0, "cpu")


@pytest.mark.parametrize("nodes", [[node(1)], [node(2)], [node(3)], [node(16)], [node(4), node(4)]])
@pytest.mark.parametrize("workers", [None, 1, 2])
def test_actors_leave_room_for_a_fetch_on_every_node(
    nodes: list[dict[str, Any]], workers: int | None
) -> None:
    pool = pool_on(nodes, workers=workers)
    cpus = nodes[0]["Resources"]["CPU"]
    a_node = -(-pool.size // len(nodes))
    assert pool.cpus * a_node + FETCH_CPUS <= cpus


def test_with_gpus_there_is_an_actor_for_each() -> None:
    nodes = [node(16, 4), node(16, 2)]
    assert pool_on(nodes) == Pool(6, 1.0, 1.0, 0, "auto")
    assert pool_on(nodes, workers=3).size == 3
    assert pool_on(nodes, workers=50).size == 6
    assert pool_on(nodes, "cuda:1").size == 1
    assert pool_on(nodes, "cpu").gpus == 0.0


def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="There is no device cuda here: use --device cpu"):
        pool_on([node(8)], "cuda")


def test_threads_that_were_asked_for_are_kept() -> None:
    assert pool_on([node(16)], threads=3).threads == 3


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
    carried = pickle.loads(pickle.dumps(storage_environment()))
    assert "a-key" not in repr(carried)
    for name in ("AWS_ACCESS_KEY_ID", "DEMOIRE_STORAGE_OPTIONS", "SOMETHING_ELSE"):
        monkeypatch.delenv(name)
    carried.install()
    found = (
        os.environ.get(name)
        for name in ("AWS_ACCESS_KEY_ID", "DEMOIRE_STORAGE_OPTIONS", "SOMETHING_ELSE")
    )
    assert tuple(found) == ("a-key", "{}", None)


# A cluster


@pytest.fixture
def two_nodes() -> Iterator[Cluster]:
    """A cluster of two nodes on this machine, of two CPUs and of one."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_a_job_on_a_cluster_that_loses_a_node_gives_what_any_other_gives(
    two_nodes: Cluster, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    (tmp_path / "box").mkdir()
    originals = {f"{number}.tar": half_moire(2, 10 * number) for number in range(6)}
    for name, members in originals.items():
        write_tar(tmp_path / "box" / name, members)
    lost = []

    def lose_a_node(phase: str, done: float, total: float) -> None:
        if phase == "clean" and done and not lost:
            lost.append(two_nodes.worker_nodes.copy().pop())
            two_nodes.remove_node(lost[0])

    job = CleanJob(
        str(tmp_path / "box"), str(tmp_path / "out"), tiny_config, ray_address=two_nodes.address
    )
    summary = run_job(job, progress=lose_a_node)
    assert lost and not ray.is_initialized()
    assert (summary.images, summary.cleaned, summary.copied) == (12, 6, 6)
    cleaner = Cleaner(tiny_config)
    for name, members in originals.items():
        expected = {member: cleaner.clean(data).data for member, data in members.items()}
        assert read_tar(tmp_path / "out" / name) == expected


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_told_at_once(address: str) -> None:
    with pytest.raises(
        UsageError, match=f"There is no Ray cluster at {address}: check --ray-address"
    ):
        ray_session(address).__enter__()
