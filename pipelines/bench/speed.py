"""How fast this machine cleans, told in some seconds: what the hours of a dry run are reckoned
with.

Two of the bench's pictures, one of them with moiré, go through the whole Cleaner a few times;
`demoire bench` measures the same and more with care, in two minutes. Once a run has worked under
DST, its own rate is better than either.
"""

import time
from collections.abc import Iterator, Sequence

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.threads import use_threads
from pipelines.bench.collection import Extent, draw_pictures

_DRAWN = Extent(pictures=2, width=1200)
# pictures in the first look, which also warms up; the second takes as many as fit the time
_AT_ONCE = 4


def cleaning_rate(config: CleanerConfig, seconds: float = 4.0) -> float:
    """Megapixels a second of one process with all cores (or one GPU), half of the pictures with
    moiré.

    Raises UsageError or WeightsError where the configuration cannot be used here.
    """
    use_threads(config.threads)
    cleaner, pictures = Cleaner(config), draw_pictures(_DRAWN)
    first = _timed(cleaner, pictures, _AT_ONCE)
    return _timed(cleaner, pictures, max(_AT_ONCE, int(first * seconds / _DRAWN.megapixels)))


def _timed(cleaner: Cleaner, pictures: Sequence[bytes], count: int) -> float:
    def items() -> Iterator[tuple[int, bytes]]:
        for number in range(count):
            yield number, pictures[number % len(pictures)]

    start = time.perf_counter()
    done = sum(1 for _ in cleaner.clean_many(items()))
    return done * _DRAWN.megapixels / (time.perf_counter() - start)
