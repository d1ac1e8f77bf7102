"""How fast this machine cleans, told in some seconds: what the hours of a dry run are reckoned with.

One drawn picture of 1 MP, half of them with moiré, goes through the whole Cleaner a few times; `demoire bench` measures
the same and more with care, in two minutes. Once a run has worked under DST, its own rate is better than either.
"""

import io
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

from demoire.cleaner import Cleaner, CleanerConfig
from demoire.simulate import simulate
from demoire.simulate.scenes import SCENES

_SIDE = 1024  # px
_AT_ONCE = 4  # pictures in the first look, which also warms up; the second takes as many as fit the time


def cleaning_rate(config: CleanerConfig, seconds: float = 4.0) -> float:
    """Megapixels a second of one process with all cores (or one GPU), half of the pictures with moiré.

    Raises UsageError or WeightsError where the configuration cannot be used here.
    """
    cleaner = Cleaner(config)
    pictures = [_jpeg(moire) for moire in (True, False)]
    first = _timed(cleaner, pictures, _AT_ONCE)
    return _timed(cleaner, pictures, max(_AT_ONCE, int(first * seconds / _MEGAPIXELS)))


_MEGAPIXELS = _SIDE**2 / 1e6


def _timed(cleaner: Cleaner, pictures: list[bytes], count: int) -> float:
    def items() -> Iterator[tuple[int, bytes]]:
        for number in range(count):
            yield number, pictures[number % len(pictures)]

    start = time.perf_counter()
    done = sum(1 for _ in cleaner.clean_many(items()))
    return done * _MEGAPIXELS / (time.perf_counter() - start)


def _jpeg(moire: bool) -> bytes:
    rng = np.random.default_rng(1)
    pixels = SCENES["photograph"](rng, _SIDE, _SIDE)
    if moire:
        pixels = simulate("screen", pixels, _SIDE, rng).moire
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()
