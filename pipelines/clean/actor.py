"""The cleaning actor and the fetch task: what runs in Ray's workers."""

import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from ray.actor import ActorHandle

from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError, SourceChangedError
from demoire.imaging.quiet import quiet_decoders
from pipelines.clean.cluster import StorageEnvironment, storage_environment
from pipelines.clean.gate import unit_in_work
from pipelines.clean.ledger import Commit, Ledger
from pipelines.clean.worker_weights import KeptWeights, local_weights
from pipelines.records import Unit
from pipelines.rows import Origin, Outcome, _row, quarantined
from pipelines.sources.read import read_members

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner


@dataclass(frozen=True)
class Work:
    """What every worker of a wave has to know. Travels as an argument, since `environment` holds
    credentials.
    """

    dst: str
    config: CleanerConfig
    fingerprint: str
    run_id: str
    wave: str
    # note each unit before it is read, too: something dies that the actors know nothing of
    careful: bool = False
    weights: tuple[KeptWeights, ...] = ()  # those of the configuration that lie under DST
    environment: StorageEnvironment = field(default_factory=storage_environment)


_FETCHED = pa.schema(
    [
        ("unit", pa.binary()),
        ("payloads", pa.list_(pa.large_binary())),  # null where there is only a reason
        ("reasons", pa.list_(pa.string())),
        ("milliseconds", pa.float64()),  # that the unit's bytes took, together
        # what to say of a source that is not what was planned; null if it is
        ("changed", pa.string()),
    ]
)


def fetch(batch: pa.Table, work: Work) -> Iterator[pa.Table]:
    """One chain in, its units with their payloads out, one table of one row each; one only where
    the source changed.
    """
    work.environment.install()
    ledger = Ledger(work.dst)
    for pickled in batch.column("chain").to_pylist():
        chain: tuple[Unit, ...] = pickle.loads(pickled)
        payloads = read_members(
            chain[0].source, [member for unit in chain for member in unit.members]
        )
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
            row["reasons"] = [
                data.reason if isinstance(data, ImageError) else None for data in found
            ]
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
        payloads, reasons = (
            tuple(table.column(name)[0].as_py()) for name in ("payloads", "reasons")
        )
        return Fetched(unit, payloads, reasons, table.column("milliseconds")[0].as_py())


_DONE = pa.schema(
    [
        ("source", pa.string()),
        ("changed", pa.string()),
        ("images", pa.int64()),
        ("megapixels", pa.float64()),
    ]
)


class CleaningActor:
    """A Cleaner in a process of its own, on one GPU or a share of a machine's cores."""

    def __init__(self, work: Work, gate: ActorHandle, threads: int, device: str) -> None:
        work.environment.install()
        quiet_decoders()
        # the card that was asked for, whichever Ray would have given
        if device.startswith("cuda:"):
            os.environ["CUDA_VISIBLE_DEVICES"] = device.partition(":")[2]
            device = "cuda"
        from demoire.cleaning.cleaner import Cleaner
        from demoire.cleaning.threads import use_threads

        use_threads(threads)
        self._work = work
        self._gate = gate
        self._ledger = Ledger(work.dst)
        with local_weights(work.dst, work.config, work.weights) as config:
            self._cleaner = Cleaner(replace(config, device=device, threads=threads))

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A batch of one row, as `fetch` gives it."""
        unit: Unit = pickle.loads(batch.column("unit")[0].as_py())
        row: dict[str, Any] = {
            "source": unit.source.id,
            "changed": batch.column("changed")[0].as_py(),
        }
        if row["changed"] is None:
            with unit_in_work(self._gate):
                commit = self._done(Fetched.from_row(unit, batch))
            row |= {"images": commit.images, "megapixels": commit.megapixels}
        return pa.Table.from_pylist([row], _DONE)

    def _done(self, fetched: Fetched) -> Commit:
        unit = fetched.unit
        # by a run beside this one, or by the attempt that died right after
        if self._ledger.has(unit.id):
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
        outcomes[index] = Outcome(
            members[index], row, cleaned.data if cleaned.status == "cleaned" else None
        )
    return [outcomes[index] for index in range(len(members))]
