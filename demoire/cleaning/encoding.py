"""Threads that blend restored tiles, measure what has changed, and write the file.

On a CPU they take turns with the model, each with all cores: a layer is as slow as the slowest of
the threads that share it, so a single image that is encoded beside the model would hold up all of
them. Beside a GPU they run whenever there is something to do.
"""

import logging
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

import torch

from demoire.cleaning.decoding import THREADS
from demoire.cleaning.events import Event, FromEncoder, MachineFailed
from demoire.cleaning.gain import pattern_share
from demoire.cleaning.image_job import (
    BeingRestored,
    Copied,
    ImageJob,
    K,
    Restoration,
    Written,
    grid_of,
)
from demoire.cleaning.lettering import leave_lettering_alone
from demoire.cleaning.verdict import Rules, looks_like_pattern
from demoire.errors import ImageError, MachineError
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.guard import encode_verified
from demoire.imaging.room import is_large
from demoire.measure import likeness
from demoire.reasons import Reason

_LOG = logging.getLogger(__name__)


class Encoding(Generic[K]):
    """The encoding threads of one run.

    Args:
        rules: How images are cleaned.
        events: Where they report.
        takes_turns: The models need the same cores.
    """

    def __init__(
        self, rules: Rules, events: "queue.SimpleQueue[Event[K]]", *, takes_turns: bool
    ) -> None:
        self._rules = rules
        self._takes_turns = takes_turns
        self._threads = torch.get_num_threads() if self._takes_turns else THREADS
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="demoire-encode")
        self._events = events
        self._waiting: list[ImageJob[K]] = []
        self._at_work = 0  # images that are with the threads

    @property
    def has_its_turn(self) -> bool:
        """Whether the model has to wait for these threads."""
        return self._takes_turns and self._at_work > 0

    def add(self, job: ImageJob[K]) -> None:
        """Let an image wait whose tiles are all restored."""
        self._waiting.append(job)

    def start(self, *, model_has_work: bool) -> None:
        """Start on all images that wait.

        Where turns are taken, not before there are enough of them for all threads, or nothing left
        for the model.
        """
        enough = len(self._waiting) >= self._threads or not model_has_work
        if self._takes_turns and not enough:
            return
        for job in self._waiting:
            self._pool.submit(self._run, job)
        self._at_work += len(self._waiting)
        self._waiting.clear()

    def note_end(self) -> None:
        """Count one image as finished; called when its event is taken."""
        self._at_work -= 1

    def stop(self) -> None:
        """Begin no further image, and wait for those at work."""
        self._pool.shutdown(wait=True, cancel_futures=True)

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
    """Blend all tiles of an image into it, measure the change, and write the file.

    An image from which something else than a pattern would be taken is copied. Screens show
    through all that is photographed with them; dots are printed in pictures and tints alone.

    Raises:
        ImageError: The file cannot be written, or not be read again.
    """
    decision = state.decision
    picture = decision.picture
    old = picture.pixels
    new = state.blending.finished()
    if likeness.are_equal(old, new):
        return Copied(reason=None, detection=decision.detection)
    if not rules.restore_all:
        share = pattern_share(old, new, grid_of(picture), decision.flagged)
        if not looks_like_pattern(share):
            return Copied(Reason.NO_GAIN, decision.detection)
        if decision.detection.kind == "halftone":
            grid = grid_of(picture)
            certain = decision.probabilities[:, 0] <= 1 - rules.threshold
            leave_lettering_alone(old, new, grid, certain.reshape(grid.shape))
            if likeness.are_equal(old, new):
                return Copied(Reason.NO_GAIN, decision.detection)
    if is_large(old):
        # It may be the only picture in flight, so it keeps two cores busy by itself.
        with ThreadPoolExecutor(1, thread_name_prefix="demoire-measure") as beside:
            measuring = beside.submit(_Figures.of, old, new)
            written = encode_verified(picture, new, rules.note)
            figures = measuring.result()
    else:
        figures = _Figures.of(old, new)
        written = encode_verified(picture, new, rules.note)
    restoration = Restoration(
        pixels=written.pixels,
        psnr=figures.psnr,
        ssim=figures.ssim,
        colour_shift=figures.colour_shift,
        data=written.data,
    )
    return Written(decision, restoration)


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
