"""How fast this machine cleans, told in a few seconds: what a dry run reckons its hours with.

Two of the bench's pictures, one of them with moiré, go through the whole cleaner a few times.
`demoire bench` measures the same and more with care, in two minutes. Once a run has worked under
DST, its own rate is better than either.
"""

import time
from collections.abc import Iterator, Sequence

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.freed_memory import keep_freed_memory
from demoire.cleaning.threads import use_threads
from pipelines.bench.collection import Extent, draw_pictures

_DRAWN = Extent(pictures=2, width=1200)
# Pictures in the first look, which also warms up. The second look takes as many as fit the time.
_AT_ONCE = 4
_SECONDS = 4.0  # about how long is measured, after the first look


def cleaning_rate(config: CleanerConfig) -> float:
    """Megapixels a second of one process with all cores (or one GPU).

    Args:
        config: How to clean. Half of the pictures have moiré.

    Raises:
        UsageError: The configuration cannot be used here.
        WeightsError: The weights cannot be used.
    """
    use_threads(config.threads)
    keep_freed_memory()
    cleaner = Cleaner(config)
    pictures = draw_pictures(_DRAWN)
    first_look = _timed(cleaner, pictures, _AT_ONCE)
    fitting = int(first_look * _SECONDS / _DRAWN.megapixels)
    return _timed(cleaner, pictures, max(_AT_ONCE, fitting))


def _timed(cleaner: Cleaner, pictures: Sequence[bytes], count: int) -> float:
    """MP/s over `count` pictures, taken in turn."""

    def items() -> Iterator[tuple[int, bytes]]:
        for number in range(count):
            yield number, pictures[number % len(pictures)]

    start = time.perf_counter()
    done = sum(1 for _ in cleaner.clean_many(items()))
    return done * _DRAWN.megapixels / (time.perf_counter() - start)
