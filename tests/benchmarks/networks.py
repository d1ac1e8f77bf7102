"""Megapixels a second of every shipped network and of one process that cleans, without Ray: on a GPU, or on the CPU.

    python tests/benchmarks/networks.py [DEVICE [WEIGHTS ...]]

DEVICE: as of `demoire clean --device`, by default the first GPU if there is one. WEIGHTS: of restorers beside the
shipped ones. "alone" is the network on pixels that lie on the device; "engine" reads pixels from memory and brings the
change back; "cleaning" decodes, judges, restores and encodes drawn pictures of 1.5 MP, half of them with moiré, with as
many threads as there are cores.
"""

import sys

import numpy as np

from demoire.cleaner import Cleaner, CleanerConfig, load_models
from demoire.engine import Engine, find_device
from demoire.tiles import CELL, Grid, plan_tiles
from demoire.weights import DETECTOR, find_weights, shipped_weights
from pipelines.ceilings import network_rate, rate
from pipelines.speed import cleaning_rate

SECONDS = 2.0
SIDE = 2048  # px, of the picture that engines are measured on


def main(device_name: str, others: list[str]) -> None:
    """Print the figures."""
    device = find_device(device_name)
    print(Cleaner(CleanerConfig(device=str(device))).device_name)
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    grid, megapixels = Grid(SIDE, SIDE), SIDE**2 / 1e6
    restorers = [name for name in shipped_weights() if find_weights(name).architecture != DETECTOR]
    for name in [*restorers, *others]:
        config = CleanerConfig(device=str(device), restorer=name)
        models = load_models(config, device)
        engine = Engine(models.detector, models.restorer, device)
        side = config.tile + 2 * engine.halo
        shape = (max(1, engine.batch_pixels // side**2), side, side)
        alone = network_rate(models.restorer, shape, device, SECONDS, bfloat16=engine.restores_in_bfloat16)
        tiles = plan_tiles(grid, range(len(grid)), side=config.tile, halo=engine.halo, multiple=engine.multiple)
        windows: dict[tuple[int, ...], list] = {}
        for tile in tiles:
            windows.setdefault(tile.shape, []).append((tile, tile.cut(picture)))

        def restored(engine: Engine = engine, windows: dict = windows) -> float:
            for alike in windows.values():
                engine.restore([tile for tile, _ in alike], [window for _, window in alike])
            return megapixels

        whole = cleaning_rate(config)
        print(f"{name[-16:]:16} alone {alone:7.1f}, engine {rate(restored, SECONDS):7.1f}, cleaning {whole:6.1f} MP/s")
    shape = (engine.batch_pixels // CELL**2, CELL, CELL)
    alone = network_rate(models.detector, shape, device, SECONDS, bfloat16=engine.judges_in_bfloat16)
    cells = [grid.view(picture, cell) for cell in range(len(grid))]
    judged = rate(lambda: megapixels * bool(len(engine.judge(cells))), SECONDS)
    print(f"{'detector':16} alone {alone:7.1f}, engine {judged:7.1f} MP/s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto", sys.argv[2:])
