"""Charts as PNG files, for learning curves, searches and spectra.

They are drawn on matplotlib's Figure objects, without pyplot: nothing is set for the whole process,
no figure stays in memory, and no display is asked for.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from demoire.files import whole_file

_DPI = 90


class Chart:
    """Panels in rows and columns that share axes where it helps to compare them.

    Attributes:
        panels: The axes to draw on, (rows, columns).
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        panel_size: tuple[float, float],
        *,
        share_x: bool = False,
        share_y: bool = False,
    ) -> None:
        """Make an empty chart.

        Args:
            rows: Panels one below the other.
            columns: Panels side by side.
            panel_size: Width and height of a panel in inches.
            share_x: All panels have the same horizontal axis.
            share_y: All panels have the same vertical axis.
        """
        width, height = panel_size
        self._figure = Figure(figsize=(width * columns, height * rows))
        self.panels: NDArray[np.object_] = self._figure.subplots(
            rows, columns, sharex=share_x, sharey=share_y, squeeze=False
        )

    def panel(self, row: int, column: int) -> Axes:
        """One of the panels; negative numbers count from the end."""
        axes = self.panels[row, column]
        assert isinstance(axes, Axes)
        return axes

    def save(self, path: Path) -> None:
        """Write the chart as a PNG, in one step.

        Raises:
            OSError: The file cannot be written.
        """
        self._figure.tight_layout()
        with whole_file(path) as unfinished:
            self._figure.savefig(unfinished, format="png", dpi=_DPI)
