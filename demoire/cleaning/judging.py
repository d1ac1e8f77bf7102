"""Pictures through the detector, outside of any run that cleans them.

The engine fills up short batches, and a small picture has few cells. So several pictures share the
batches: what an icon costs by itself is enough for a dozen of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import Grid
from demoire.cleaning.image_job import K
from demoire.cleaning.result import Detection
from demoire.cleaning.turns import (
    FURTHER_TURNS,
    cells_in_doubt,
    quarter_turned,
    with_further_looks,
)
from demoire.cleaning.verdict import Rules, can_be_judged, detection_from
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.guard import decode_guarded
from demoire.imaging.images import open_image
from demoire.moire import KINDS

_CELLS_AT_ONCE = 64  # so that a large picture does not lie in memory a second time


def judge_files(
    engine: Engine, rules: Rules, items: Iterable[tuple[K, FileBytes | ImageError]]
) -> Iterator[tuple[K, Detection | ImageError]]:
    """Judge image files, as many together as make a few batches.

    Args:
        engine: Has the detector.
        rules: The thresholds, and how large a picture may be.
        items: A key of the caller's and a file's bytes each, or why there are none.

    Returns:
        Each key in the order given, with what the detector says, or why the file cannot be decoded.
    """
    group: list[tuple[K, Pixels | ImageError]] = []
    cells = 0
    for key, data in items:
        pixels = _decoded(data, rules)
        group.append((key, pixels))
        cells += 1 if isinstance(pixels, ImageError) else len(Grid(*pixels.shape[:2]))
        if cells >= _CELLS_AT_ONCE:
            yield from _detections(engine, rules, group)
            group = []
            cells = 0
    yield from _detections(engine, rules, group)


def _decoded(data: FileBytes | ImageError, rules: Rules) -> Pixels | ImageError:
    if isinstance(data, ImageError):
        return data
    try:
        picture = decode_guarded(
            open_image(data), max_megapixels=rules.max_megapixels, max_side=rules.max_side
        )
    except ImageError as error:
        return error
    return picture.pixels


def _detections(
    engine: Engine, rules: Rules, group: Sequence[tuple[K, Pixels | ImageError]]
) -> Iterator[tuple[K, Detection | ImageError]]:
    pictures = [pixels for _, pixels in group if not isinstance(pixels, ImageError)]
    judged = iter(cell_probabilities(engine, pictures, rules))
    for key, pixels in group:
        if isinstance(pixels, ImageError):
            yield key, pixels
        else:
            yield key, detection_from(next(judged), rules)


def cell_probabilities(
    engine: Engine, pictures: Sequence[Pixels], rules: Rules
) -> list[NDArray[np.float32]]:
    """What the detector says of each cell of each picture.

    Args:
        engine: Has the detector.
        pictures: (H, W, 1 or 3) uint8 or uint16 each.
        rules: When a picture is in doubt, so that it is looked at in further turns.

    Returns:
        For each picture (cells, 4) in the order of `KINDS`; no rows where it is too small to be
        judged.
    """
    counts = []
    for pixels in pictures:
        height, width = pixels.shape[:2]
        counts.append(len(Grid(height, width)) if can_be_judged(height, width) else 0)
    looks = _judged(engine, _first_looks(pictures, counts))
    judged = _parts(looks, counts)
    doubtful = [cells_in_doubt(probabilities, rules) for probabilities in judged]
    looks = _judged(engine, _further_looks(pictures, doubtful))
    further = _parts(looks, [len(FURTHER_TURNS) * len(cells) for cells in doubtful])
    for number, cells in enumerate(doubtful):
        if cells:
            turns = np.split(further[number], len(FURTHER_TURNS))
            judged[number] = with_further_looks(judged[number], cells, turns)
    return judged


def _first_looks(pictures: Sequence[Pixels], counts: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    for pixels, count in zip(pictures, counts, strict=True):
        grid = Grid(*pixels.shape[:2])
        for cell in range(count):
            yield grid.view(pixels, cell)


def _further_looks(
    pictures: Sequence[Pixels], doubtful: Sequence[Sequence[int]]
) -> Iterator[NDArray[np.uint8]]:
    """The cells of each picture that are in doubt, turn by turn."""
    for pixels, cells in zip(pictures, doubtful, strict=True):
        grid = Grid(*pixels.shape[:2])
        for turn in FURTHER_TURNS:
            for cell in cells:
                yield quarter_turned(grid.view(pixels, cell), turn)


def _judged(engine: Engine, views: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What the detector says of each view: (views, 4)."""
    rest = iter(views)
    judged = [np.zeros((0, len(KINDS)), np.float32)]
    while batch := list(islice(rest, _CELLS_AT_ONCE)):
        judged.append(engine.judge(batch))
    return np.concatenate(judged)


def _parts(rows: NDArray[np.float32], counts: Sequence[int]) -> list[NDArray[np.float32]]:
    """The rows of each picture, of which there are so many."""
    parts = []
    start = 0
    for count in counts:
        parts.append(rows[start : start + count])
        start += count
    return parts
