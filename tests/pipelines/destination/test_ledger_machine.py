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
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipelines.destination.commits import COMMIT_FORM, Commit
from pipelines.destination.destination import Destination
from pipelines.destination.ledger import ATTEMPTS_IN_ALL
from pipelines.destination.plans import Plan, PlanScope
from pipelines.destination.stored_json import check_json
from pipelines.layout import ATTEMPT_NOTES, BOOKKEEPING, position_of
from pipelines.plan.plan import make_plan
from pipelines.plan.units import halves
from pipelines.records import Unit
from pipelines.storage.open import open_place
from tests.pipelines.conftest import write_tar
from tests.pipelines.destination.launcher import (
    FINGERPRINT,
    IMAGES,
    UNSAFE_NAME,
    UNSAFE_REASON,
    Death,
    Launcher,
    expected_of,
)
from tests.pipelines.destination.life import Life, write_in_turn

pytestmark = pytest.mark.slow

LIVES = 60  # more than are ever needed: what takes more comes to no end
MEMBERS = {"notes.txt": b"notes", **IMAGES, UNSAFE_NAME: b"moire in 5"}
REPORTED = (*IMAGES, UNSAFE_NAME)

Attempt = tuple[str, int]  # run_id, and the number in the ledger
Result = tuple[str, Attempt]  # of the unit with this id


def planned_in(folder: Path, unit_images: int) -> Plan:
    """The collection in a folder of its own, and its plan, whose units hold so many images."""
    (folder / "box").mkdir()
    write_tar(folder / "box" / "a.tar", MEMBERS)
    with patch("pipelines.plan.units.UNIT_IMAGES", unit_images):
        destination = Destination.at(str(folder / "out"))
        return make_plan(destination, PlanScope(str(folder / "box"), FINGERPRINT))


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file: any write changes them, even one of the same bytes."""
    files = (
        (str(path.relative_to(folder)), path.stat()) for path in folder.rglob("*") if path.is_file()
    )
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in files}


def rows_in(table: Path) -> list[dict[str, Any]]:
    """The rows of one small table; `read_table`, which is made for data sets, takes four times as
    long.
    """
    return pq.ParquetFile(table).read(use_threads=False).to_pylist()


@cache
def undisturbed_mirror(deadly: frozenset[str]) -> bytes:
    """The mirror that one launcher makes which nothing disturbs but these images."""
    with tempfile.TemporaryDirectory() as folder:
        plan = planned_in(Path(folder), 2)
        dst = Path(folder, "out")
        Launcher(str(dst), plan, "undisturbed", deadly).clean(open_place(str(dst)))
        return (dst / "a.tar").read_bytes()


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


POINTS = ("attempts", "segments", "rows", "commits", "mirror", "report", "published")
launchers = st.sampled_from((0, 1))


class LedgerMachine(RuleBasedStateMachine):
    """Two launchers, of which each makes a call of the storage when it is told to, or dies."""

    exclusive = True

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        self._open.enter_context(patch("os.fsync"))  # nothing here is about the machine's own death
        self._open.enter_context(
            patch("pipelines.destination.ledger.write_side_by_side", write_in_turn)
        )
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
        self._dst = self._folder / "out"
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
                self._check_marker(check_json(data, name, COMMIT_FORM))
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
        assert sorted(position_of(row["image_id"]) for row in self._rows()) == [
            names.index(name) for name in REPORTED
        ]
        with tarfile.open(mirror) as archive:
            assert archive.getnames() == names

    def _check_marker(self, commit: Commit) -> None:
        """The objects of a marker that is seen for the first time. They are not to be touched from
        here on.
        """
        paths = [self._bookkeeping("rows") / commit.rows]
        rows = rows_in(paths[0])
        assert len(rows) == commit.images and {row["unit_id"] for row in rows} == {commit.unit_id}
        assert len({row["run_id"] for row in rows}) == 1
        statuses = Counter(row["status"] for row in rows)
        assert (statuses["cleaned"], statuses["quarantined"]) == (
            commit.cleaned,
            commit.quarantined,
        )
        promised = {
            position_of(row["image_id"]): row["sha256_out"]
            for row in rows
            if row["status"] == "cleaned"
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
                work = launcher.retry if self._retrying else launcher.clean
                work(open_place(launcher.dst))
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
        self._check_units([row for row in rows.values() if row["reason"] != UNSAFE_REASON])

    def _check_units(self, rows: Sequence[dict[str, Any]]) -> None:
        """Each unit's rows come from one result of it, or one of each of its parts."""
        names = [path.name for path in self._bookkeeping("manifest").glob("*.sources.parquet")]
        manifests = Destination.at(str(self._dst)).manifests
        units = {}
        for name in names:
            plan = manifests.load(name.partition(".")[0])
            for unit in manifests.units(plan):
                units[unit.id] = (unit, plan.fingerprint)
        committed: set[Result] = set()
        for path in self._bookkeeping("rows").glob("*.parquet"):
            unit_id = path.name.partition(".")[0]
            # Without exclusion it may be a marker which another has replaced since that the report
            # was made of.
            if f"{unit_id}.json" in self._markers and (path in self._named or not self.exclusive):
                committed |= {(unit_id, attempt_of(row)) for row in rows_in(path)}
        for unit_id in {row["unit_id"] for row in rows}:
            own = {
                position_of(row["image_id"]): attempt_of(row)
                for row in rows
                if row["unit_id"] == unit_id
            }
            assert is_one_result(*units[unit_id], own, committed), (
                f"the rows of {unit_id} are not of one result"
            )

    def _rows(self) -> list[dict[str, Any]]:
        return rows_in(self._report_path())

    def _report_path(self) -> Path:
        return self._bookkeeping("report") / f"{self._plan.sources[0].source.id}.parquet"

    def _bookkeeping(self, folder: str) -> Path:
        return self._dst / BOOKKEEPING / folder

    # Lives

    def _launcher(self, run_id: str) -> Launcher:
        return Launcher(
            str(self._dst), self._plan, run_id, self._deadly, self._fatal, self._fingerprint
        )

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
        return len(list((self._dst / ATTEMPT_NOTES).glob(f"{unit.id}.*.json"))) <= 1

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
