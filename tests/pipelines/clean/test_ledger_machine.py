"""Two launchers on one folder, crashes between any two of their calls, and retries: one visible
result for each unit.

A launcher here does with the storage what `pipelines.run` does, in the same order and by the same
functions of ledger and publishing; there is no Ray below it and no model, and cleaning is a
function of an image's bytes, as it is in the real Cleaner. Each life of a launcher is a thread that
halts before every call of the storage. Hypothesis says who makes the next call and who dies, so it
looks for an order of calls after which the folder is not as it should be.

Everything is held for two kinds of store: one where creation is exclusive, and one that ignores
exclusive creation, so that two launchers may both be told that they were first.
"""

import hashlib
import sys
import tarfile
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipelines.clean.ledger import ATTEMPTS, ATTEMPTS_IN_ALL, Commit, Ledger
from pipelines.layout import BOOKKEEPING
from pipelines.plan.manifest import Plan, load_plan, read_units
from pipelines.plan.plan import make_plan, make_retry_plan
from pipelines.plan.units import halves, pieces
from pipelines.publish.marker import read_marker
from pipelines.publish.proof import prove
from pipelines.publish.publish import UNSAFE, publish_retry, publish_source
from pipelines.publish.table import read_report
from pipelines.records import Member, Unit
from pipelines.rows import Origin, Outcome, quarantined
from pipelines.sources.read import read_members
from pipelines.status import is_done
from pipelines.storage.local import LocalPlace
from pipelines.storage.open import open_place
from pipelines.storage.place import Entry, Place
from tests.pipelines.conftest import write_tar

pytestmark = pytest.mark.slow

FINGERPRINT = "config"
TRIES = 2  # of a unit in one wave: Ray starts it a second time after its worker has died
WAVES, LIVES = 60, 60  # more than any launcher needs: what takes more comes to no end

# Cleaned, none of these needs another number of a tar's blocks, so the mirror is always of one
# size: what is in it has to be right without anything being noticed by its size. 3.jpg is in
# quarantine whatever happens: a retry always has something to do.
IMAGES = {
    "0.jpg": b"moire in 0",
    "1.jpg": b"nothing in 1",
    "2.jpg": b"moire in 2",
    "3.jpg": b"damage in 3",
    "4.jpg": b"moire in 4",
}
UNSAFE_NAME = "../5.jpg"
MEMBERS = {"notes.txt": b"notes", **IMAGES, UNSAFE_NAME: b"moire in 5"}
REPORTED = (*IMAGES, UNSAFE_NAME)

Attempt = tuple[str, int]  # run_id, and the number in the ledger
Result = tuple[str, Attempt]  # of the unit with this id


# Cleaning without models


def cleaned(data: bytes) -> bytes:
    return data.replace(b"moire", b"no moire any more")


def outcome_of(member: Member, data: bytes, origin: Origin) -> Outcome:
    """What becomes of one image; nothing but its bytes decides it."""
    outcome = quarantined(member, "truncated", origin)
    digest = hashlib.sha256(data).hexdigest()
    row = replace(outcome.row, sha256_in=digest, sha256_out=digest)
    if data.startswith(b"damage"):
        return Outcome(member, row, None)
    if data.startswith(b"nothing"):
        return Outcome(member, replace(row, status="copied", reason=None), None)
    payload = cleaned(data)
    row = replace(
        row,
        status="cleaned",
        reason=None,
        moire_before=0.75,
        moire_after=0.25,
        bytes_out=len(payload),
    )
    return Outcome(member, replace(row, sha256_out=hashlib.sha256(payload).hexdigest()), payload)


def expected_of(name: str, deadly: Collection[str]) -> tuple[str, str | None]:
    """Status and reason of an image in the end."""
    if name == UNSAFE_NAME:
        return "quarantined", UNSAFE
    if name in deadly:
        return "quarantined", "native_crash"
    statuses = {b"moire": "cleaned", b"nothing": "copied"}
    status = statuses.get(IMAGES[name].partition(b" ")[0], "quarantined")
    return status, "truncated" if status == "quarantined" else None


# A launcher


class Death(BaseException):
    """A process ends here. No Exception: nothing may catch it on its way."""


@dataclass
class Launcher:
    """One life of a launcher.

    deadly: names of the images that kill the worker which cleans them, and where `fatal` the
    launcher with it.
    """

    plan: Plan  # the latest
    run_id: str
    deadly: Collection[str] = ()
    fatal: bool = False
    fingerprint: str = FINGERPRINT  # of a retry, which may be under another configuration
    unit: Unit | None = None  # in work: begun, and not yet committed

    def clean(self) -> None:
        """`demoire clean`, once everything is planned."""
        self._work_off(self.plan)

    def retry(self) -> None:
        """`demoire retry` of all that is in quarantine."""
        (source_id,) = (planned.source.id for planned in self.plan.sources)
        marker = read_marker(self._place, source_id)
        assert marker is not None
        rows = read_report(self._place, source_id, ["image_id", "status", "reason"]).to_pylist()
        again = [row for row in rows if row["status"] == "quarantined" and row["reason"] != UNSAFE]
        chosen = [(source_id, position_of(row)) for row in again]
        self._work_off(
            make_retry_plan(self.plan.dst, chosen, self.fingerprint, marker.generation + 1)
        )

    @property
    def _place(self) -> Place:
        return place_of(self.plan.dst)

    def _work_off(self, plan: Plan) -> None:
        units, ledger = list(read_units(plan.dst, plan.id)), Ledger(plan.dst)
        (planned,) = plan.sources
        if not is_done(self._place, plan, planned):
            waves = (f"{self.run_id}, wave {number}" for number in range(WAVES))
            assert not all(self._clean_next_wave(plan, units, ledger, wave) for wave in waves), (
                "units stay open"
            )
        if not is_done(self._place, plan, planned):
            if plan.generation:
                publish_retry(planned, units, plan.dst, plan.fingerprint, plan.generation)
            else:
                publish_source(planned, units, plan.dst, plan.fingerprint)
        prove(self.plan)

    def _clean_next_wave(self, plan: Plan, units: Sequence[Unit], ledger: Ledger, wave: str) -> int:
        """The number of units that were open before."""
        committed = ledger.committed()
        poisonous = ledger.poisonous(committed)
        if is_done(self._place, plan, plan.sources[0]):
            return 0
        found = [
            piece
            for unit in units
            for piece in pieces(unit, plan.fingerprint, committed, poisonous).open
        ]
        for unit in found:
            if unit.id in poisonous:
                origin = Origin(unit, ledger.start(unit, wave), plan.fingerprint, self.run_id)
                ledger.commit(
                    unit,
                    origin.attempt,
                    [quarantined(m, "native_crash", origin) for m in unit.members],
                )
        self._clean_wave([unit for unit in found if unit.id not in poisonous], plan, ledger, wave)
        return len(found)

    def _clean_wave(self, units: Sequence[Unit], plan: Plan, ledger: Ledger, wave: str) -> None:
        """Clean these units, one after the other; a unit that kills its worker twice ends the
        wave.
        """
        for unit in units:
            if not any(self._clean_unit(unit, plan, ledger, wave) for _ in range(TRIES)):
                return

    def _clean_unit(self, unit: Unit, plan: Plan, ledger: Ledger, wave: str) -> bool:
        """What a worker does with a unit; whether it lives on."""
        if ledger.has(unit.id):
            return True
        self.unit = unit
        attempt = ledger.start(unit, wave)
        if any(member.name in self.deadly for member in unit.members):
            if self.fatal:
                raise Death
            self.unit = None
            return False
        origin = Origin(unit, attempt, plan.fingerprint, self.run_id)
        outcomes = []
        for member, data in read_members(unit.source, unit.members):
            assert isinstance(data, bytes)
            outcomes.append(outcome_of(member, data, origin))
        ledger.commit(unit, attempt, outcomes)
        self.unit = None
        return True


# A launcher that goes by steps

_HERE = threading.local()  # .life: the life that this thread is
# seconds for one step of some milliseconds: rather a failure than a test that hangs
_PATIENCE = 120.0


class Life:
    """A thread that halts before each of its calls of the storage, and goes on when it is told
    to.
    """

    def __init__(self, launcher: Launcher, work: Callable[[], None], exclusive: bool) -> None:
        self.launcher, self.exclusive = launcher, exclusive
        # the folder that the next call is about, and what it does there: "commits: create"
        self.next = ""
        self.alive, self.finished = True, False
        self._error: BaseException | None = None
        self._order: Literal["go on", "die", "die after"] = "go on"
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(
            target=self._live, args=(work,), name=launcher.run_id, daemon=True
        )
        self._thread.start()
        self._wait()

    # In the thread of the machine

    def step(self) -> None:
        """One call, up to the next. Raises what the launcher raised."""
        self._go.release()
        self._wait()

    def die(self, *, after: bool = False) -> None:
        """The end of this life: before its next call, or when that is done and before it is
        known.
        """
        self._order = "die after" if after else "die"
        self.step()

    def _wait(self) -> None:
        assert self._halted.acquire(timeout=_PATIENCE), (
            f"{self.launcher.run_id} hangs after '{self.next}'"
        )
        if not self.alive:
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    # In the thread of the launcher

    def _live(self, work: Callable[[], None]) -> None:
        _HERE.life = self
        try:
            work()
            self.finished = True
        except Death:
            pass
        except BaseException as error:
            self._error = error
        self.alive = False
        self._halted.release()

    def before(self, path: str, verb: str) -> None:
        """Called before each call of the storage."""
        self.after()  # nothing is called by a launcher that is on its way out
        self.next = f"{folder_of(path)}: {verb}"
        self._halted.release()
        self._go.acquire()
        if self._order == "die":
            raise Death

    def after(self) -> None:
        """Called after each call, before its result is known."""
        if self._order != "go on":
            raise Death


@dataclass(frozen=True)
class SteppedPlace(LocalPlace):
    """A local folder whose every call is a step of a life."""

    life: Life

    def stat(self, path: str) -> Entry | None:
        self.life.before(path, "stat")
        entry = super().stat(path)
        self.life.after()
        return entry

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        self.life.before(path, "list")
        found = list(super().list(path, recursive=recursive))
        self.life.after()
        yield from found

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        self.life.before(path, "read")
        file = super().open(path, version=version)
        self.life.after()
        return file

    @contextmanager
    def new_file(self, path: str) -> Iterator[Path]:
        """What is written appears in the last moment of the block; so this is `write` and
        `put_file` as well.
        """
        with super().new_file(path) as local:
            yield local
            self.life.before(path, "write")
        self.life.after()

    def create(self, path: str, data: bytes) -> bool:
        # as `pipelines.storage.bucket` does where a store ignores `If-None-Match`
        if not self.life.exclusive:
            if self.exists(path):
                return False
            self.write(path, data)
            return True
        self.life.before(path, "create")
        created = super().create(path, data)
        self.life.after()
        return created

    def delete(self, path: str) -> None:
        self.life.before(path, "delete")
        super().delete(path)
        self.life.after()


def place_of(uri: str) -> Place:
    """In a life the stepped place, elsewhere the plain one."""
    life: Life | None = getattr(_HERE, "life", None)
    place = open_place(uri)
    return place if life is None else SteppedPlace(place.uri, life)


def folder_of(path: str) -> str:
    """Where a path belongs: a folder of the bookkeeping, or the mirror."""
    return path.split("/")[1] if path.startswith(f"{BOOKKEEPING}/") else "mirror"


def position_of(row: dict[str, Any]) -> int:
    return int(row["image_id"].rpartition("/")[2])


# The collection


def planned_in(folder: Path, unit_images: int) -> Plan:
    """The collection in a folder of its own, and its plan, whose units hold so many images."""
    (folder / "box").mkdir()
    write_tar(folder / "box" / "a.tar", MEMBERS)
    with patch("pipelines.plan.units.UNIT_IMAGES", unit_images):
        return make_plan(str(folder / "box"), str(folder / "out"), FINGERPRINT)


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file: any write changes them, even one of the same bytes."""
    files = (
        (str(path.relative_to(folder)), path.stat()) for path in folder.rglob("*") if path.is_file()
    )
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in files}


@cache
def undisturbed_mirror(deadly: frozenset[str]) -> bytes:
    """The mirror that one launcher makes which nothing disturbs but these images."""
    with tempfile.TemporaryDirectory() as folder:
        plan = planned_in(Path(folder), 2)
        Launcher(plan, "undisturbed", deadly).clean()
        return (Path(plan.dst) / "a.tar").read_bytes()


def is_one_result(
    unit: Unit, fingerprint: str, rows: Mapping[int, Attempt], committed: Collection[Result]
) -> bool:
    """Whether rows (by position) are all of one attempt at this unit; or else, in the same way,
    those of each half.
    """
    attempts = {rows[member.position] for member in unit.members if member.position in rows}
    if not attempts or (len(attempts) == 1 and (unit.id, *attempts) in committed):
        return True
    if len(unit.members) == 1:
        return False
    return all(
        is_one_result(half, fingerprint, rows, committed) for half in halves(unit, fingerprint)
    )


def attempt_of(row: dict[str, Any]) -> Attempt:
    return row["run_id"], row["attempt"]


# The machine

POINTS = ("attempts", "segments", "rows", "commits", "mirror", "report", "published")
launchers = st.sampled_from((0, 1))


class LedgerMachine(RuleBasedStateMachine):
    """Two launchers, of which each makes a call of the storage when it is told to, or dies."""

    exclusive = True

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        for module in ("clean.ledger", "publish.publish", "publish.proof"):
            self._open.enter_context(patch(f"pipelines.{module}.open_place", place_of))
        self._open.enter_context(patch("os.fsync"))  # nothing here is about the machine's own death
        self._lives: list[Life] = []
        self._count = 0  # of lives
        self._fingerprint = FINGERPRINT  # of retries
        self._worn_out = False  # which takes many lives, so only once
        self._retrying = False
        self._finished = False  # whether some launcher has come to the end of the present job
        self._markers: dict[str, bytes] = {}  # as they were last seen
        self._named: dict[Path, tuple[int, int]] = {}  # files that a marker names: inode and time
        # report and mirror, as they were last seen
        self._published: tuple[bytes, bytes] | None = None

    @initialize(
        unit_images=st.sampled_from((2, 3)),
        deadly=st.sets(st.sampled_from(("0.jpg", "2.jpg", "4.jpg")), min_size=1),
        fatal=st.booleans(),
        cleaned_before=st.booleans(),
    )
    def begin(self, unit_images: int, deadly: set[str], fatal: bool, cleaned_before: bool) -> None:
        """cleaned_before: what is looked at begins with a retry, after a first job that nothing
        disturbed.
        """
        self._deadly, self._fatal = frozenset(deadly), fatal
        self._plan = planned_in(self._folder, unit_images)
        self._dst = Path(self._plan.dst)
        self._lives = [self._new_life(), self._new_life()]
        if cleaned_before:
            self._undisturbed()
            self._begin_retry(cured=True)

    # What launchers do

    @precondition(lambda self: self._any_alive())
    @rule(launcher=launchers, calls=st.integers(1, 8))
    def step(self, launcher: int, calls: int) -> None:
        life = self._lives[self._alive(launcher)]
        for _ in range(calls):
            self._step(life)

    @precondition(lambda self: self._any_alive())
    @rule(launcher=launchers, point=st.sampled_from((*POINTS, "the end")))
    def step_up_to(self, launcher: int, point: str) -> None:
        """On until it is about to write or create something of this kind."""
        self._step_up_to(self._lives[self._alive(launcher)], point)

    @precondition(lambda self: self._any_alive())
    @rule(launcher=launchers, point=st.sampled_from(("now", *POINTS)), after=st.booleans())
    def crash(self, launcher: int, point: str, after: bool) -> None:
        """The end of a life right before its next call, or after that was done but before the
        launcher knew it.
        """
        life = self._lives[self._alive(launcher)]
        if point != "now":
            self._step_up_to(life, point)
        self._crash(life, after=after)

    @precondition(lambda self: not all(life.alive for life in self._lives))
    @rule(launcher=launchers)
    def restart(self, launcher: int) -> None:
        self._restart(launcher if not self._lives[launcher].alive else 1 - launcher)

    @precondition(lambda self: not self._worn_out and not self._finished)
    @rule(launcher=launchers, overtaken=st.booleans())
    def wear_out(self, launcher: int, overtaken: bool) -> None:
        """Lives that all end in the middle of the first unit they begin, until one halves it,
        innocent as it is.

        overtaken: the other launcher may be about to commit that very unit, and is halted there
        meanwhile.
        """
        self._worn_out = True
        if overtaken:
            self._restart(1 - launcher)
            self._step_up_to(self._lives[1 - launcher], "commits")
        self._crash(self._lives[launcher], after=False)
        for _ in range(ATTEMPTS_IN_ALL):
            self._restart(launcher)
            self._step_up_to(self._lives[launcher], "rows")
            self._crash(self._lives[launcher], after=False)
        self._restart(launcher)
        self._step_up_to(self._lives[launcher], "commits")

    @precondition(lambda self: self._finished)
    @rule(cured=st.booleans())
    def retry(self, cured: bool) -> None:
        self._begin_retry(cured)

    def _begin_retry(self, cured: bool) -> None:
        """From here on all launchers try again what is in quarantine; cured: another configuration,
        one death less.

        None of them is still at an earlier job, and none goes back to it until a retry has come to
        its end: mirror and report do not tell one job's writers from another's, and whoever writes
        last wins.
        """
        self._kill_all()
        self._retrying, self._finished = True, False
        if cured:
            self._deadly = frozenset(sorted(self._deadly)[1:])
            self._fingerprint = f"{FINGERPRINT} against all but {sorted(self._deadly)}"
        for launcher in (0, 1):
            self._restart(launcher)

    # What has to hold at any time

    @invariant()
    def markers_name_what_is_there(self) -> None:
        seen = {
            path.name: path.read_bytes()
            for path in sorted(self._bookkeeping("commits").glob("*.json"))
        }
        assert self._markers.keys() <= seen.keys(), "a marker is gone"
        for name, data in seen.items():
            if self._markers.get(name) != data:
                assert not self.exclusive or name not in self._markers, "a marker has changed"
                self._check_marker(Commit.from_json(data))
        self._markers = seen
        for path, trace in self._named.items():
            status = path.stat()
            assert (status.st_ino, status.st_mtime_ns) == trace, (
                f"{path} was written again after it was committed"
            )

    @invariant()
    def what_is_published_is_whole(self) -> None:
        if not any(self._bookkeeping("published").glob("*.json")):
            return
        mirror = self._dst / "a.tar"
        seen = self._report_path().read_bytes(), mirror.read_bytes()
        if seen == self._published:
            return
        self._published = seen
        names = list(MEMBERS)
        assert sorted(map(position_of, self._rows())) == [names.index(name) for name in REPORTED]
        with tarfile.open(mirror) as archive:
            assert archive.getnames() == names

    def _check_marker(self, commit: Commit) -> None:
        """The objects of a marker that is seen for the first time. They are not to be touched from
        here on.
        """
        paths = [self._bookkeeping("rows") / commit.rows]
        rows = pq.read_table(paths[0]).to_pylist()
        assert len(rows) == commit.images and {row["unit_id"] for row in rows} == {commit.unit_id}
        assert len({row["run_id"] for row in rows}) == 1
        statuses = Counter(row["status"] for row in rows)
        assert (statuses["cleaned"], statuses["quarantined"]) == (
            commit.cleaned,
            commit.quarantined,
        )
        promised = {
            position_of(row): row["sha256_out"] for row in rows if row["status"] == "cleaned"
        }
        assert promised == {payload.position: payload.sha256 for payload in commit.payloads}
        if commit.payloads:
            paths.append(self._bookkeeping("segments") / commit.segment)
            segment = paths[1].read_bytes()
            for payload in commit.payloads:
                data = segment[payload.offset : payload.offset + payload.length]
                assert hashlib.sha256(data).hexdigest() == payload.sha256
        for path in paths:
            status = path.stat()
            self._named.setdefault(path, (status.st_ino, status.st_mtime_ns))

    # What has to hold in the end

    def teardown(self) -> None:
        try:
            self._kill_all()
            # else it has failed already, and is to tell of that
            if self._lives and sys.exc_info()[0] is None:
                self._undisturbed()
                self._check_result()
                before = files_of(self._dst)
                self._retrying = False
                self._undisturbed()
                assert files_of(self._dst) == before, (
                    "a run that has nothing to do has written something"
                )
        finally:
            self._open.close()

    def _undisturbed(self) -> None:
        """One last launcher does what is left; it dies only of what is deadly, and then another
        goes on.
        """
        for number in range(LIVES):
            launcher = self._launcher(f"last {number}")
            try:
                (launcher.retry if self._retrying else launcher.clean)()
                return
            except Death:
                continue
        raise AssertionError("the last launchers come to no end")

    def _check_result(self) -> None:
        self.markers_name_what_is_there()
        self.what_is_published_is_whole()
        rows = {row["member"]: row for row in self._rows()}
        told = {name: (row["status"], row["reason"]) for name, row in rows.items()}
        assert told == {name: expected_of(name, self._deadly) for name in REPORTED}
        assert (self._dst / "a.tar").read_bytes() == undisturbed_mirror(self._deadly)
        self._check_units([row for row in rows.values() if row["reason"] != UNSAFE])

    def _check_units(self, rows: Sequence[dict[str, Any]]) -> None:
        """Each unit's rows come from one result of it, or one of each of its parts."""
        names = [path.name for path in self._bookkeeping("manifest").glob("*.sources.parquet")]
        plans = [load_plan(self._plan.dst, name.partition(".")[0]) for name in names]
        units = {
            unit.id: (unit, plan.fingerprint)
            for plan in plans
            for unit in read_units(plan.dst, plan.id)
        }
        committed: set[Result] = set()
        for path in self._bookkeeping("rows").glob("*.parquet"):
            unit_id = path.name.partition(".")[0]
            # Without exclusion it may be a marker which another has replaced since that the report
            # was made of.
            if f"{unit_id}.json" in self._markers and (path in self._named or not self.exclusive):
                committed |= {(unit_id, attempt_of(row)) for row in pq.read_table(path).to_pylist()}
        for unit_id in {row["unit_id"] for row in rows}:
            own = {position_of(row): attempt_of(row) for row in rows if row["unit_id"] == unit_id}
            assert is_one_result(*units[unit_id], own, committed), (
                f"the rows of {unit_id} are not of one result"
            )

    def _rows(self) -> list[dict[str, Any]]:
        return pq.read_table(self._report_path()).to_pylist()

    def _report_path(self) -> Path:
        return self._bookkeeping("report") / f"{self._plan.sources[0].source.id}.parquet"

    def _bookkeeping(self, folder: str) -> Path:
        return self._dst / BOOKKEEPING / folder

    # Lives

    def _launcher(self, run_id: str) -> Launcher:
        return Launcher(self._plan, run_id, self._deadly, self._fatal, self._fingerprint)

    def _new_life(self) -> Life:
        self._count += 1
        launcher = self._launcher(f"life {self._count}")
        return Life(launcher, launcher.retry if self._retrying else launcher.clean, self.exclusive)

    def _restart(self, launcher: int) -> None:
        """A new life where there is none."""
        if not self._lives[launcher].alive:
            self._lives[launcher] = self._new_life()

    def _any_alive(self) -> bool:
        return any(life.alive for life in self._lives)

    def _alive(self, launcher: int) -> int:
        return launcher if self._lives[launcher].alive else 1 - launcher

    def _step_up_to(self, life: Life, point: str) -> None:
        self._step(life)
        while life.alive and life.next not in (f"{point}: write", f"{point}: create"):
            self._step(life)

    def _step(self, life: Life) -> None:
        if life.alive:
            life.step()
        self._finished = self._finished or life.finished

    def _crash(self, life: Life, *, after: bool) -> None:
        if life.alive and self._may_die(life.launcher.unit):
            life.die(after=after)

    def _may_die(self, unit: Unit | None) -> bool:
        """Not in the middle of an innocent image that is alone in its unit, and was begun before.

        Begun five times it would rightly go into quarantine. It may be begun once more in the
        moment of the death, and by both launchers that live on; the fifth time is left to the last
        launcher.
        """
        if unit is None or len(unit.members) > 1 or unit.members[0].name in self._deadly:
            return True
        return len(list((self._dst / ATTEMPTS).glob(f"{unit.id}.*.json"))) <= 1

    def _kill_all(self) -> None:
        for life in self._lives:
            if life.alive:
                life.die()


class MachineWithoutExclusion(LedgerMachine):
    """The same on a store where two launchers may both be told that they created an object."""

    exclusive = False


# Derandomised: what is found must not depend on the day. To look further, run it with more examples
# and other seeds.
SETTINGS = settings(max_examples=40, stateful_step_count=20, deadline=None, derandomize=True)

TestWhereCreationIsExclusive = LedgerMachine.TestCase
TestWhereCreationIsExclusive.settings = SETTINGS
TestWhereCreationIsNotExclusive = MachineWithoutExclusion.TestCase
TestWhereCreationIsNotExclusive.settings = SETTINGS
