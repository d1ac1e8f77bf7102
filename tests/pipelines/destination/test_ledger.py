"""The ledger: only a marker makes a unit exist, one of many writers wins, and what keeps dying is
found and halved.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire import file_bytes
from demoire.errors import DemoireError, StorageError
from demoire.file_bytes import FileBytes, MappedFile, kept
from pipelines.destination.commits import COMMIT_FORM, Commit, Payload
from pipelines.destination.ledger import ATTEMPTS_IN_ALL, Ledger
from pipelines.destination.stored_json import check_json
from pipelines.plan.units import halves, lineage, make_unit, parts_of
from pipelines.publish.payloads import CleanedPayloads
from pipelines.records import REPORT_SCHEMA, Member, Source, Unit
from pipelines.rows import CleanedFile, Outcome, UnitAttempt, quarantined
from pipelines.storage import place
from pipelines.storage.open import open_place

SOURCE = Source("/box/a.tar", "a.tar", "tar", "1-2", 3)


def unit_of(count: int) -> Unit:
    members = [
        Member(n, f"{n}.jpg", "image", 512 * n, 9, 9, "stored", "", 1.0) for n in range(count)
    ]
    return make_unit(SOURCE, members, "config")


def outcomes_of(
    unit: Unit, payloads: Sequence[FileBytes | None], run_id: str = "run"
) -> list[Outcome]:
    """What became of each image: cleaned to these bytes, or in quarantine where there are none."""
    found = []
    for member, payload in zip(unit.members, payloads, strict=True):
        outcome = quarantined(member, "truncated", UnitAttempt(unit, 1, "config", run_id))
        if payload is not None:
            row = replace(outcome.row, status="cleaned", reason=None, width=2000, height=1000)
            outcome = Outcome(member, row, CleanedFile.of(payload))
        found.append(outcome)
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_place(str(tmp_path / "out")))


def objects(ledger: Ledger) -> list[str]:
    return [entry.path for entry in ledger.place.list()]


# Commits


def test_a_committed_unit_gives_back_its_rows_and_payloads(ledger: Ledger) -> None:
    unit = unit_of(4)
    outcomes = outcomes_of(unit, [b"first", None, b"", b"last"])
    commit = ledger.commit(unit, ledger.start(unit), outcomes)
    assert ledger.read(unit.id) == commit
    assert (commit.images, commit.cleaned, commit.copied, commit.quarantined) == (4, 3, 0, 1)
    assert (commit.reasons, commit.megapixels) == ({"truncated": 1}, 6.0)
    cleaned = CleanedPayloads(ledger, [commit])
    assert {position: cleaned(position) for position in cleaned.positions} == {
        0: b"first",
        2: b"",
        3: b"last",
    }
    rows = ledger.rows(commit)
    assert rows.schema.equals(REPORT_SCHEMA, check_metadata=True)
    assert [row["member"] for row in rows.to_pylist()] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_a_unit_without_a_marker_does_not_exist_whatever_else_was_written(
    ledger: Ledger, tmp_path: Path
) -> None:
    unit = unit_of(2)
    ledger.commit(unit, ledger.start(unit), outcomes_of(unit, [b"a", b"b"]))
    (marker,) = (tmp_path / "out" / "_demoire" / "commits").iterdir()
    marker.unlink()  # as if the process had died right before it
    assert not ledger.has(unit.id) and ledger.committed() == set()
    with pytest.raises(StorageError, match="does not exist"):
        ledger.read(unit.id)
    again = ledger.commit(unit, ledger.start(unit), outcomes_of(unit, [b"a", b"b"]))
    assert again.attempt == 2 and ledger.committed() == {unit.id}


def test_a_unit_of_which_nothing_was_cleaned_has_no_segment(ledger: Ledger) -> None:
    unit = unit_of(1)
    commit = ledger.commit(unit, ledger.start(unit), outcomes_of(unit, [None]))
    assert commit.segment == "" and not [path for path in objects(ledger) if "/segments/" in path]


def test_of_many_writers_one_is_seen_and_all_are_told_which(ledger: Ledger) -> None:
    unit = unit_of(3)

    def write(writer: int) -> Commit:
        mine = outcomes_of(unit, [b"%d" % writer] * 3, run_id=str(writer))
        return ledger.commit(unit, ledger.start(unit), mine)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(write, range(8)))
    assert len(set(map(Commit.to_json, told))) == 1
    (winner,) = {row["run_id"] for row in ledger.rows(told[0]).to_pylist()}
    cleaned = CleanedPayloads(ledger, told[:1])
    assert [cleaned(position) for position in range(3)] == [winner.encode()] * 3


def test_attempts_are_numbered_and_no_two_share_a_number(ledger: Ledger) -> None:
    unit = unit_of(1)
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: ledger.start(unit), range(20)))
    assert sorted(numbers) == list(range(1, 21))


commits = st.builds(
    Commit,
    unit_id=st.text("0123456789abcdef", min_size=64, max_size=64),
    source_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    attempt=st.integers(1, 99),
    segment=st.text(),
    rows=st.text(),
    payloads=st.lists(
        st.builds(
            Payload,
            st.integers(0),
            st.integers(0, 1 << 40),
            st.integers(0, 1 << 40),
            st.text(max_size=64),
        )
    ).map(tuple),
    images=st.integers(0, 32),
    cleaned=st.integers(0, 32),
    copied=st.integers(0, 32),
    quarantined=st.integers(0, 32),
    megapixels=st.floats(0, 1e6),
    reasons=st.dictionaries(st.text(), st.integers(1)),
    committed_at=st.text(),
)


@settings(deadline=None)
@given(commits)
def test_a_marker_comes_back_from_json_as_it_was(commit: Commit) -> None:
    assert check_json(commit.to_json(), "marker", COMMIT_FORM) == commit
    assert json.loads(commit.to_json())["unit_id"] == commit.unit_id


def test_large_files_are_committed_and_given_back_without_being_read_into_memory(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (file_bytes, place):
        monkeypatch.setattr(module, "LARGE_BYTES", 1000)
    large, larger = os.urandom(2000), os.urandom(300_000)
    for payloads in ([kept(large)], [b"small", kept(larger), None, kept(large)]):
        unit = unit_of(len(payloads))
        commit = ledger.commit(unit, ledger.start(unit), outcomes_of(unit, payloads))
        cleaned = CleanedPayloads(ledger, [commit])
        for position, payload in enumerate(payloads):
            if payload is not None:
                assert bytes(cleaned(position)) == bytes(payload)
                assert isinstance(cleaned(position), MappedFile) == (len(payload) >= 1000)


def test_a_damaged_segment_is_told_with_the_way_out(ledger: Ledger, tmp_path: Path) -> None:
    unit = unit_of(2)
    commit = ledger.commit(unit, ledger.start(unit), outcomes_of(unit, [b"good", b"bad!"]))
    segment = tmp_path / "out" / "_demoire" / "segments" / commit.segment
    segment.write_bytes(b"goodbad?")
    cleaned = CleanedPayloads(ledger, [commit])
    assert cleaned(0) == b"good"
    with pytest.raises(
        DemoireError, match=f"{commit.segment} is damaged: delete .*{unit.id}.json and run the same"
    ):
        cleaned(1)
    segment.unlink()
    with pytest.raises(StorageError, match="does not exist"):
        CleanedPayloads(ledger, [commit])(0)


# Units that kill


def test_a_unit_that_was_begun_twice_in_one_wave_is_deadly_until_it_is_committed(
    ledger: Ledger,
) -> None:
    once, twice, apart = unit_of(1), unit_of(2), unit_of(3)
    ledger.start(once, "wave 1")
    for _ in range(2):
        ledger.start(twice, "wave 1")
    for wave in ("wave 1", "wave 2"):
        ledger.start(apart, wave)  # each time it was the driver that died
    assert ledger.deadly(ledger.committed()) == {twice.id}
    ledger.commit(twice, 2, outcomes_of(twice, [b"a", b"b"]))
    assert ledger.deadly(ledger.committed()) == set()


def test_a_unit_that_never_ends_well_is_deadly_at_last(ledger: Ledger) -> None:
    unit = unit_of(2)
    for wave in range(ATTEMPTS_IN_ALL - 1):
        ledger.start(unit, str(wave))
    assert ledger.deadly(set()) == set()
    ledger.start(unit, "last")
    assert ledger.deadly(set()) == {unit.id}


def killed_by(unit: Unit, deadly: set[int]) -> bool:
    return any(member.position in deadly for member in unit.members)


@settings(deadline=None)
@given(st.integers(1, 32), st.sets(st.integers(0, 31), max_size=5))
def test_halving_ends_with_the_deadly_images_alone_and_all_others_committed(
    count: int, deadly: set[int]
) -> None:
    whole = unit_of(count)
    committed: set[str] = set()
    deadly_ids: set[str] = set()
    given_up: list[int] = []
    while (found := parts_of(whole, "config", committed, deadly_ids)).open:
        for unit in found.open:
            if unit.id in deadly_ids:  # one image, as `parts_of` promises
                (member,) = unit.members
                given_up.append(member.position)
                committed.add(unit.id)
            else:
                (deadly_ids if killed_by(unit, deadly) else committed).add(unit.id)
    assert sorted(given_up) == sorted(deadly & set(range(count)))
    assert [m for unit in found.committed for m in unit.members] == list(whole.members)
    assert {unit.id for unit in found.committed} <= set(lineage(whole, "config", deadly_ids))


@settings(deadline=None)
@given(st.integers(2, 32), st.integers(0, 3))
def test_halves_hold_every_member_once_under_ids_that_follow_from_the_whole(
    count: int, generation: int
) -> None:
    whole = replace(unit_of(count), generation=generation)
    first, second = halves(whole, "config")
    assert first.members + second.members == whole.members and first.members and second.members
    assert len({whole.id, first.id, second.id}) == 3
    assert halves(whole, "config") == (first, second)
    assert first.generation == second.generation == generation


# Writers that die anywhere


@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["begun", "segment", "rows", "committed"])),
        max_size=12,
    )
)
def test_whatever_order_of_deaths_the_first_marker_decides(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[int, str]]
) -> None:
    """Writers of three units, one after the other; each comes so far, and dies."""
    ledger = Ledger(open_place(str(tmp_path_factory.mktemp("ledger"))))
    units = [unit_of(count) for count in (1, 2, 3)]
    first: dict[str, str] = {}
    for number, (chosen, end) in enumerate(lives):
        unit, run_id = units[chosen], str(number)
        attempt = ledger.start(unit)
        if end == "committed":
            ledger.commit(
                unit, attempt, outcomes_of(unit, [run_id.encode()] * len(unit.members), run_id)
            )
            first.setdefault(unit.id, run_id)
        elif end != "begun":
            name = f"{unit.id}.{attempt}-dead"
            ledger.place.write(f"_demoire/segments/{name}.bin", b"half of it")
            if end == "rows":
                ledger.place.write(f"_demoire/rows/{name}.parquet", b"PAR1")
    assert ledger.committed() == first.keys()
    for unit_id, run_id in first.items():
        commit = ledger.read(unit_id)
        assert {row["run_id"] for row in ledger.rows(commit).to_pylist()} == {run_id}
        assert CleanedPayloads(ledger, [commit])(0) == run_id.encode()
