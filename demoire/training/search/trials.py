"""What a search has found, trial by trial: as a table (CSV) and as a picture (PNG)."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from demoire.training.config import SearchOptions, SearchRange
from demoire.training.curves import write_csv

State = Literal[
    "done",
    "pruned",  # given up, since it was behind the others
    "refused",  # above the cost that was allowed, and not trained
    "failed",  # of an error, such as a loss that is no number
    "unfinished",  # where the next search goes on
]


@dataclass(frozen=True)
class Trial:
    """One trial of a search."""

    number: int  # from 0; its run is in OUT/trials/NNN
    state: State
    score: float | None  # of its best validation, the larger the better; None without any
    kmac: float | None  # per pixel; None where its structure was not sound
    values: dict[str, Any] = field(default_factory=dict)  # by dotted path
    why: str = ""  # it failed or was refused

    def shown(self, path: str) -> str | float | None:
        """One of its values as a table's cell: a number, or text; None where it has none."""
        value = self.values.get(path)
        return value if isinstance(value, str | int | float) or value is None else json.dumps(value)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best one that was done, the earlier of equals; None without any."""
    done = [trial for trial in trials if trial.state == "done" and trial.score is not None]
    return max(done, key=lambda trial: (trial.score, -trial.number), default=None)


def write_trials(trials: Sequence[Trial], space: Mapping[str, SearchOptions], path: Path) -> None:
    """One line a trial, as CSV, in one step."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            "score": trial.score,
            "kmac_per_pixel": trial.kmac,
            **{name: trial.shown(name) for name in space},
            "why": trial.why,
        }
        for trial in trials
    ]
    write_csv(rows, path)


def draw_trials(trials: Sequence[Trial], space: Mapping[str, SearchOptions], path: Path) -> None:
    """The score over the cost and over every value that was varied, one beside the other; the best
    in red.

    Scores far below the others would press these into one line: they stand as triangles on the
    lower edge.
    """
    points = [(trial, trial.score) for trial in trials if trial.score is not None]
    best, floor = best_of(trials), _floor([score for _, score in points])
    figure, axes = plt.subplots(
        1, 1 + len(space), figsize=(3.2 * (1 + len(space)), 3.2), sharey=True, squeeze=False
    )
    for axis, name in zip(axes[0], (None, *space), strict=True):
        axis.set_xlabel("kMAC per pixel" if name is None else name)
        options = None if name is None else space[name]
        if isinstance(options, list):
            axis.set_xticks(
                range(len(options)),
                [json.dumps(option) for option in options],
                rotation=30,
                ha="right",
            )
        elif isinstance(options, SearchRange) and options.log:
            axis.set_xscale("log")
        for trial, score in points:
            value = trial.kmac if name is None else trial.values[name]
            place = options.index(value) if isinstance(options, list) else value
            colour = (
                "tab:red" if trial == best else "tab:blue" if trial.state == "done" else "darkgrey"
            )
            marker = "o" if score >= floor else "v"
            axis.plot(
                place, max(score, floor), marker, color=colour, zorder=4 if trial == best else 3
            )
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("score (grey: given up)")
    figure.tight_layout()
    unfinished = path.with_name(path.name + ".part")
    figure.savefig(unfinished, format="png", dpi=90)
    plt.close(figure)
    os.replace(unfinished, path)


def _floor(scores: Sequence[float]) -> float:
    """The lower end of a box plot's whisker: 1.5 times the distance of the quartiles below the
    lower one.
    """
    if not scores:
        return 0.0
    low, high = np.percentile(scores, (25, 75))
    return float(low - 1.5 * (high - low))
