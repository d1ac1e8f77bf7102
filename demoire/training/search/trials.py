"""What a search has tried, trial by trial: as a table (CSV) and as a picture (PNG)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from demoire.plots import Chart
from demoire.training.config import SearchOptions, SearchRange
from demoire.training.curves import write_csv

TrialState = Literal[
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
    state: TrialState
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
    best: Trial | None = None
    for trial in trials:
        if trial.state != "done" or trial.score is None:
            continue
        if best is None or best.score is None or trial.score > best.score:
            best = trial
    return best


def write_trials(trials: Sequence[Trial], space: Mapping[str, SearchOptions], path: Path) -> None:
    """Write one line a trial, as CSV, in one step."""
    rows = []
    for trial in trials:
        row: dict[str, Any] = {
            "trial": trial.number,
            "state": trial.state,
            "score": trial.score,
            "kmac_per_pixel": trial.kmac,
        }
        for name in space:
            row[name] = trial.shown(name)
        row["why"] = trial.why
        rows.append(row)
    write_csv(rows, path)


def draw_trials(trials: Sequence[Trial], space: Mapping[str, SearchOptions], path: Path) -> None:
    """Draw the score over the cost, and over every value that was varied; the best in red.

    Scores far below the others would squeeze those into one line: they stand as triangles on the
    lower edge.
    """
    scored = [trial for trial in trials if trial.score is not None]
    floor = _floor([trial.score for trial in scored if trial.score is not None])
    best = best_of(trials)
    chart = Chart(1, 1 + len(space), (3.2, 3.2), share_y=True)
    for axis, name in zip(chart.panels[0], (None, *space), strict=True):
        axis.set_xlabel("kMAC per pixel" if name is None else name)
        options = None if name is None else space[name]
        if isinstance(options, list):
            labels = [json.dumps(option) for option in options]
            axis.set_xticks(range(len(options)), labels, rotation=30, ha="right")
        elif isinstance(options, SearchRange) and options.log:
            axis.set_xscale("log")
        for trial in scored:
            value = trial.kmac if name is None else trial.values[name]
            # Options of a list stand side by side, numbers on their own scale.
            x = options.index(value) if isinstance(options, list) else value
            _draw_trial(axis, x, trial, is_best=trial == best, floor=floor)
        axis.grid(alpha=0.3)
    chart.panel(0, 0).set_ylabel("score (grey: given up)")
    chart.save(path)


def _draw_trial(axis: Any, x: Any, trial: Trial, *, is_best: bool, floor: float) -> None:
    """Draw one trial as a point: red for the best, blue for the others that were done, else
    grey.
    """
    score = trial.score
    assert score is not None
    colour = "darkgrey"
    if is_best:
        colour = "tab:red"
    elif trial.state == "done":
        colour = "tab:blue"
    marker = "o" if score >= floor else "v"
    axis.plot(x, max(score, floor), marker, color=colour, zorder=4 if is_best else 3)


def _floor(scores: Sequence[float]) -> float:
    """The lower whisker of a box plot: 1.5 interquartile ranges below the lower quartile."""
    if not scores:
        return 0.0
    low, high = np.percentile(scores, (25, 75))
    return float(low - 1.5 * (high - low))
