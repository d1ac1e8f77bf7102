"""The learning curve of a run: a table (CSV), a picture (PNG), and event files for TensorBoard.

Event files are written where TensorBoard is installed.
"""

import csv
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from demoire.files import whole_file
from demoire.plots import Chart

CurveRow = dict[str, float]
_NOT_DRAWN = {"step", "seconds"}


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one line a record, in one step.

    Columns stand in the order in which they first occur, and stay empty where a record has no
    value.
    """
    with (
        whole_file(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, _columns(rows))
        writer.writeheader()
        writer.writerows(rows)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of all values, in the order in which they first occur."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return list(names)


def draw_png(rows: Sequence[CurveRow], path: Path) -> None:
    """Draw every column but the step over the step, one below the other."""
    columns = [name for name in _columns(rows) if name not in _NOT_DRAWN]
    chart = Chart(len(columns), 1, (8, 2.2), share_x=True)
    for axis, name in zip(chart.panels[:, 0], columns, strict=True):
        having = [row for row in rows if name in row]
        steps = [row["step"] for row in having]
        values = [row[name] for row in having]
        axis.plot(steps, values, linewidth=1.2)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    chart.panel(-1, 0).set_xlabel("step")
    chart.save(path)


def write_events(rows: Sequence[CurveRow], folder: Path) -> None:
    """Write the whole curve as the one event file of a folder, for `tensorboard --logdir`.

    Without the package tensorboard nothing is written. The file is written anew each time, as the
    others are: a curve that was resumed then has no points of the steps that were lost.
    """
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter

    before = list(folder.glob("events.out.tfevents.*"))
    # With purge_step 0 a TensorBoard that is looking on forgets the old file.
    with SummaryWriter(str(folder), purge_step=0) as writer:
        for row in rows:
            for name in row.keys() - _NOT_DRAWN:
                writer.add_scalar(name, row[name], int(row["step"]))
    for path in before:
        path.unlink()
