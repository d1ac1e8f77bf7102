"""The fetch task and the cleaning actor: what runs in Ray's workers."""

import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from ray.actor import ActorHandle

from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError, SourceChangedError
from demoire.file_bytes import FileBytes
from demoire.imaging.quiet import quiet_decoders
from pipelines.clean.cluster import StorageEnvironment, own_error, storage_environment
from pipelines.clean.fetched_unit import Fetched, clean_unit
from pipelines.clean.gate import count_image, unit_in_work
from pipelines.clean.grey import keep_grey_picture
from pipelines.clean.payload_column import PAYLOADS, payload_column
from pipelines.clean.priority import step_back
from pipelines.clean.reading import read_for_cleaning
from pipelines.clean.worker_weights import KeptWeights, local_weights
from pipelines.destination.commits import Commit
from pipelines.destination.destination import Destination
from pipelines.destination.ledger import DEATHS_IN_A_WAVE
from pipelines.records import Bundle, Member, Unit, units_in
from pipelines.rows import Outcome, UnitAttempt

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.result import Cleaned


Chain = tuple[Unit, ...] | Bundle  # what one fetch task reads


def load_cleaner(config: CleanerConfig, day: date | None) -> "Cleaner":
    """The Cleaner of an actor, with the networks that the configuration names."""
    from demoire.cleaning.cleaner import Cleaner

    return Cleaner(config, day=day)


@dataclass(frozen=True)
class WaveOrder:
    """What every worker of a wave has to know.

    It travels as an argument, because `environment` holds credentials.
    """

    destination: Destination
    config: CleanerConfig
    fingerprint: str
    run_id: str
    wave: str
    # Note each unit before it is read, too: something dies that the actors know nothing of.
    careful: bool = False
    day: date | None = None  # that cleaned files name as that of their change
    weights: tuple[KeptWeights, ...] = ()  # those of the configuration that lie under DST
    niceness: int = 0  # at least that of an actor at work
    environment: StorageEnvironment = field(default_factory=storage_environment)
    make_cleaner: Callable[[CleanerConfig, date | None], "Cleaner"] = load_cleaner


_FETCHED = pa.schema(
    [
        ("unit", pa.binary()),  # or bundle, pickled
        ("payloads", PAYLOADS),  # null where there is only a reason
        ("reasons", pa.list_(pa.string())),
        ("milliseconds", pa.float64()),  # that the unit's bytes took, together
        # What to say of a source that is not what was planned; null if it is.
        ("changed", pa.string()),
        ("failure", pa.binary()),  # a pickled DemoireError that ends the run; null as a rule
    ]
)

_DONE = pa.schema(
    [
        ("source", pa.string()),
        ("changed", pa.string()),
        ("units", pa.int64()),
        ("images", pa.int64()),
        ("megapixels", pa.float64()),
        ("failure", pa.binary()),  # as above
        ("is_deadly", pa.bool_()),  # enough processes died of it in this wave
    ]
)


class _DeadlyError(Exception):
    """Enough processes have died of this unit in this wave."""


def fetch(batch: pa.Table, order: WaveOrder) -> Iterator[pa.Table]:
    """Read the units of each chain; one table of one row for each unit.

    Where a source has changed, the rest of its chain is one row that says so. An error that ends
    the run is a row, too: what Ray Data makes of an exception has lost its cause.
    """
    order.environment.install()
    for pickled in batch.column("chain").to_pylist():
        chain: Chain = pickle.loads(pickled)
        try:
            if isinstance(chain, Bundle):
                yield from _fetch_bundle(chain, order)
            else:
                yield from _fetch_chain(chain, order)
        except Exception as error:
            first = chain if isinstance(chain, Bundle) else chain[0]
            row = {"unit": pickle.dumps(first), "failure": _pickled_failure(error)}
            yield pa.Table.from_pylist([row], _FETCHED)


def _pickled_failure(error: Exception) -> bytes:
    """An error for the user, on its way to the run.

    Raises:
        Exception: The same, where it says nothing that a user could act on.
    """
    own = own_error(error)
    if own is None:
        raise error
    return pickle.dumps(own)


def _fetch_chain(chain: tuple[Unit, ...], order: WaveOrder) -> Iterator[pa.Table]:
    """The rows of one chain."""
    ledger = order.destination.ledger
    members: list[Member] = []
    for unit in chain:
        members += unit.members
    # One reader for the whole chain: a compressed tar can only be read from its beginning.
    payloads = read_for_cleaning(chain[0].source, members, order.config)
    for unit in chain:
        start = time.perf_counter()
        if order.careful:
            ledger.start(unit, f"{order.wave}/fetch")
        try:
            read = [next(payloads)[1] for _ in unit.members]
        except SourceChangedError as error:
            row = {"unit": pickle.dumps(unit), "changed": str(error)}
            yield pa.Table.from_pylist([row], _FETCHED)
            break
        yield _fetched(unit, unit.members, read, start)


def _fetched(
    work: Unit | Bundle,
    members: Sequence[Member],
    read: Sequence[FileBytes | ImageError],
    start: float,
) -> pa.Table:
    """The row of a unit or bundle that was read.

    Args:
        work: The unit or bundle.
        members: Its images, as they were planned.
        read: Each image, or why there is none.
        start: When reading began, as `time.perf_counter` has it.
    """
    reasons: list[str | None] = []
    for member, data in zip(members, read, strict=True):
        unread = data.reason.value if isinstance(data, ImageError) else None
        reasons.append(member.reason or unread)
    row = {
        "unit": pickle.dumps(work),
        "reasons": reasons,
        "milliseconds": 1e3 * (time.perf_counter() - start),
    }
    payloads = payload_column([None if isinstance(data, ImageError) else data for data in read])
    table = pa.Table.from_pylist([row], _FETCHED)
    return table.set_column(_FETCHED.get_field_index("payloads"), "payloads", payloads)


def _fetch_bundle(bundle: Bundle, order: WaveOrder) -> Iterator[pa.Table]:
    """One row for all units of a bundle, less those whose source has changed: each of these has
    one that says so.
    """
    start = time.perf_counter()
    if order.careful:
        order.destination.ledger.start(bundle, f"{order.wave}/fetch")
    units: list[Unit] = []
    images: list[Member] = []
    contents: list[FileBytes | ImageError] = []
    for unit in bundle.units:
        try:
            read = [data for _, data in read_for_cleaning(unit.source, unit.members, order.config)]
        except SourceChangedError as error:
            without = {"unit": pickle.dumps(unit), "changed": str(error)}
            yield pa.Table.from_pylist([without], _FETCHED)
            continue
        units.append(unit)
        images += unit.members
        contents += read
    if units:
        yield _fetched(replace(bundle, units=tuple(units)), images, contents, start)


class CleaningActor:
    """A Cleaner in a process of its own, on one GPU or a share of a machine's cores."""

    def __init__(
        self,
        order: WaveOrder,
        gate: ActorHandle[Any],
        threads: int,
        device: str,
        memory_share: float,
    ) -> None:
        order.environment.install()
        quiet_decoders()
        if device.startswith("cuda:"):
            # The card that was asked for, whichever one Ray would have given.
            os.environ["CUDA_VISIBLE_DEVICES"] = device.partition(":")[2]
            device = "cuda"
        from demoire.cleaning.freed_memory import keep_freed_memory
        from demoire.cleaning.threads import use_threads

        use_threads(threads)
        keep_freed_memory()
        self._order = order
        self._gate = gate
        self._ledger = order.destination.ledger
        self._failure: bytes | None = None  # why there is no Cleaner, as a row tells it
        try:
            with local_weights(order.destination.place, order.config, order.weights) as config:
                own_config = replace(config, device=device, threads=threads)
                self._cleaner = order.make_cleaner(own_config, order.day)
            self._cleaner.memory_share = memory_share
        except Exception as error:
            # Raised from here, it would be taken for the death of a worker, and tried again.
            self._failure = _pickled_failure(error)
        step_back(order.niceness)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Clean and commit a unit or bundle: a batch of one row, as `fetch` gives it."""
        work: Unit | Bundle = pickle.loads(batch.column("unit")[0].as_py())
        units = units_in(work)
        changed = batch.column("changed")[0].as_py()
        failure = self._failure or batch.column("failure")[0].as_py()
        source_id = units[0].source.id
        row: dict[str, Any] = {"source": source_id, "changed": changed, "failure": failure}
        if changed is None and failure is None:
            try:
                with unit_in_work(self._gate):
                    fetched = Fetched.from_row(units, batch)
                    if isinstance(work, Bundle):
                        commits = self._commit_bundle(work, fetched)
                    else:
                        commits = (self._commit(fetched[0]),)
            except _DeadlyError:
                row["is_deadly"] = True
            except Exception as error:
                row["failure"] = _pickled_failure(error)
            else:
                row["units"] = len(commits)
                row["images"] = sum(commit.images for commit in commits)
                row["megapixels"] = sum(commit.megapixels for commit in commits)
        return pa.Table.from_pylist([row], _DONE)

    def _commit(self, fetched: Fetched) -> Commit:
        unit = fetched.unit
        # Committed by a run beside this one, or by an attempt that died right after.
        if self._ledger.has(unit.id):
            return self._ledger.read(unit.id)
        number = self._begin(unit)
        return self._ledger.commit(unit, number, self._clean(fetched, number))

    def _commit_bundle(self, bundle: Bundle, fetched: Sequence[Fetched]) -> tuple[Commit, ...]:
        if self._ledger.bundles.exists(bundle.id):
            return self._ledger.bundles.read(bundle.id)
        number = self._begin(bundle)
        outcomes = [self._clean(one, number) for one in fetched]
        return self._ledger.commit_bundle(bundle, number, outcomes)

    def _begin(self, work: Unit | Bundle) -> int:
        """Note an attempt; its number.

        Ray brings a unit again until its worker answers, since it cannot tell a process that died
        of the unit from a node that has gone.

        Raises:
            _DeadlyError: Too many attempts of this wave have ended without a word.
        """
        number = self._ledger.start(work, self._order.wave)
        if number <= DEATHS_IN_A_WAVE:
            return number
        if self._ledger.attempts_in(work, self._order.wave, number) > DEATHS_IN_A_WAVE:
            raise _DeadlyError
        return number

    def _clean(self, fetched: Fetched, number: int) -> list[Outcome]:
        """Clean a unit in the attempt of this number."""
        unit = fetched.unit
        attempt = UnitAttempt(
            unit=unit,
            number=number,
            fingerprint=self._order.fingerprint,
            run_id=self._order.run_id,
            weights_digest=self._cleaner.weights_digest,
            device=self._cleaner.device_name,
            fetch_milliseconds=fetched.milliseconds / len(unit.members),
        )
        pictures = self._order.destination.grey_pictures

        def note_image(member: Member, cleaned: "Cleaned") -> None:
            count_image(self._gate)
            if self._cleaner.config.bilevel == "grey":
                keep_grey_picture(pictures, unit.source, member, cleaned)

        return clean_unit(self._cleaner, fetched, attempt, note_image)
