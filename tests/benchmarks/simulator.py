"""How many pairs of 256 px the simulators make in a second of one core, with and without reading
and preparing a scene.

    python tests/benchmarks/simulator.py CLEAN

CLEAN: a folder of clean images, of which the training split is taken. Processor time is measured,
so that other work on the machine disturbs little.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from demoire.moire import KINDS
from demoire.simulate.simulator import simulate
from demoire.training.config import DataConfig
from demoire.training.data import PairSource

PAIRS = 60


def main(images: Path) -> None:
    """Print the figures of each kind, and of equal shares of all."""
    cv2.setNumThreads(1)
    config = DataConfig(size=256)
    source = PairSource(images, "train", config)
    seconds = []
    for kind in KINDS:
        spent = np.zeros(2)
        for number in range(PAIRS):
            rng = np.random.default_rng([5, number])
            begun = time.process_time()
            scene = source.scene(kind, rng)
            ready = time.process_time()
            simulate(kind, scene, config.size, rng)
            spent += time.process_time() - begun, time.process_time() - ready
        seconds.append(spent / PAIRS)
        print(
            f"{kind:10} {1 / seconds[-1][0]:6.1f} a second, "
            f"{1 / seconds[-1][1]:6.1f} without the scene"
        )
    both = 1 / np.mean(seconds, axis=0)
    print(f"{'all':10} {both[0]:6.1f} a second, {both[1]:6.1f} without the scene")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
