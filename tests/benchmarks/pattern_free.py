"""How near the truth a picture of `demoire simulate` is that never had moiré: what a restorer can
at most be asked for.

    python tests/benchmarks/pattern_free.py CLEAN [COUNT]

The pairs are those of `demoire simulate CLEAN pairs --kind K --count COUNT --seed 1 --split test`.
Each is developed once more, with the same noise, resizing and compression, out of the light without
the pattern. PSNR in dB of the picture with moiré, of its best blur, of the one that never had the
pattern, and of the best blur of that, which takes some noise away.
"""

import copy
import sys
from pathlib import Path

import numpy as np

from demoire.measure.blur import oracle_blur
from demoire.measure.likeness import psnr
from demoire.moire import KINDS
from demoire.simulate.capture import develop
from demoire.simulate.pairs import clean_images, pair_scene
from demoire.simulate.simulator import draw_capture

SIZE, SEED = 512, 1


def main(clean: Path, count: int) -> None:
    """Print a row for each kind, the mean over its pairs."""
    files = clean_images(clean, "test")
    print(f"{'kind':10}{'moire':>8}{'blur':>8}{'free':>8}{'free, blurred':>15}")
    for kind in KINDS[1:]:
        rows = []
        for index in range(count):
            rng = np.random.default_rng([SEED, index])
            scene = pair_scene(files, kind, SIZE, rng).scene
            capture = draw_capture(kind, scene, SIZE, rng)
            light, development = capture.without, capture.development
            free, _ = develop(light, light, SIZE, development, copy.deepcopy(rng))
            moire, truth = develop(capture.with_moire, light, SIZE, development, rng)
            pictures = moire, oracle_blur(moire, truth)[0], free, oracle_blur(free, truth)[0]
            rows.append([min(60.0, psnr(picture, truth)) for picture in pictures])
        means = np.mean(rows, axis=0)
        print(f"{kind:10}{means[0]:8.2f}{means[1]:8.2f}{means[2]:8.2f}{means[3]:15.2f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40)
