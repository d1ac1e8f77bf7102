"""Pairs simulated beforehand, in files that training reads at random.

Simulating costs as much as a training step of the default restorer and ten times as much as one of
the detector, so where the same pairs serve several runs or several epochs it is done once:
`make_shards` fills a folder, `Shards` reads it. Pair `i` of a folder depends on the seed, the mix
and `i` alone, so shards are made side by side by several processes, and a cut run goes on where it
stopped. A shard holds 256 pairs, of each kind the share that training draws of it, as two arrays
(256, size, size, 3) uint8; it takes 100 MB at 256 px and some ten seconds of one core.
"""

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from demoire.errors import UsageError
from demoire.simulate import KINDS, Kind

PAIRS_PER_SHARD = 256

# Input and truth, each (size, size, 3) uint8 sRGB, and the strength of the pattern as in
# simulate.Pair.
MadePair = tuple[NDArray[np.uint8], NDArray[np.uint8], float]


@dataclass(frozen=True)
class ShardPair:
    """One stored pair, read from the disk when it is looked at."""

    moire: NDArray[np.uint8]  # (size, size, 3) sRGB
    clean: NDArray[np.uint8]  # (size, size, 3) sRGB
    strength: float  # as in simulate.Pair


class _ShardWriter(Dataset[int]):
    """Writing as reading: item `number` is written by being asked for, by whichever worker process
    is free.
    """

    def __init__(
        self,
        out: Path,
        make: Callable[[Kind, np.random.Generator], MadePair],
        mix: Mapping[Kind, float],
        seed: int,
    ) -> None:
        self._out, self._make, self._seed = out, make, seed
        shares = np.cumsum([mix.get(kind, 0.0) for kind in KINDS])
        places = (np.arange(PAIRS_PER_SHARD) + 0.5) / PAIRS_PER_SHARD
        self._kinds: list[Kind] = [
            KINDS[number] for number in np.searchsorted(shares / shares[-1], places)
        ]

    def __getitem__(self, number: int) -> int:
        pairs: list[MadePair] = []
        rows: list[tuple[Kind, str]] = []
        for place, kind in enumerate(self._kinds):
            index = number * PAIRS_PER_SHARD + place
            pairs.append(self._make(kind, np.random.default_rng([self._seed, index])))
            rows.append((kind, f"{pairs[-1][2]:.4f}"))
        np.save(self._out / f"moire-{number:05d}.npy", np.stack([moire for moire, _, _ in pairs]))
        np.save(self._out / f"clean-{number:05d}.npy", np.stack([clean for _, clean, _ in pairs]))
        unfinished = self._out / f"rows-{number:05d}.part"
        with unfinished.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        unfinished.rename(_rows_file(self._out, number))  # last, so that a shard with rows is whole
        return number


def _rows_file(folder: Path, number: int) -> Path:
    return folder / f"rows-{number:05d}.csv"


def missing_shards(folder: Path, count: int) -> list[int]:
    """The numbers, below `count`, of the shards that are not in the folder."""
    return [number for number in range(count) if not _rows_file(folder, number).exists()]


def make_shards(
    out: Path,
    count: int,
    make: Callable[[Kind, np.random.Generator], MadePair],
    mix: Mapping[Kind, float],
    *,
    seed: int,
    workers: int,
) -> Iterable[int]:
    """Fill `out` up to `count` shards, leaving those that are there; gives the number of each as it
    is done.

    make: simulates one pair of a kind. mix: the shares of the kinds, of any sum. workers: processes
    that do it; 0 does it in this one. Raises UsageError where `out` cannot be written.
    """
    cv2.setNumThreads(1)  # a worker forked from a process with OpenCV's thread pool hangs
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {out} cannot be made: {error.strerror}.") from error
    return DataLoader(
        _ShardWriter(out, make, mix, seed),
        sampler=missing_shards(out, count),
        batch_size=None,
        num_workers=workers,
    )


class Shards:
    """The pairs of a folder that `make_shards` filled. Opens files at need, so it pickles cheaply.

    Raises UsageError for a folder without shards, or with smaller ones than asked for.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._places: dict[Kind, list[tuple[Path, int, float]]] = {kind: [] for kind in KINDS}
        files = sorted(folder.glob("rows-*.csv"))
        if not files:
            raise UsageError(f"{folder} holds no shards; let 'demoire train --shards' make them.")
        for rows in files:
            with rows.open(newline="") as file:
                for place, (kind, strength) in enumerate(csv.reader(file)):
                    self._places[kind].append((rows, place, float(strength)))  # type: ignore[index]  # written above
        stored = np.load(_array_file(files[0], "moire"), mmap_mode="r").shape[1]
        if stored < size:
            raise UsageError(
                f"The shards in {folder} are of {stored} px and data.size is {size}: lower it."
            )

    def draw(self, kind: Kind, rng: np.random.Generator) -> ShardPair:
        """One pair of this kind at random. Raises UsageError where there is none."""
        if not self._places[kind]:
            raise UsageError(
                f"The shards in {self._folder} hold no pair of kind {kind}: they were made for another data.mix; "
                "give another folder."
            )
        rows, place, strength = self._places[kind][int(rng.integers(len(self._places[kind])))]
        moire, clean = (
            np.load(_array_file(rows, name), mmap_mode="r")[place] for name in ("moire", "clean")
        )
        return ShardPair(moire, clean, strength)


def _array_file(rows: Path, name: str) -> Path:
    return rows.with_name(f"{name}-{rows.stem.removeprefix('rows-')}.npy")
