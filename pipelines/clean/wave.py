"""The Ray Data job: fetch -> clean in an actor pool -> commit.

    rows            one a chain: a unit, or all remaining units of a tar.gz, which can only be read from its beginning
    fetch           CPU tasks; encoded bytes, by coalesced ranges; one row and one block a unit
    CleaningActor   holds the models; cleans a unit and commits it; gives back a row of counts

Decoded pixels never leave an actor and cleaned bytes go straight to the ledger, so what travels through Ray's object
store is what was read once. Whatever dies, only commit markers count: a wave that ends early is simply followed by
another one over what is not committed.

Measured on Ray 2.60, hence so: actors restart for ever but a unit is tried twice only (`max_task_retries=1`; with a
finite `max_restarts` the pool wedges); fetch and actors claim different resources, or they would be fused into one
operator; Ray Data's own tolerance of errors drops whole blocks and is not used.
"""

import logging
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy

from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError, SourceChangedError
from pipelines.clean.cluster import (
    FETCH_CPUS,
    Pool,
    StorageEnvironment,
    is_death,
    own_error,
    plan_pool,
    quiet_data_context,
    storage_environment,
)
from pipelines.clean.gate import open_gate, unit_in_work, wait_until_idle
from pipelines.clean.ledger import Commit, Ledger, Outcome
from pipelines.clean.stopping import draining
from pipelines.clean.worker_weights import KeptWeights, local_weights
from pipelines.records import Member, ReportRow, Source, Unit
from pipelines.sources.read import read_members

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.result import Cleaned

WAVE_UNITS = 5_000  # a Ray job's driver grows with its tasks
_IN_FLIGHT = 2  # units an actor: one in work, one waiting beside it

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What every worker of a wave has to know. Travels as an argument, since `environment` holds credentials."""

    dst: str
    config: CleanerConfig
    fingerprint: str
    run_id: str
    wave: str
    careful: bool = False  # note each unit before it is read, too: something dies that the actors know nothing of
    weights: tuple[KeptWeights, ...] = ()  # those of the configuration that lie under DST
    environment: StorageEnvironment = field(default_factory=storage_environment)


@dataclass(frozen=True)
class Wave:
    """What a wave came to."""

    units: int = 0
    images: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    death: str = ""  # what died, where the wave ended early
    changed: dict[str, str] = field(default_factory=dict)  # sources that are not what was planned: id -> what to say


UnitDone = Callable[[int, float], None]  # images, megapixels of one more unit


def clean_wave(units: Sequence[Unit], work: Work, workers: int | None = None, done: UnitDone | None = None) -> Wave:
    """Clean and commit these units, at most `WAVE_UNITS`, on the Ray that runs.

    Units of a source that has changed are passed over. Comes back early, with `death` set, if a process died twice of
    the same unit; what is committed stays committed. Raises StorageError, UsageError or WeightsError from wherever in
    the wave they arose, StoppedError after the units in work are committed.
    """
    start = time.monotonic()
    counts = [0, 0, 0.0]
    death = ""
    changed: dict[str, str] = {}
    gate = open_gate()
    try:
        pool = plan_pool(work.config.device, workers, work.config.threads)
        with draining(lambda: wait_until_idle(gate)):
            for row in _results(chains(units), work, pool, gate):
                if row["changed"] is not None:
                    changed.setdefault(row["source"], row["changed"])
                    continue
                counts = [counts[0] + 1, counts[1] + row["images"], counts[2] + row["megapixels"]]
                if done is not None:
                    done(row["images"], row["megapixels"])
    except Exception as error:
        if own := own_error(error):
            raise own from error
        if not is_death(error):
            raise
        death = type(error).__name__
        _LOG.warning("A worker died (%s); what it had in hand is tried again.", death)
    finally:
        ray.kill(gate)
    return Wave(int(counts[0]), int(counts[1]), counts[2], time.monotonic() - start, death, changed)


def chains(units: Sequence[Unit]) -> list[tuple[Unit, ...]]:
    """The units in rows of what is read together: one by one, but all of a tar.gz in one."""

    def key(unit: Unit) -> str:
        return unit.source.id if unit.source.kind == "tar.gz" else unit.id

    return [tuple(group) for _, group in groupby(units, key)]


def _results(rows: Sequence[tuple[Unit, ...]], work: Work, pool: Pool, gate: ActorHandle) -> Iterator[dict[str, Any]]:
    with quiet_data_context():
        items = [{"chain": pickle.dumps(chain)} for chain in rows]
        planned = ray.data.from_items(items, override_num_blocks=len(items))
        fetched = planned.map_batches(
            fetch,  # type: ignore[arg-type]  # Ray's own types leave out that fn_kwargs are passed
            fn_kwargs={"work": work},
            batch_size=1,
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=FETCH_CPUS,
            max_retries=1,
        )
        cleaned = fetched.map_batches(
            CleaningActor,
            fn_constructor_args=(work, gate, pool.threads, pool.device),
            compute=ActorPoolStrategy(size=pool.size, max_tasks_in_flight_per_actor=_IN_FLIGHT),
            batch_size=1,
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
            max_restarts=-1,
            max_task_retries=1,
        )
        yield from cleaned.iter_rows()


_FETCHED = pa.schema(
    [
        ("unit", pa.binary()),
        ("payloads", pa.list_(pa.large_binary())),  # null where there is only a reason
        ("reasons", pa.list_(pa.string())),
        ("milliseconds", pa.float64()),  # that the unit's bytes took, together
        ("changed", pa.string()),  # what to say of a source that is not what was planned; null if it is
    ]
)


def fetch(batch: pa.Table, work: Work) -> Iterator[pa.Table]:
    """One chain in, its units with their payloads out, one table of one row each; one only where the source changed."""
    work.environment.install()
    ledger = Ledger(work.dst)
    for pickled in batch.column("chain").to_pylist():
        chain: tuple[Unit, ...] = pickle.loads(pickled)
        payloads = read_members(chain[0].source, [member for unit in chain for member in unit.members])
        for unit in chain:
            start = time.perf_counter()
            if work.careful:
                ledger.start(unit, f"{work.wave}/fetch")
            row: dict[str, Any] = {"unit": pickle.dumps(unit)}
            try:
                found = [next(payloads)[1] for _ in unit.members]
            except SourceChangedError as error:
                yield pa.Table.from_pylist([row | {"changed": str(error)}], _FETCHED)
                break
            row["payloads"] = [None if isinstance(data, ImageError) else data for data in found]
            row["reasons"] = [data.reason if isinstance(data, ImageError) else None for data in found]
            row["milliseconds"] = 1e3 * (time.perf_counter() - start)
            yield pa.Table.from_pylist([row], _FETCHED)


@dataclass(frozen=True)
class Fetched:
    """A unit with what was read for it."""

    unit: Unit
    payloads: tuple[bytes | None, ...]
    reasons: tuple[str | None, ...]
    milliseconds: float

    @staticmethod
    def from_row(unit: Unit, table: pa.Table) -> "Fetched":
        payloads, reasons = (tuple(table.column(name)[0].as_py()) for name in ("payloads", "reasons"))
        return Fetched(unit, payloads, reasons, table.column("milliseconds")[0].as_py())


_DONE = pa.schema(
    [("source", pa.string()), ("changed", pa.string()), ("images", pa.int64()), ("megapixels", pa.float64())]
)


class CleaningActor:
    """A Cleaner in a process of its own, on one GPU or a share of a machine's cores."""

    def __init__(self, work: Work, gate: ActorHandle, threads: int, device: str) -> None:
        work.environment.install()
        if device.startswith("cuda:"):  # the card that was asked for, whichever Ray would have given
            os.environ["CUDA_VISIBLE_DEVICES"] = device.partition(":")[2]
            device = "cuda"
        from demoire.cleaning.cleaner import Cleaner

        self._work = work
        self._gate = gate
        self._ledger = Ledger(work.dst)
        with local_weights(work.dst, work.config, work.weights) as config:
            self._cleaner = Cleaner(replace(config, device=device, threads=threads))

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A batch of one row, as `fetch` gives it."""
        unit: Unit = pickle.loads(batch.column("unit")[0].as_py())
        row: dict[str, Any] = {"source": unit.source.id, "changed": batch.column("changed")[0].as_py()}
        if row["changed"] is None:
            with unit_in_work(self._gate):
                commit = self._done(Fetched.from_row(unit, batch))
            row |= {"images": commit.images, "megapixels": commit.megapixels}
        return pa.Table.from_pylist([row], _DONE)

    def _done(self, fetched: Fetched) -> Commit:
        unit = fetched.unit
        if self._ledger.has(unit.id):  # by a run beside this one, or by the attempt that died right after
            return self._ledger.read(unit.id)
        attempt = self._ledger.start(unit, self._work.wave)
        origin = Origin(
            unit=unit,
            attempt=attempt,
            fingerprint=self._work.fingerprint,
            run_id=self._work.run_id,
            weights_digest=self._cleaner.weights_digest,
            device=self._cleaner.device_name,
            milliseconds=fetched.milliseconds / len(unit.members),
        )
        return self._ledger.commit(unit, attempt, clean_unit(self._cleaner, fetched, origin))


@dataclass(frozen=True)
class Origin:
    """Where the rows of a unit come from: what is the same in all of them."""

    unit: Unit
    attempt: int
    fingerprint: str
    run_id: str
    weights_digest: str = ""
    device: str = ""
    milliseconds: float = 0.0  # of fetching, an image


def clean_unit(cleaner: "Cleaner", fetched: Fetched, origin: Origin) -> list[Outcome]:
    """What becomes of each image of a unit, in their order."""
    members = fetched.unit.members
    outcomes: dict[int, Outcome] = {}
    for index, (member, reason) in enumerate(zip(members, fetched.reasons, strict=True)):
        if reason is not None:
            outcomes[index] = quarantined(member, reason, origin)
    items = [(index, data) for index, data in enumerate(fetched.payloads) if data is not None]
    for index, cleaned in cleaner.clean_many(items):
        original = fetched.payloads[index]
        assert original is not None
        row = _row(members[index], origin, cleaned, original)
        outcomes[index] = Outcome(members[index], row, cleaned.data if cleaned.status == "cleaned" else None)
    return [outcomes[index] for index in range(len(members))]


def quarantined(member: Member, reason: str, origin: Origin) -> Outcome:
    """An image of which no process has seen the bytes, or lived to tell."""
    return Outcome(member, _row(member, origin, reason=reason), None)


_FACTS = ("width", "height", "mode", "bits", "dpi", "icc")
_SCORES = ("moire_before", "moire_after", "moire_kind", "psnr_vs_input", "ssim_vs_input", "colour_shift")
_STAGES = ("decode", "detect", "restore", "encode")


def _row(
    member: Member,
    origin: Origin,
    cleaned: "Cleaned | None" = None,
    original: bytes | None = None,
    reason: str | None = None,
) -> ReportRow:
    """The report row of one image; without `cleaned` that of one in quarantine."""
    facts = cleaned.facts if cleaned else None
    spent: dict[Any, float] = dict(cleaned.milliseconds) if cleaned else {}
    known: dict[str, Any] = {name: getattr(facts, name, None) for name in _FACTS}
    known |= {name: getattr(cleaned, name, None) for name in _SCORES}
    known |= {f"ms_{stage}": spent.get(stage, 0.0) for stage in _STAGES}
    digest_in = sha256(original).hexdigest() if original is not None else None
    return ReportRow(
        source=source_name(origin.unit.source),
        member=as_text(member.name),
        page=0,
        image_id=image_id(origin.unit.source, member),
        source_kind=origin.unit.source.kind,
        bytes_in=member.size if original is None else len(original),
        bytes_out=len(cleaned.data) if cleaned else member.size,
        sha256_in=digest_in,
        sha256_out=sha256(cleaned.data).hexdigest() if cleaned and cleaned.status == "cleaned" else digest_in,
        status=cleaned.status if cleaned else "quarantined",
        reason=cleaned.reason if cleaned else reason,
        tiles=cleaned.tiles if cleaned else 0,
        tiles_restored=cleaned.tiles_restored if cleaned else 0,
        psnr_vs_reference=None,
        ssim_vs_reference=None,
        ms_fetch=origin.milliseconds,
        weights_digest=origin.weights_digest,
        config_fingerprint=origin.fingerprint,
        unit_id=origin.unit.id,
        attempt=origin.attempt,
        run_id=origin.run_id,
        host=socket.gethostname(),
        device=origin.device,
        finished_at=datetime.now(UTC),
        **known,
    )


def image_id(source: Source, member: Member) -> str:
    """Names an image for good: its source and its place in it."""
    return f"{source.id}/{member.position}"


def source_name(source: Source) -> str:
    """A source as the report names it: by its place under DST."""
    return as_text(source.path or source.uri)


def as_text(name: str) -> str:
    """A name that need not be UTF-8, as text that is."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
