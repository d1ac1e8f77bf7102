"""How much a picture restored in windows differs from the same picture restored in one piece.

    python tests/benchmarks/halo.py PICTURES... [--restorer NAME]

For several halos and sides of windows: the largest difference of any sample in 255, the share of
pixels that differ by more than 1 in 255, and how many pixels the network sees for each pixel of the
picture. Every cell is restored. Of each picture at most 1536 x 2048 px are taken; on a core some 30
seconds a picture for the default restorer.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from demoire.cleaning.blend import blend
from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import Grid
from demoire.cleaning.threads import use_threads
from demoire.cleaning.windows import plan_windows, tiles_of
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.images import decode
from demoire.models.networks import load_detector, load_restorer

_MOST_ROWS = 1536
_MOST_COLUMNS = 2048
_IN_ONE_PIECE = 4096  # px, side of a window that holds all of it
_PLANS = ((1216, 96), (1280, 128), (1344, 160), (1408, 192), (1472, 224))  # px: side, halo


def main(paths: list[Path], restorer: str) -> None:
    """Print a line for each plan."""
    use_threads(1)
    engine = Engine(load_detector(), load_restorer(restorer), torch.device("cpu"))
    pictures = []
    for path in paths:
        pixels = decode(path.read_bytes()).pixels[:_MOST_ROWS, :_MOST_COLUMNS]
        whole, _ = restored(engine, pixels, _IN_ONE_PIECE, engine.halo)
        pictures.append((pixels, whole))
    for side, halo in _PLANS:
        largest = 0
        shares = []
        costs = []
        for pixels, whole in pictures:
            tiled, cost = restored(engine, pixels, side, halo)
            difference = np.abs(tiled.astype(int) - whole.astype(int)).max(axis=2)
            largest = max(largest, int(difference.max()))
            shares.append(float((difference > 1).mean()))
            costs.append(cost)
        figures = f"largest {largest:3}, above 1: {np.mean(shares):.1e} (worst {max(shares):.1e})"
        print(f"window {side:5} px, halo {halo:4} px: {figures}, network x {np.mean(costs):.2f}")


def restored(engine: Engine, pixels: Pixels, side: int, halo: int) -> tuple[Pixels, float]:
    """The picture restored in windows, and pixels that the network saw for each of its own."""
    height, width = pixels.shape[:2]
    grid = Grid(height, width)
    cells = range(len(grid))
    windows = plan_windows(
        grid, cells, side=1024, halo=halo, multiple=engine.multiple, most=side**2
    )
    tiles = []
    seen = 0
    for window in windows:
        (of_window,) = engine.restore([window], [window.cut(pixels)])
        tiles += [tile.pixels for tile in of_window]
        seen += window.shape[0] * window.shape[1]
    return blend(pixels, grid, cells, tiles_of(windows), tiles), seen / (height * width)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--restorer", default="restorer")
    given = parser.parse_args()
    main(given.pictures, given.restorer)
