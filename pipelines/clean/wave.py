"""The Ray Data job: fetch -> clean in an actor pool -> commit.

    rows            one a chain: a unit, a bundle of small ones, or all remaining units of a
                    compressed tar, which can only be read from its beginning
    fetch           CPU tasks; encoded bytes, by coalesced ranges; one row and one block a unit
    CleaningActor   holds the models; cleans a unit and commits it; gives back a row of counts

Decoded pixels never leave an actor and cleaned bytes go straight to the ledger, so what travels
through Ray's object store is what was read once. Whatever dies, only commit markers count: a wave
that ends early is simply followed by another one over what is not committed.

Measured on Ray 2.60, hence so: actors restart for ever but a unit is tried twice only (with a
finite `max_restarts` the pool wedges); fetch and actors claim different resources, or they would be
fused into one operator; Ray Data's own tolerance of errors drops whole blocks and is not used. On
this machine `max_task_retries=1` sees to the two tries. On a cluster Ray uses that one up within a
second of a node's end, which ended the whole wave; so it tries on, and the actor itself refuses a
unit that two processes have died of (`CleaningActor._begin`).
"""

import logging
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy
from ray.exceptions import RayTaskError

from demoire.errors import DemoireError
from pipelines.clean.actor import Chain, CleaningActor, WaveOrder, fetch
from pipelines.clean.cluster import is_death, own_error, quiet_data_context
from pipelines.clean.gate import gate_of_wave, wait_until_idle
from pipelines.clean.own_ray import own_ray, stalled
from pipelines.clean.pool import FETCH_CPUS, Pool
from pipelines.clean.stopping import OrderlyStop
from pipelines.clean.watchdog import EndIfGivenUp, NodesLostError, WatchedRows
from pipelines.records import Bundle, Unit

PATIENCE = 1800.0  # seconds; the largest image takes a minute or two on two cores
_IN_FLIGHT = 2  # units an actor: one in work, one waiting beside it
_FETCH_RETRIES = 3  # at most, of a fetch whose node went, or with it what was read

_LOG = logging.getLogger(__name__)

UnitDone = Callable[[int], None]  # told how many images one more unit had


@dataclass
class WaveResult:
    """What a wave came to."""

    units: int = 0
    images: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    death: str = ""  # what died, where the wave ended early
    # Sources that are not what was planned: id -> what to say.
    changed: dict[str, str] = field(default_factory=dict)

    def add(self, row: dict[str, Any], on_unit_done: UnitDone | None) -> None:
        """Count one more unit, or note that its source has changed.

        Raises:
            DemoireError: The worker met something that ends the run.
        """
        if row["failure"] is not None:
            failure: DemoireError = pickle.loads(row["failure"])
            raise failure
        if row["changed"] is not None:
            self.changed.setdefault(row["source"], row["changed"])
            return
        if row["is_deadly"]:
            self.death = "one worker after the other, of the same unit"
            return
        self.units += row["units"]
        self.images += row["images"]
        self.megapixels += row["megapixels"]
        if on_unit_done is not None:
            on_unit_done(row["images"])


def clean_wave(
    work: Sequence[Unit | Bundle],
    order: WaveOrder,
    pool: Pool,
    on_unit_done: UnitDone | None = None,
    stop: OrderlyStop | None = None,
    patience: float = PATIENCE,
) -> WaveResult:
    """Clean and commit these units and bundles on the Ray that runs.

    Units of a source that has changed are passed over.

    Args:
        work: Some thousands, or the driver's memory grows with its tasks.
        order: What the workers have to know.
        pool: The actors.
        on_unit_done: Told of each unit that is committed.
        stop: What turns signals into an orderly end, where the caller listens to any.
        patience: Seconds without a finished image after which the wave is ended.

    Returns:
        What was done. It comes early, with `death` set, if a process died twice of the same unit,
        or if only nodes that have gone had work in hand; what is committed stays committed.

    Raises:
        StorageError, UsageError, WeightsError: From wherever in the wave they arose.
        StoppedError: The run was asked to stop, and the units in work are committed.
        StalledError: Nothing was finished for too long, or Ray itself died.
    """
    start = time.monotonic()
    result = WaveResult()
    stop = stop or OrderlyStop()
    try:
        with gate_of_wave() as gate, stop.draining(lambda: wait_until_idle(gate)):
            for row in WatchedRows(
                lambda: _rows_done(chains(work), order, pool, gate), gate, patience
            ):
                result.add(row, on_unit_done)
    except NodesLostError:
        result.death = "a node, with all that was left"
        _LOG.warning("Nodes have gone; what they had in hand is tried again.")
    except Exception as error:
        is_own = isinstance(error, DemoireError) and not isinstance(error, RayTaskError)
        if is_own:
            raise
        own = own_error(error)
        if own is not None:
            raise own from error
        failure = own_ray.failed_helper()
        if failure is not None:
            raise stalled(failure) from error
        if not is_death(error):
            raise
        result.death = type(error).__name__
        _LOG.warning("A worker died (%s); what it had in hand is tried again.", result.death)
    result.seconds = time.monotonic() - start
    return result


def chains(work: Sequence[Unit | Bundle]) -> list[Chain]:
    """Rows of what is read together: bundles and units one by one, but all units of a compressed
    tar in one.
    """
    rows: list[Chain] = []
    units: list[Unit] = []
    for one in work:
        if isinstance(one, Bundle):
            rows.append(one)
        else:
            units.append(one)
    for _, group in groupby(units, _read_together):
        rows.append(tuple(group))
    return rows


def _read_together(unit: Unit) -> str:
    return unit.source.id if unit.source.is_stream else unit.id


def _rows_done(
    rows: Sequence[Chain], order: WaveOrder, pool: Pool, gate: ActorHandle[Any]
) -> Iterator[dict[str, Any]]:
    """The actors' rows as they come, one a unit."""
    with quiet_data_context() as context:
        # Any class with its methods will do; the base class of Ray is not public.
        context.custom_execution_callback_classes = [EndIfGivenUp]  # type: ignore[list-item]
        items = [{"chain": pickle.dumps(chain)} for chain in rows]
        planned = ray.data.from_items(items, override_num_blocks=len(items))
        fetched = planned.map_batches(
            fetch,  # type: ignore[arg-type]  # Ray's own types leave out that fn_kwargs are passed
            fn_kwargs={"order": order},
            batch_size=1,
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=FETCH_CPUS,
            max_retries=min(pool.tries, _FETCH_RETRIES),
        )
        cleaned = fetched.map_batches(
            CleaningActor,
            fn_constructor_args=(order, gate, pool.threads, pool.device, pool.memory_share),
            compute=ActorPoolStrategy(
                min_size=pool.least,
                max_size=pool.most,
                max_tasks_in_flight_per_actor=_IN_FLIGHT,
            ),
            batch_size=1,
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
            max_restarts=-1,
            max_task_retries=pool.tries,
        )
        yield from cleaned.iter_rows()
