"""Histograms over the probability of moiré, ready to be drawn by a template."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from demoire.wording import figure
from pipelines.report.summary import BINS

_ROUND_STEPS = (1, 2, 4, 6, 10)  # ends of a linear axis, times a power of ten


@dataclass(frozen=True)
class Series:
    """One set of bars of a histogram."""

    name: str
    style: str  # class of the bars: 'before', 'after' or 'all'
    counts: tuple[int, ...]
    heights: tuple[float, ...]  # 0..1 of the chart's height


@dataclass(frozen=True)
class Tick:
    """A line across a chart with what it stands for."""

    label: str
    height: float  # 0..1


@dataclass(frozen=True)
class Histogram:
    """Bars over equal steps from 0 to 1."""

    series: tuple[Series, ...]
    ticks: tuple[Tick, ...]


def counts_by_score(scores: ArrayLike) -> list[int]:
    """How many scores lie in each of the report's equal steps from 0 to 1."""
    within = np.clip(np.asarray(scores, np.float64), 0, 1)
    counts: list[int] = np.histogram(within, bins=BINS, range=(0, 1))[0].tolist()
    return counts


def histogram(
    named: Sequence[tuple[str, str, Sequence[int]]], *, logarithmic: bool = False
) -> Histogram:
    """Scale the bars of some series over the same steps.

    Args:
        named: Name, style and counts of each series.
        logarithmic: Show one image beside a million. A single image can still be seen, none is no
            bar.
    """
    top = 1
    for _, _, counts in named:
        top = max(top, *counts)
    scale = _LogarithmicScale(top) if logarithmic else _LinearScale(_round_up(top))
    series = []
    for name, style, counts in named:
        heights = tuple(scale.height(count) for count in counts)
        series.append(Series(name, style, tuple(counts), heights))
    ticks = [Tick(figure(mark), scale.height(mark)) for mark in scale.marks()]
    return Histogram(tuple(series), tuple(ticks))


@dataclass(frozen=True)
class _LinearScale:
    limit: int

    def height(self, count: int) -> float:
        return count / self.limit

    def marks(self) -> list[int]:
        half = self.limit // 2
        return [half, self.limit] if half else [self.limit]


@dataclass(frozen=True)
class _LogarithmicScale:
    limit: int

    def height(self, count: int) -> float:
        return math.log10(count + 1) / math.log10(self.limit + 1)

    def marks(self) -> list[int]:
        """The powers of ten up to the limit."""
        return [10**power for power in range(len(str(self.limit)))]


def _round_up(top: int) -> int:
    """The smallest of 1, 2, 4, 6, 10, 20, 40... that is no less than `top`."""
    power: int = 10 ** (len(str(top)) - 1)
    return next(step * power for step in _ROUND_STEPS if step * power >= top)
