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
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from demoire.errors import UsageError
from demoire.files import whole_file
from demoire.moire import KINDS, MoireKind
from demoire.training.workers import begin_worker

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
    """Writes shards in the worker processes of a DataLoader: item `number` is shard `number`.

    To ask for an item is to have it written, by whichever worker process is free. A DataLoader
    brings what writing needs: processes, a queue, and errors given back.
    """

    def __init__(
        self,
        out: Path,
        make: Callable[[MoireKind, np.random.Generator], MadePair],
        mix: Mapping[MoireKind, float],
        seed: int,
    ) -> None:
        self._out = out
        self._make = make
        self._seed = seed
        self._kinds = _kinds_of_a_shard(mix)

    def __getitem__(self, number: int) -> int:
        moire_pictures: list[NDArray[np.uint8]] = []
        clean_pictures: list[NDArray[np.uint8]] = []
        rows: list[tuple[MoireKind, str]] = []
        for position, kind in enumerate(self._kinds):
            index = number * PAIRS_PER_SHARD + position
            moire, clean, strength = self._make(kind, np.random.default_rng([self._seed, index]))
            moire_pictures.append(moire)
            clean_pictures.append(clean)
            rows.append((kind, f"{strength:.4f}"))
        np.save(self._out / f"moire-{number:05d}.npy", np.stack(moire_pictures))
        np.save(self._out / f"clean-{number:05d}.npy", np.stack(clean_pictures))
        # The rows come last: a shard that has them is whole.
        with (
            whole_file(_rows_file(self._out, number)) as unfinished,
            unfinished.open("w", newline="") as file,
        ):
            csv.writer(file).writerows(rows)
        return number


def _kinds_of_a_shard(mix: Mapping[MoireKind, float]) -> list[MoireKind]:
    """The kind of each pair of a shard: of each kind its share, one kind after the other."""
    shares = np.cumsum([mix.get(kind, 0.0) for kind in KINDS])
    positions = (np.arange(PAIRS_PER_SHARD) + 0.5) / PAIRS_PER_SHARD
    numbers = np.searchsorted(shares / shares[-1], positions)
    return [KINDS[number] for number in numbers]


def _rows_file(folder: Path, number: int) -> Path:
    return folder / f"rows-{number:05d}.csv"


def missing_shards(folder: Path, count: int) -> list[int]:
    """The numbers, below `count`, of the shards that are not in the folder."""
    return [number for number in range(count) if not _rows_file(folder, number).exists()]


def make_shards(
    out: Path,
    count: int,
    make: Callable[[MoireKind, np.random.Generator], MadePair],
    mix: Mapping[MoireKind, float],
    *,
    seed: int,
    workers: int,
) -> Iterable[int]:
    """Fill `out` up to `count` shards; those that are there stay.

    Args:
        out: The folder, made where it is missing.
        count: Shards that there are to be in the end.
        make: Simulates one pair of a kind.
        mix: The shares of the kinds, of any sum.
        seed: Of all pairs.
        workers: Processes that simulate; 0 does it in this one.

    Returns:
        The number of each shard, as soon as it is written.

    Raises:
        UsageError: `out` cannot be written.
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
        worker_init_fn=begin_worker,
    )


@dataclass(frozen=True)
class _Entry:
    """Where one pair lies."""

    rows: Path  # the shard's file of rows
    position: int  # in the shard
    strength: float


class Shards:
    """The pairs of a folder that `make_shards` filled.

    Files are opened when a pair is asked for, so this pickles cheaply.
    """

    def __init__(self, folder: Path, size: int) -> None:
        """Read which pairs there are.

        Args:
            folder: One that `make_shards` filled.
            size: Side of the pairs that training will ask for, px.

        Raises:
            UsageError: There are no shards, or their pairs are smaller than `size`.
        """
        self._folder = folder
        self._entries: dict[MoireKind, list[_Entry]] = {kind: [] for kind in KINDS}
        files = sorted(folder.glob("rows-*.csv"))
        if not files:
            raise UsageError(f"{folder} holds no shards; let 'demoire train --shards' make them.")
        for rows in files:
            with rows.open(newline="") as file:
                for position, (kind, strength) in enumerate(csv.reader(file)):
                    entry = _Entry(rows, position, float(strength))
                    self._entries[cast(MoireKind, kind)].append(entry)
        stored = np.load(_array_file(files[0], "moire"), mmap_mode="r").shape[1]
        if stored < size:
            raise UsageError(
                f"The shards in {folder} are of {stored} px and data.size is {size}: lower it."
            )

    def draw(self, kind: MoireKind, rng: np.random.Generator) -> ShardPair:
        """One pair of this kind at random.

        Raises:
            UsageError: The shards hold none of this kind.
        """
        entries = self._entries[kind]
        if not entries:
            raise UsageError(
                f"The shards in {self._folder} hold no pair of kind {kind}: "
                "they were made for another data.mix; give another folder."
            )
        entry = entries[int(rng.integers(len(entries)))]
        moire = np.load(_array_file(entry.rows, "moire"), mmap_mode="r")
        clean = np.load(_array_file(entry.rows, "clean"), mmap_mode="r")
        return ShardPair(moire[entry.position], clean[entry.position], entry.strength)


def _array_file(rows: Path, name: str) -> Path:
    return rows.with_name(f"{name}-{rows.stem.removeprefix('rows-')}.npy")
