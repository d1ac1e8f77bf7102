"""The actors of a wave: how many there are, how far their number may go, and what each claims.

On this machine their number follows from its cores and GPUs, and stays. A cluster may grow: the
actors begin on the nodes that are there, Ray Data adds some where nodes have room, and asks Ray's
autoscaler for nodes while there is more work than actors. `--gpus N` asks for all N at once: their
actors are made, and those that find no GPU wait for one. An actor that waits is what the autoscaler
answers with a node.

Several actors share a GPU, one for about four of the cores that its node has for it. What one
process does beside the networks (decode, measure, encode) shares one lock of its interpreter: on
an H100 one process came to 38 MP/s, some five cores' worth, where the networks alone do 392. Each
costs the GPU a copy of the networks and a context, together less than 1 GB.

What an actor claims is a matter of book-keeping between Ray's tasks, no limit on what it uses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from demoire.errors import UsageError
from pipelines.clean.nodes import Node

FETCH_CPUS = 0.25  # a fetch mostly waits for storage
_LEFT_FOR_TASKS = 0.5  # CPUs a node that no actor claims: two fetches
_CORES_AN_ACTOR = 4  # more threads than that do little for one model, more models do
_MOST_A_GPU = 4  # each may have 400 MP in flight, some 7 GB, where there is memory for all
_TRIES_HERE = 1  # again, of a unit whose process died
# Ray tries again every second, and knows only after some time that a node has gone.
_TRIES_ON_A_CLUSTER = 60


@dataclass(frozen=True)
class PoolWishes:
    """What a job asks of its actors.

    Attributes:
        device: As the configuration names it: auto, cpu, cuda or cuda:N.
        workers: Actors at most; None: as many as there is room for.
        gpus: GPUs to ask for, whether they are there or not; None: those that are there, or come.
        threads: Of torch, for each actor on the CPU; 0: its share of a node's cores.
        may_grow: Whether nodes may come and go: on a cluster, not on this machine.
    """

    device: str
    workers: int | None = None
    gpus: int | None = None
    threads: int = 0
    may_grow: bool = False

    @property
    def needs_gpu(self) -> bool:
        """Whether the job is to wait for a GPU where there is none."""
        return self.gpus is not None or self.device.startswith("cuda")


@dataclass(frozen=True)
class Pool:
    """The actors of a wave, and what each of them claims."""

    least: int  # actors that are made at once, and kept while there is work
    most: int | None  # None: as many as there comes to be room for
    cpus: float
    gpus: float  # a part of one, where several actors share it
    threads: int  # of torch; 0 on a GPU, where it does not matter
    device: str  # for the Cleaner inside
    tries: int = _TRIES_HERE  # again, of a unit whose actor is not to be reached
    # How much of its node's memory each may use beside a GPU, 0..1.
    memory_share: float = 1.0


def plan_pool(wishes: PoolWishes, nodes: Sequence[Node]) -> Pool:
    """The actors for these nodes: one for about four cores, where there are GPUs at least one for
    each.

    Args:
        wishes: What the job asks for.
        nodes: Those that can work; at least one.

    Raises:
        UsageError: A GPU is asked for, and this machine has none, or not as many.
    """
    gpus = int(sum(node.gpus for node in nodes))
    if wishes.needs_gpu and gpus < (wishes.gpus or 1) and not wishes.may_grow:
        raise _no_such_gpus(wishes, gpus)
    tries = _TRIES_ON_A_CLUSTER if wishes.may_grow else _TRIES_HERE
    if wishes.needs_gpu or (gpus and wishes.device != "cpu"):
        sharing = _actors_a_gpu(nodes)
        least, most = _gpu_actors(wishes, gpus, sharing)
        # Ray counts GPUs to four places: thirds have to be rounded down.
        part = math.floor(1e4 / sharing) / 1e4
        share = 1 / _most_on_a_node(nodes, sharing, most)
        return Pool(least, most, 1.0, part, wishes.threads, wishes.device, tries, share)
    least, most = _cpu_actors(wishes, nodes)
    cores = _cores_an_actor(nodes, least)
    # In quarters of a CPU, rounded down: what Ray cannot place would wait for ever.
    share = max(0.25, math.floor(4 * cores.claimed) / 4)
    return Pool(least, most, share, 0.0, wishes.threads or max(1, round(cores.used)), "cpu", tries)


@dataclass(frozen=True)
class _CoresAnActor:
    """On whatever node it comes to be."""

    claimed: float
    used: float


def _cores_an_actor(nodes: Sequence[Node], actors: int) -> _CoresAnActor:
    """What each of these actors can have. Nodes that come later are taken to be like these."""
    if actors == _room(nodes):
        shares = [(node.cpus, _room([node])) for node in nodes]
    else:
        shares = [(node.cpus, math.ceil(actors / len(nodes))) for node in nodes]
    claimed = min((cpus - _LEFT_FOR_TASKS) / count for cpus, count in shares)
    used = min(cpus / count for cpus, count in shares)
    return _CoresAnActor(claimed, used)


def _room(nodes: Sequence[Node]) -> int:
    """Actors for about four cores each."""
    return sum(max(1, int(node.cpus) // _CORES_AN_ACTOR) for node in nodes)


def _actors_a_gpu(nodes: Sequence[Node]) -> int:
    """How many share a GPU, for the cores that there are for each on any node."""
    cores = [node.cpus / node.gpus for node in nodes if node.gpus]
    if not cores:
        return 1
    return max(1, min(_MOST_A_GPU, int(min(cores)) // _CORES_AN_ACTOR))


def _most_on_a_node(nodes: Sequence[Node], sharing: int, most: int | None) -> int:
    """How many actors any node may come to have; nodes that come later are like these."""
    gpus = max(1, max(int(node.gpus) for node in nodes))
    room = gpus * sharing
    return room if most is None else min(room, most)


def _gpu_actors(wishes: PoolWishes, gpus: int, sharing: int) -> tuple[int, int | None]:
    """The least and the most of them."""
    cards = max(1, gpus)  # the first one may have to come yet
    if ":" in wishes.device:  # one, by its number
        cards = 1
    elif wishes.gpus is not None:
        cards = wishes.gpus
    room = cards * sharing
    least = min(wishes.workers or room, room)
    if ":" in wishes.device or wishes.gpus is not None:
        return least, least
    return least, wishes.workers if wishes.may_grow else least


def _cpu_actors(wishes: PoolWishes, nodes: Sequence[Node]) -> tuple[int, int | None]:
    """The least and the most of them."""
    room = _room(nodes)
    if not wishes.may_grow:
        least = wishes.workers or room
        return least, least
    return min(wishes.workers or room, room), wishes.workers


def card_here(device: str, visible: str | None) -> str:
    """A device of this machine as its actor has to name it.

    Torch numbers the cards that `CUDA_VISIBLE_DEVICES` lists, and an actor gets a list of its own.

    Args:
        device: As the configuration names it.
        visible: What the variable is here: numbers, or names such as those of MIG instances; None
            where it is not set.

    Returns:
        Such as `cuda:3` for `cuda:1` where cards 2 and 3 are visible.
    """
    kind, _, number = device.partition(":")
    if not number or not visible:
        return device
    cards = [card.strip() for card in visible.split(",")]
    if int(number) >= len(cards):
        return device
    return f"{kind}:{cards[int(number)]}"


def _no_such_gpus(wishes: PoolWishes, gpus: int) -> UsageError:
    if not gpus:
        asked = "GPU" if wishes.gpus is not None else f"device {wishes.device}"
        return UsageError(f"There is no {asked} here: use --device cpu, or auto.")
    return UsageError(
        f"There are {gpus} GPUs here, not {wishes.gpus}: ask for fewer with --gpus, or for a "
        "cluster that grows with --ray-address."
    )
