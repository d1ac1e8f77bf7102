"""The actors of a wave, for the nodes that there are and for those that may come."""

import pytest

from demoire.errors import UsageError
from pipelines.clean.nodes import Node
from pipelines.clean.pool import FETCH_CPUS, Pool, PoolWishes, card_here, plan_pool


def nodes(*cpus: float, gpus: float = 0) -> list[Node]:
    return [Node(str(number), count, gpus) for number, count in enumerate(cpus)]


def pool_here(nodes: list[Node], device: str = "auto", workers: int | None = None) -> Pool:
    return plan_pool(PoolWishes(device, workers), nodes)


def pool_on_a_cluster(
    nodes: list[Node],
    device: str = "auto",
    workers: int | None = None,
    gpus: int | None = None,
) -> Pool:
    return plan_pool(PoolWishes(device, workers, gpus, may_grow=True), nodes)


@pytest.mark.parametrize(
    ("cpus", "size", "threads"),
    [
        ([1], 1, 1),
        ([2], 1, 2),
        ([4], 1, 4),
        ([16], 4, 4),
        ([8, 8], 4, 4),
        ([2, 2], 2, 2),
    ],
)
def test_without_a_gpu_there_is_an_actor_for_about_four_cores(
    cpus: list[float], size: int, threads: int
) -> None:
    pool = pool_here(nodes(*cpus))
    assert (pool.least, pool.most, pool.threads) == (size, size, threads)
    assert (pool.gpus, pool.device) == (0.0, "cpu")


@pytest.mark.parametrize("cpus", [[1], [2], [3], [16], [4, 4]])
@pytest.mark.parametrize("workers", [None, 1, 2])
def test_actors_leave_room_for_a_fetch_on_every_node(
    cpus: list[float], workers: int | None
) -> None:
    pool = pool_here(nodes(*cpus), workers=workers)
    a_node = -(-pool.least // len(cpus))
    assert pool.cpus * a_node + FETCH_CPUS <= cpus[0]


def test_a_small_node_beside_large_ones_gets_one_actor() -> None:
    pool = pool_on_a_cluster(nodes(2, 64))
    assert (pool.least, pool.cpus, pool.threads) == (17, 1.5, 2)


def test_with_gpus_there_is_an_actor_for_each() -> None:
    here = nodes(14, 14, gpus=3)
    pool = pool_here(here)
    assert (pool.least, pool.most) == (6, 6)
    assert (pool.cpus, pool.gpus, pool.device) == (1.0, 1.0, "auto")
    assert pool_here(here, workers=3).least == 3
    assert pool_here(here, workers=50).most == 6
    assert pool_here(here, "cuda:1").most == 1
    assert pool_here(here, "cpu").gpus == 0.0


@pytest.mark.parametrize(
    ("cpus", "gpus", "sharing"), [(2, 1, 1), (8, 1, 2), (12, 1, 3), (16, 2, 2), (192, 8, 4)]
)
def test_several_actors_share_a_gpu_that_has_cores_for_them(
    cpus: float, gpus: int, sharing: int
) -> None:
    pool = pool_here(nodes(cpus, gpus=gpus))
    assert pool.least == pool.most == gpus * sharing
    assert 0.99 < pool.gpus * sharing <= 1
    assert pool_here(nodes(cpus, gpus=gpus), "cuda:0").most == sharing


@pytest.mark.parametrize(
    ("cpus", "gpus", "workers", "share"),
    [([2], 1, None, 1), ([8], 1, None, 1 / 2), ([32, 32], 4, None, 1 / 8), ([32], 4, 3, 1 / 3)],
)
def test_actors_beside_gpus_share_the_memory_of_their_node(
    cpus: list[float], gpus: int, workers: int | None, share: float
) -> None:
    assert pool_here(nodes(*cpus, gpus=gpus), workers=workers).memory_share == share


def test_actors_that_may_still_come_have_their_share_of_memory() -> None:
    assert pool_on_a_cluster(nodes(8), "cuda").memory_share == 1
    assert pool_on_a_cluster(nodes(8, gpus=2)).memory_share == 1 / 2
    assert pool_on_a_cluster(nodes(8, gpus=1), gpus=4).memory_share == 1 / 2


def test_a_gpu_that_this_machine_lacks_is_told() -> None:
    with pytest.raises(UsageError, match="There is no device cuda here: use --device cpu"):
        pool_here(nodes(8), "cuda")
    with pytest.raises(UsageError, match="There are 2 GPUs here, not 4"):
        plan_pool(PoolWishes("auto", gpus=4), nodes(8, gpus=2))


def test_threads_that_were_asked_for_are_kept() -> None:
    assert plan_pool(PoolWishes("auto", threads=3), nodes(16)).threads == 3


def test_on_a_cluster_actors_begin_where_there_is_room_and_may_become_more() -> None:
    pool = pool_on_a_cluster(nodes(8, 8))
    assert (pool.least, pool.most, pool.cpus) == (4, None, 3.75)
    assert pool_on_a_cluster(nodes(8, 8), workers=30).most == 30
    assert pool_on_a_cluster(nodes(8, 8), workers=3).least == 3


def test_on_a_cluster_a_gpu_is_asked_for_that_is_not_there_yet() -> None:
    pool = pool_on_a_cluster(nodes(8), "cuda")
    assert (pool.least, pool.most, pool.gpus) == (1, None, 1.0)
    assert pool_on_a_cluster(nodes(6, 6, gpus=1), "cuda").least == 2


def test_gpus_by_number_are_asked_for_all_at_once() -> None:
    pool = pool_on_a_cluster(nodes(6, gpus=1), gpus=4)
    assert (pool.least, pool.most) == (4, 4)
    assert pool_on_a_cluster(nodes(8, gpus=1), gpus=4).least == 8  # two share each


@pytest.mark.parametrize(
    ("device", "visible", "named"),
    [
        ("cuda:1", None, "cuda:1"),
        ("cuda:1", "2,3", "cuda:3"),
        ("cuda:0", "MIG-4a1f", "cuda:MIG-4a1f"),
        ("cuda", "2,3", "cuda"),
        ("cuda:5", "2,3", "cuda:5"),
        ("cpu", "0", "cpu"),
    ],
)
def test_a_card_is_the_one_that_torch_numbers_so_here(
    device: str, visible: str | None, named: str
) -> None:
    assert card_here(device, visible) == named
