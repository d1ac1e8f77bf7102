"""The learning curve of a run: as a table (CSV), a picture (PNG), and event files where TensorBoard
is installed.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CurveRow = dict[str, float]
_NOT_DRAWN = {"step", "seconds"}


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One line a record; columns in the order in which they first occur, empty where a record has
    no value.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(unfinished, path)


def draw_png(rows: Sequence[CurveRow], path: Path) -> None:
    """Every column but the step over the step, one below the other."""
    columns = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if name not in _NOT_DRAWN
    ]
    figure, axes = plt.subplots(
        len(columns), 1, figsize=(8, 2.2 * len(columns)), sharex=True, squeeze=False
    )
    for axis, name in zip(axes[:, 0], columns, strict=True):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axis.plot([step for step, _ in points], [value for _, value in points], linewidth=1.2)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("step")
    figure.tight_layout()
    unfinished = path.with_name(path.name + ".part")
    figure.savefig(unfinished, format="png", dpi=90)
    plt.close(figure)
    os.replace(unfinished, path)


def write_events(rows: Sequence[CurveRow], folder: Path) -> None:
    """The whole curve as the one event file of a folder, for `tensorboard --logdir`; nothing
    without that package.

    Written anew each time, as the others are: a curve that was resumed then has no points of the
    steps that were lost.
    """
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter

    before = list(folder.glob("events.out.tfevents.*"))
    # 0: a TensorBoard that looks on forgets the old file
    with SummaryWriter(str(folder), purge_step=0) as writer:
        for row in rows:
            for name in row.keys() - _NOT_DRAWN:
                writer.add_scalar(name, row[name], int(row["step"]))
    for path in before:
        path.unlink()
