"""A printed page, for what the look for type beside a print costs.

The stand-ins' moiré is no print, so the pictures that go the whole path never get that look.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.lettering import leave_lettering_alone
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.images import decode
from pipelines.bench.collection import Extent, draw_print, to_jpeg

_DOTS = 2.0  # px, standard deviation of a blur in which the dots disappear


@dataclass(frozen=True)
class PrintedPage:
    """A page as it was scanned, and without its dots.

    Attributes:
        scanned: (H, W, 3) uint8.
        restored: The same, blurred: that changes type a little everywhere, as a restorer does.
    """

    scanned: Pixels
    restored: Pixels

    @staticmethod
    def drawn(extent: Extent) -> "PrintedPage":
        """A page of this size, always the same one."""
        scanned = decode(to_jpeg(draw_print(extent))).pixels
        return PrintedPage(scanned, cv2.GaussianBlur(scanned, (0, 0), _DOTS))

    @property
    def megapixels(self) -> float:
        """The page's size."""
        height, width = self.scanned.shape[:2]
        return float(height * width / 1e6)

    def keep_type(self) -> Pixels:
        """The restored page with type as it was scanned; all its cells surely have moiré."""
        kept = self.restored.copy()
        grid = Grid(*kept.shape[:2])
        certain: NDArray[np.bool_] = np.ones(grid.shape, np.bool_)
        leave_lettering_alone(self.scanned, kept, grid, certain)
        return kept
