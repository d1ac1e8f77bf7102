"""Lanes blend restored tiles, write the file, and measure what has changed in it."""

import logging
import math
import queue
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic

import cv2
import numpy as np

from demoire.cleaning.events import Event, FromEncoder, MachineFailed
from demoire.cleaning.gain import pattern_share
from demoire.cleaning.grid import Grid
from demoire.cleaning.image_job import (
    BeingRestored,
    Copied,
    ImageJob,
    K,
    Restoration,
    Written,
    grid_of,
)
from demoire.cleaning.lanes import Lanes
from demoire.cleaning.lettering import leave_lettering_alone
from demoire.cleaning.verdict import (
    Rules,
    are_certain,
    is_doubted_artwork,
    looks_like_pattern,
)
from demoire.errors import ImageError, MachineError
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.guard import encode_verified
from demoire.imaging.room import are_equal
from demoire.measure import likeness
from demoire.reasons import Reason

_LOG = logging.getLogger(__name__)


class Encoding(Generic[K]):
    """The images of one run whose tiles are all restored.

    Args:
        rules: How images are cleaned.
        lanes: Write them.
        events: Where lanes report.
    """

    def __init__(self, rules: Rules, lanes: Lanes, events: "queue.SimpleQueue[Event[K]]") -> None:
        self._rules = rules
        self._lanes = lanes
        self._events = events
        self._waiting: deque[ImageJob[K]] = deque()

    def add(self, job: ImageJob[K]) -> None:
        """Let an image wait whose tiles are all restored."""
        self._waiting.append(job)

    def begin(self) -> None:
        """Give images to lanes while they have room."""
        while self._waiting and self._lanes.have_room:
            job = self._waiting.popleft()
            self._lanes.begin(partial(self._run, job))

    def _run(self, job: ImageJob[K]) -> None:
        start = time.perf_counter()
        try:
            assert isinstance(job.state, BeingRestored)
            job.state = put_together(job.state, self._rules)
        except ImageError as error:
            job.fail(error)
        except MachineError as error:
            self._events.put(MachineFailed(error))
            return
        except Exception as error:
            _LOG.exception("Image %r could not be put together.", job.key)
            message = f"The cleaned image could not be put together: {error}"
            job.fail(ImageError(Reason.CLEANING_FAILED, message))
        job.spend("encode", time.perf_counter() - start)
        self._events.put(FromEncoder(job))


def put_together(state: BeingRestored, rules: Rules) -> Written | Copied:
    """Blend all tiles of an image into it, write the file, and measure what is changed in that.

    An image from which something else than a pattern would be taken is copied. Screens show
    through all that is photographed with them; dots are printed in pictures and tints alone.

    Raises:
        ImageError: The file cannot be written, or not be read again.
    """
    decision = state.decision
    picture = decision.picture
    old = picture.pixels
    new = state.blending.finished()
    if are_equal(old, new):
        return Copied(reason=None, detection=decision.detection)
    if not rules.restore_all:
        share = pattern_share(old, new, grid_of(picture), decision.flagged)
        if not looks_like_pattern(share):
            return Copied(Reason.NO_GAIN, decision.detection)
        if decision.detection.moire < rules.sure:
            change = _change_of_cells(old, new, grid_of(picture), decision.flagged)
            if is_doubted_artwork(change, share):
                return Copied(Reason.DRAWN_PATTERN, decision.detection)
        if decision.detection.kind == "halftone":
            grid = grid_of(picture)
            certain = are_certain(decision.probabilities, rules)
            leave_lettering_alone(old, new, grid, certain.reshape(grid.shape))
            if are_equal(old, new):
                return Copied(Reason.NO_GAIN, decision.detection)
    written = encode_verified(picture, new, rules.note)
    if are_equal(old, written.pixels):  # coding has undone what little was changed
        return Copied(Reason.NO_GAIN, decision.detection)
    figures = _Figures.of(old, written.pixels)
    restoration = Restoration(
        pixels=written.pixels,
        psnr=figures.psnr,
        ssim=figures.ssim,
        colour_shift=figures.colour_shift,
        data=written.data,
    )
    return Written(decision, restoration)


def _change_of_cells(old: Pixels, new: Pixels, grid: Grid, cells: Sequence[int]) -> float:
    """How much these cells differ, root mean square of full scale."""
    squares = 0.0
    samples = 0
    for cell in cells:
        here = grid.box(cell).slices
        old_cell = np.ascontiguousarray(old[here])
        squares += cv2.norm(old_cell, np.ascontiguousarray(new[here]), cv2.NORM_L2) ** 2
        samples += old_cell.size
    return math.sqrt(squares / samples) / float(np.iinfo(old.dtype).max)


@dataclass(frozen=True)
class _Figures:
    """How much a picture was changed."""

    psnr: float
    ssim: float
    colour_shift: float

    @classmethod
    def of(cls, old: Pixels, new: Pixels) -> "_Figures":
        return cls(
            psnr=likeness.psnr(old, new),
            ssim=likeness.block_ssim(old, new),
            colour_shift=likeness.colour_difference(old, new),
        )
