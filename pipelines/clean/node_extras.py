"""Which nodes of a cluster have less installed than the process that plans.

Costs a task without a CPU on each node, and up to a minute where one does not answer.
"""

from collections.abc import Callable

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from demoire.imaging.formats import can_clean_heic
from pipelines.clean.cluster import ray_session
from pipelines.clean.nodes import living_nodes

_PATIENCE = 60.0  # seconds


def nodes_without_heic(ray_address: str | None, patience: float) -> int:
    """How many nodes cannot clean HEIC, for lack of the extra.

    Args:
        ray_address: As for `ray_session`. A Ray of this machine has what this process has, and is
            not started for the question.
        patience: As for `ray_session`.
    """
    if ray_address is None and not ray.is_initialized():
        return 0
    with ray_session(ray_address, patience):
        return nodes_that_deny(can_clean_heic)


def nodes_that_deny(question: Callable[[], bool]) -> int:
    """How many living nodes answer a question with no, or do not know it.

    Nodes that vanish, or do not answer in time, are left out of account.
    """
    ask = ray.remote(num_cpus=0, max_retries=0)(question)
    asked = []
    for node in living_nodes():
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        asked.append(ask.options(scheduling_strategy=there).remote())
    if not asked:
        return 0
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=_PATIENCE)
    denying = 0
    for answer in answered:
        try:
            if not ray.get(answer):
                denying += 1
        except RayTaskError:  # an older demoire
            denying += 1
        except RayError:
            continue
    return denying
