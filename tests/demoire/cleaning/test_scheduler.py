"""Many images at a time: each comes back once, in bounded memory, and no thread stays behind."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from demoire.cleaning import budget, scheduler
from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.engine import Engine
from demoire.errors import MachineError
from tests.demoire.cleaning.pictures import png


def test_many_images_come_back_once_each_as_if_they_were_alone(
    cleaner: Cleaner, mixed: dict[str, bytes]
) -> None:
    results = list(cleaner.clean_many(mixed.items()))
    assert sorted(name for name, _ in results) == sorted(mixed)
    for name, result in results:
        alone = cleaner.clean(mixed[name])
        assert (result.status, result.reason, result.data) == (
            alone.status,
            alone.reason,
            alone.data,
        ), name
        assert result.status == ("cleaned" if name.startswith("red") else result.status)
        if result.status != "cleaned":
            assert result.data is mixed[name]
    reasons = {name: result.reason for name, result in results if result.reason}
    assert reasons == {
        "cut.jpg": "truncated",
        "text.jpg": "not_an_image",
        "empty.png": "truncated",
        "animated.gif": "unsupported_format",
    }
    assert {name: result.status for name, result in results}["animated.gif"] == "copied"


def test_batches_hold_cells_and_tiles_of_several_images(
    cleaner: Cleaner, mixed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[int] = []
    judge = Engine.judge
    monkeypatch.setattr(
        Engine, "judge", lambda self, cells: shares.append(len(cells)) or judge(self, cells)
    )
    single = {name: data for name, data in mixed.items() if "clean" in name} | {
        "again": mixed["clean 0.jpg"]
    }
    cells = sum(result.cells for _, result in cleaner.clean_many(single.items()))
    assert sum(shares) == cells and len(shares) < cells


def demoire_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("demoire")}


def test_a_run_that_is_closed_early_leaves_no_thread(
    cleaner: Cleaner, mixed: dict[str, bytes]
) -> None:
    taken = 0

    def endless() -> Iterator[tuple[int, bytes]]:
        nonlocal taken
        while True:
            for data in mixed.values():
                taken += 1
                yield taken, data

    run = cleaner.clean_many(endless())
    for _ in range(5):
        next(run)
    assert demoire_threads()
    run.close()
    assert not demoire_threads()
    before = taken
    assert cleaner.clean(mixed["red 0.png"]).status == "cleaned"
    assert taken == before


def test_images_ahead_are_bounded_by_their_pixels(
    cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for 4 MP, images of 1.5 MP are read at most two ahead, and one of 6 MP still has
    its turn.
    """
    monkeypatch.setitem(budget.MEGAPIXELS_IN_FLIGHT, "cpu", 4.0)
    middle, large = (
        png(np.zeros((1000, 1500, 3), np.uint8)),
        png(np.zeros((2000, 3000, 3), np.uint8)),
    )
    given = 0

    def items() -> Iterator[tuple[int, bytes]]:
        nonlocal given
        for i in range(12):
            given += 1
            yield i, large if i == 5 else middle

    done = 0
    for _ in cleaner.clean_many(items()):
        done += 1
        assert given - done <= 4
    assert done == 12


def test_what_the_source_raises_comes_after_the_results_so_far(
    cleaner: Cleaner, mixed: dict[str, bytes]
) -> None:
    def items() -> Iterator[tuple[str, bytes]]:
        yield "first", mixed["clean 1.jpg"]
        yield "second", mixed["red 1.png"]
        raise ConnectionError("the bucket is gone")

    seen: list[str] = []
    with pytest.raises(ConnectionError, match="the bucket is gone"):
        for name, _ in cleaner.clean_many(items()):
            seen.append(name)
    assert sorted(seen) == ["first", "second"] and not demoire_threads()


def test_several_threads_may_share_a_cleaner(cleaner: Cleaner, mixed: dict[str, bytes]) -> None:
    found: list[dict[str, bytes]] = []
    threads = [
        threading.Thread(
            target=lambda: found.append({k: v.data for k, v in cleaner.clean_many(mixed.items())})
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2]


def test_an_iterable_without_images_gives_no_results(cleaner: Cleaner) -> None:
    assert list(cleaner.clean_many([])) == []


def test_processes_beside_a_card_have_their_share_of_memory(
    make_cleaner: Callable[..., Cleaner],
    mixed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OnACard(nn.Module):
        multiple, halo, computes_on = 32, 64, "cuda"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    asked: list[tuple[str, float]] = []

    def megapixels_in_flight(device: str, memory: float, share: float) -> float:
        asked.append((device, share))
        return budget.megapixels_in_flight(device, memory, share)

    monkeypatch.setattr(scheduler, "megapixels_in_flight", megapixels_in_flight)
    cleaner = make_cleaner(OnACard())
    cleaner.memory_share = 0.25
    cleaner.clean(min(mixed.values(), key=len))
    assert asked == [("cuda", 0.25)]


@pytest.mark.parametrize("stage", ["decoding.decode_guarded", "encoding.encode_verified"])
def test_what_the_machine_refuses_ends_the_run_and_quarantines_no_image(
    cleaner: Cleaner, mixed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MachineError("no room for one more process")

    monkeypatch.setattr(f"demoire.cleaning.{stage}", refuse)
    sound = {name: data for name, data in mixed.items() if name.startswith("red")}
    with pytest.raises(MachineError, match="one more process"):
        for _, result in cleaner.clean_many(sound.items()):
            assert result.status != "quarantined"
    assert not demoire_threads()
