"""Pairs simulated beforehand, in files that training reads at random.

Simulating costs as much as a training step of the default restorer, so where the same pairs serve several runs or
several epochs it is done once: `write_shards` fills a folder, `Shards` reads it. Pair `i` of a folder depends on the
seed, `i` and the scene alone, so shards can be made side by side by several processes, and a cut run goes on where it
stopped. A shard holds 256 pairs as two arrays (256, size, size, 3) uint8 and takes 100 MB at 256 px.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.errors import UsageError
from demoire.simulate import KINDS, Kind, simulate

PAIRS_PER_SHARD = 256


@dataclass(frozen=True)
class ShardPair:
    """One stored pair."""

    moire: NDArray[np.uint8]  # (size, size, 3) sRGB
    clean: NDArray[np.uint8]  # (size, size, 3) sRGB
    kind: Kind
    strength: float  # as in simulate.Pair
    source: str  # name of the scene's file


@lru_cache(maxsize=1000)
def _read_scene(path: Path) -> NDArray[np.uint8]:
    scene = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if scene is None:
        raise UsageError(f"{path} cannot be read as an image; take it out of the training folder.")
    return np.ascontiguousarray(scene[..., ::-1])


def _write_shard(
    out: Path, number: int, scenes: Sequence[Path], size: int, seed: int, mix: NDArray[np.float64]
) -> None:
    arrays = np.empty((2, PAIRS_PER_SHARD, size, size, 3), np.uint8)
    rows: list[tuple[str, str, str]] = []
    for place in range(PAIRS_PER_SHARD):
        rng = np.random.default_rng([seed, number * PAIRS_PER_SHARD + place])
        scene = scenes[int(rng.integers(len(scenes)))]
        pair = simulate(KINDS[int(rng.choice(len(KINDS), p=mix))], _read_scene(scene), size, rng)
        arrays[0, place], arrays[1, place] = pair.moire, pair.clean
        rows.append((pair.kind, f"{pair.strength:.4f}", scene.name))
    for name, array in zip(("moire", "clean"), arrays, strict=True):
        np.save(out / f"{name}-{number:05d}.npy", array)
    unfinished = out / f"rows-{number:05d}.part"
    with unfinished.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    unfinished.rename(out / f"rows-{number:05d}.csv")  # last, so that a shard with rows is whole


def write_shards(
    scenes: Sequence[Path],
    out: Path,
    *,
    numbers: Sequence[int],
    size: int = 256,
    seed: int = 0,
    mix: dict[Kind, float],
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Simulate the shards of these numbers into `out`, leaving those that are there.

    scenes: image files. mix: share of each kind, scaled to sum 1. Raises UsageError for a file that is no image.
    """
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    weights = np.array([mix.get(kind, 0.0) for kind in KINDS])
    for number in numbers:
        if not (out / f"rows-{number:05d}.csv").exists():
            _write_shard(out, number, scenes, size, seed, weights / weights.sum())
        if on_progress:
            on_progress(number)


class Shards:
    """The pairs of a folder that `write_shards` filled, as a sequence. Opens files at need, so it pickles cheaply."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[tuple[Path, int, Kind, float, str]] = []
        for rows in sorted(folder.glob("rows-*.csv")):
            with rows.open(newline="") as file:
                for place, (kind, strength, source) in enumerate(csv.reader(file)):
                    self.rows.append((rows, place, kind, float(strength), source))  # type: ignore[arg-type]
        if not self.rows:
            raise UsageError(f"{folder} holds no shards; make them first.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> ShardPair:
        rows, place, kind, strength, source = self.rows[index]
        moire, clean = (
            np.array(np.load(rows.with_name(f"{name}-{rows.stem[5:]}.npy"), mmap_mode="r")[place])
            for name in ("moire", "clean")
        )
        return ShardPair(moire, clean, kind, strength, source)
