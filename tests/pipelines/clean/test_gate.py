"""The gate of a wave and the workers that pass it, on a real Ray."""

import time
from typing import Any

import pytest
import ray
from ray.actor import ActorHandle

from demoire.errors import StorageError
from pipelines.clean.gate import GateCount, count_image, gate_of_wave, unit_in_work

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


@ray.remote(num_cpus=0)
class Worker:
    """Works at one unit until it is told to end it."""

    def __init__(self, gate: ActorHandle[Any]) -> None:
        self._gate = gate
        self._unit = unit_in_work(gate)

    def begin(self) -> None:
        self._unit.__enter__()

    def end(self, images: int) -> None:
        for _ in range(images):
            count_image(self._gate)
            time.sleep(0.002)
        self._unit.__exit__(None, None, None)


def count_of(gate: ActorHandle[Any]) -> GateCount:
    count: GateCount = ray.get(gate.count.remote())
    return count


def test_the_gate_knows_who_has_a_unit_in_work_and_how_many_images_were_finished() -> None:
    here = ray.get_runtime_context().get_node_id()
    with gate_of_wave() as gate:
        worker = Worker.remote(gate)
        ray.get(worker.begin.remote())
        assert count_of(gate) == GateCount(images=0, nodes_at_work=frozenset({here}))
        ray.get(worker.end.remote(images=1))
        while count_of(gate).nodes_at_work:  # workers tell without waiting
            time.sleep(0.01)
        assert count_of(gate).images == 1


@pytest.mark.parametrize("error", [None, StorageError("the disk is full"), RuntimeError("a death")])
def test_nothing_is_said_of_workers_that_end_their_units_after_their_wave(
    error: Exception | None, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        with gate_of_wave() as gate:
            worker = Worker.remote(gate)
            ray.get(worker.begin.remote())
            ended = worker.end.remote(images=500)
            if error is not None:
                raise error
    except (StorageError, RuntimeError) as raised:
        assert raised is error
    ray.get(ended)
    time.sleep(2)  # what Ray has to say arrives by a thread of its own
    assert capfd.readouterr() == ("", "")
