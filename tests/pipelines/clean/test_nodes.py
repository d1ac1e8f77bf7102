"""Waiting for the first node of a cluster that begins with a head alone."""

import contextlib
import logging
from collections.abc import Iterator

import pytest
import ray

from demoire.errors import DemoireError
from pipelines.clean import nodes
from pipelines.clean.nodes import Node, await_nodes, living_nodes

CPU_NODE = Node("a", cpus=8, gpus=0)
GPU_NODE = Node("b", cpus=8, gpus=1)


class Cluster:
    """Says at each look what nodes there are, the last time for ever; and is asked for some."""

    def __init__(self, *looks: list[Node]) -> None:
        self.looks = list(looks)
        self.asked: list[bool] = []  # for each time, whether a GPU was

    def living(self) -> list[Node]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    @contextlib.contextmanager
    def asked_for(self, *, needs_gpu: bool) -> Iterator[None]:
        self.asked.append(needs_gpu)
        yield


def cluster_of(monkeypatch: pytest.MonkeyPatch, *looks: list[Node]) -> Cluster:
    cluster = Cluster(*looks)
    monkeypatch.setattr(nodes, "living_nodes", cluster.living)
    monkeypatch.setattr(nodes, "_asked_for", cluster.asked_for)
    monkeypatch.setattr(nodes, "_LOOK_AGAIN", 0.01)
    return cluster


def in_silence(seconds: float, longest: float) -> None:
    pass


def test_a_head_without_cpus_is_no_node_that_can_work(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        {"NodeID": "head", "Alive": True, "Resources": {"memory": 1e9}},
        {"NodeID": "gone", "Alive": False, "Resources": {"CPU": 8.0}},
        {"NodeID": "b", "Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: listed)
    assert living_nodes() == [GPU_NODE]


def test_where_there_is_a_node_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(monkeypatch, [CPU_NODE])
    assert await_nodes(in_silence, needs_gpu=False) == [CPU_NODE]
    assert cluster.asked == []


def test_a_gpu_is_asked_for_and_waited_for_beside_nodes_without_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_of(monkeypatch, [CPU_NODE], [CPU_NODE], [CPU_NODE, GPU_NODE])
    waited = []
    with caplog.at_level(logging.WARNING):
        there = await_nodes(lambda seconds, longest: waited.append(longest), needs_gpu=True)
    assert there == [CPU_NODE, GPU_NODE]
    assert cluster.asked == [True]
    assert waited == [7200.0, 7200.0]
    assert "The cluster has no node with a GPU yet; one is asked for" in caplog.text


def test_a_node_that_never_comes_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_of(monkeypatch, [])
    monkeypatch.setattr(nodes, "_LONGEST_WAIT", 0.03)
    with pytest.raises(DemoireError, match="No node that can work has come .* see whether"):
        await_nodes(in_silence, needs_gpu=False)
