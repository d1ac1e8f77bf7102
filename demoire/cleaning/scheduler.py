"""Decode, model and encode of many images, overlapped.

Decoding threads feed the model, which runs in the thread that asks for results, on batches of cells
and tiles gathered across images; encoding threads blend, measure and write. What is decoded at one
time is bounded in megapixels, so memory does not grow with the number of images: about 16 MB for
each MP. No queue has a bound besides: every image in flight is in one place at a time, and the next
is decoded when one has left.

On a CPU the model and the encoding threads take turns, each with all cores: a layer is as slow as
the slowest of the threads that share it, so one image that is encoded beside the model would hold
up all of them.
"""

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic

import numpy as np
import torch
from numpy.typing import NDArray

from demoire.cleaning.blend import blend
from demoire.cleaning.budget import _IN_FLIGHT_MP, _Budget
from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import plan_tiles
from demoire.cleaning.image_job import K, _Job, _Restored, _shown
from demoire.cleaning.result import Cleaned, Detection, Stage, Status
from demoire.cleaning.verdict import Rules, _can_be_judged, _detection, _grid_of, _is_sound
from demoire.errors import ImageError
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import open_image
from demoire.measure import likeness
from demoire.moire import CELL, KINDS
from demoire.reasons import Reason

_LOG = logging.getLogger(__name__)
# that decode, and beside a GPU as many that encode
_THREADS = max(2, min(8, (os.cpu_count() or 2) // 2))
_CELLS_AT_ONCE = 64


def detect(engine: Engine, rules: Rules, data: bytes) -> Detection:
    """Judge one image file without cleaning it. Raises ImageError."""
    picture = decode_guarded(
        open_image(data), max_megapixels=rules.max_megapixels, max_side=rules.max_side
    )
    grid = _grid_of(picture)
    cells = range(len(grid)) if _can_be_judged(picture) else range(0)
    found: list[NDArray[np.float32]] = []
    for start in range(0, len(cells), _CELLS_AT_ONCE):
        found += list(
            engine.judge(
                [grid.view(picture.pixels, i) for i in cells[start : start + _CELLS_AT_ONCE]]
            )
        )
    return _detection(np.array(found), rules)


class Stages(Generic[K]):
    """One run over many images."""

    def __init__(self, engine: Engine, rules: Rules, items: Iterable[tuple[K, bytes]]) -> None:
        self._engine = engine
        self._rules = rules
        self._items = iter(items)
        self._feeding = threading.Lock()
        self._exhausted = False
        self._source_error: Exception | None = None
        self._budget = _Budget(_IN_FLIGHT_MP[engine.device.type])
        # None: a decoding thread has ended
        self._events: queue.SimpleQueue[_Job[K] | None] = queue.SimpleQueue()
        self._cells: deque[tuple[_Job[K], int]] = deque()
        self._tiles: dict[tuple, deque[tuple[_Job[K], int]]] = {}  # by shape and type of the window
        self._takes_turns = engine.device.type == "cpu"
        self._encoding_threads = torch.get_num_threads() if self._takes_turns else _THREADS
        self._restored_jobs: list[_Job[K]] = []  # that wait to be encoded
        self._encoding = 0  # jobs that are with the encoding threads
        self._ready: deque[tuple[K, Cleaned]] = deque()
        self._jobs = 0  # decoded and not ready

    def results(self) -> Iterator[tuple[K, Cleaned]]:
        """Run, and give each result as soon as it is there."""
        readers = [
            threading.Thread(target=self._read, name=f"demoire-decode-{i}") for i in range(_THREADS)
        ]
        with ThreadPoolExecutor(
            self._encoding_threads, thread_name_prefix="demoire-encode"
        ) as self._encoders:
            try:
                for reader in readers:
                    reader.start()
                reading = len(readers)
                while reading or self._jobs:
                    reading -= self._take_events(wait=not self._is_models_turn())
                    if self._is_models_turn():
                        self._run_model()
                        self._start_encoding()
                    while self._ready:
                        yield self._ready.popleft()
            finally:
                self._exhausted = True
                self._budget.close()
                self._encoders.shutdown(wait=False, cancel_futures=True)
                for reader in readers:
                    if reader.ident is not None:
                        reader.join()
        if self._source_error is not None:
            raise self._source_error

    # In the decoding threads

    def _read(self) -> None:
        while (job := self._next_job()) is not None:
            if job.error is None:
                self._decode(job)
            self._events.put(job)
        self._events.put(None)

    def _next_job(self) -> _Job[K] | None:
        """The next image, once there is room for its pixels; the lock keeps images in their order
        while they wait.
        """
        with self._feeding:
            if self._exhausted:
                return None
            try:
                job = _Job(*next(self._items))
            except StopIteration:
                self._exhausted = True
                return None
            except Exception as error:  # the caller's own, given back to the caller
                self._exhausted, self._source_error = True, error
                return None
            job.error = self._tried(job, self._probe)
            return (
                job
                if self._budget.take(id(job), job.facts.megapixels if job.facts else 0.0)
                else None
            )

    def _decode(self, job: _Job[K]) -> None:
        start = time.perf_counter()
        job.error = self._tried(job, self._look_into)
        job.spent("decode", time.perf_counter() - start)

    def _probe(self, job: _Job[K]) -> None:
        job.opened = open_image(job.data)
        job.facts = job.opened.facts

    def _look_into(self, job: _Job[K]) -> None:
        rules = self._rules
        assert job.opened is not None
        job.picture = decode_guarded(
            job.opened, max_megapixels=rules.max_megapixels, max_side=rules.max_side
        )
        job.opened = None  # it holds the decoder's own copy of the pixels

    def _tried(self, job: _Job[K], step: Callable[[_Job[K]], None]) -> ImageError | None:
        """What is wrong with the image, if anything is: no exception may end a thread that others
        wait for.
        """
        try:
            step(job)
        except ImageError as error:
            return error
        except Exception as error:
            _LOG.exception("Image %r could not be decoded.", job.key)
            return ImageError(Reason.DECODE_FAILED, f"The image cannot be decoded: {error!r}.")
        return None

    # In the encoding threads

    def _encode(self, job: _Job[K]) -> None:
        start = time.perf_counter()
        try:
            job.restored = self._restored(job)
        except ImageError as error:
            job.error = error
        except Exception as error:
            _LOG.exception("Image %r could not be put together.", job.key)
            job.error = ImageError(
                Reason.CLEANING_FAILED, f"The cleaned image could not be put together: {error}"
            )
        job.changes.clear()
        job.spent("encode", time.perf_counter() - start)
        self._events.put(job)

    def _restored(self, job: _Job[K]) -> _Restored | None:
        """None where nothing has changed."""
        old = job.content.pixels
        changes = [job.changes[i] for i in range(len(job.tiles))]
        new = blend(old, _grid_of(job.content), job.flagged, job.tiles, changes)
        if np.array_equal(old, new):
            return None
        figures = (
            likeness.psnr(old, new),
            likeness.ssim(old, new),
            likeness.colour_difference(old, new),
        )
        return _Restored(new, encode_verified(job.content, new), *figures)

    # In the thread that asks for results

    def _take_events(self, *, wait: bool) -> int:
        """Take all events that are there, at least one if told to wait; returns how many decoding
        threads ended.
        """
        ended = 0
        while True:
            try:
                job = self._events.get(block=wait)
            except queue.Empty:
                return ended
            wait = False
            if job is None:
                ended += 1
                continue
            if job.detection is None:
                self._jobs += 1
            else:
                self._encoding -= 1
            self._advance(job)

    def _advance(self, job: _Job[K]) -> None:
        """What comes next for an image that was decoded, or blended and written."""
        if job.error is not None:
            self._give_back(job, job.error)
        elif job.detection is None:
            cells = range(len(_grid_of(job.content)) if _can_be_judged(job.content) else 0)
            job.probabilities = np.zeros((len(cells), len(KINDS)), np.float32)
            job.in_model = len(cells)
            self._cells.extend((job, cell) for cell in cells)
            if not cells:
                self._decide(job)
        elif job.restored is None:
            self._copy(job, None)
        elif job.detection.tiles:
            job.in_model = len(job.flagged)
            # first, so that the image can leave
            self._cells.extendleft((job, cell) for cell in job.flagged)
        else:
            self._conclude(job)

    def _decide(self, job: _Job[K]) -> None:
        """Copy, or send the flagged cells to the restorer."""
        picture, rules = job.content, self._rules
        job.detection = _detection(job.probabilities, rules)
        grid = _grid_of(picture)
        job.flagged = tuple(range(len(grid))) if rules.restore_all else job.detection.flagged
        if picture.obstacle or not job.flagged:
            self._copy(job, picture.obstacle)
            return
        job.tiles = plan_tiles(
            grid,
            job.flagged,
            side=rules.tile,
            halo=self._engine.halo,
            multiple=self._engine.multiple,
        )
        job.in_model = len(job.tiles)
        for index, tile in enumerate(job.tiles):
            group = (tile.shape, picture.pixels.shape[2], picture.pixels.dtype)
            self._tiles.setdefault(group, deque()).append((job, index))

    def _has_model_work(self) -> bool:
        return bool(self._cells or self._tiles)

    def _is_models_turn(self) -> bool:
        return self._has_model_work() and not (self._takes_turns and self._encoding)

    def _start_encoding(self) -> None:
        """Of all that waits; where turns are taken, once there is enough for all threads or nothing
        for the model.
        """
        waiting = self._restored_jobs
        if self._takes_turns and len(waiting) < self._encoding_threads and self._has_model_work():
            return
        for job in waiting:
            self._encoders.submit(self._encode, job)
        self._encoding += len(waiting)
        waiting.clear()

    def _run_model(self) -> None:
        """One batch: of tiles if one is full, else of cells, else of what tiles there are."""
        size = self._engine.batch_pixels
        full = next(
            (group for group, tiles in self._tiles.items() if len(tiles) * _area(group) >= size),
            None,
        )
        if full is None and self._cells:
            self._judge(
                [
                    self._cells.popleft()
                    for _ in range(min(len(self._cells), max(1, size // CELL**2)))
                ]
            )
        elif self._tiles:
            group = full or next(iter(self._tiles))
            waiting = self._tiles[group]
            count = min(len(waiting), max(1, size // _area(group)))
            self._restore([waiting.popleft() for _ in range(count)])
            if not waiting:
                del self._tiles[group]

    def _judge(self, batch: Sequence[tuple[_Job[K], int]]) -> None:
        batch = [(job, cell) for job, cell in batch if not job.done]
        if not batch:
            return
        start = time.perf_counter()
        views = [_grid_of(job.content).view(_shown(job), cell) for job, cell in batch]
        try:
            found = self._engine.judge(views)
        except Exception as error:
            self._one_by_one(batch, self._judge, error)
            return
        share = (time.perf_counter() - start) / len(batch)
        for (job, cell), probabilities in zip(batch, found, strict=True):
            job.probabilities[cell] = probabilities
            job.spent("detect", share)
            job.in_model -= 1
            if not job.in_model:
                (self._decide if job.detection is None else self._conclude)(job)

    def _restore(self, batch: Sequence[tuple[_Job[K], int]]) -> None:
        batch = [(job, index) for job, index in batch if not job.done]
        if not batch:
            return
        start = time.perf_counter()
        tiles = [job.tiles[index] for job, index in batch]
        try:
            windows = [
                tile.cut(job.content.pixels) for tile, (job, _) in zip(tiles, batch, strict=True)
            ]
            changes = self._engine.restore(tiles, windows)
        except Exception as error:
            self._one_by_one(batch, self._restore, error)
            return
        share = (time.perf_counter() - start) / len(batch)
        for (job, index), change in zip(batch, changes, strict=True):
            job.spent("restore", share)
            job.changes[index] = change
            job.in_model -= 1
            if not job.done and not _is_sound(
                change, job.content.pixels[job.tiles[index].reach.slices]
            ):
                self._give_back(
                    job, ImageError(Reason.CLEANING_FAILED, "The restorer gave no usable picture.")
                )
            elif not job.done and not job.in_model:
                self._restored_jobs.append(job)

    def _one_by_one(self, batch, run, error: Exception) -> None:  # type: ignore[no-untyped-def]
        """Run a failed batch again singly, so that what is wrong with one image does not fall on
        the others.
        """
        if len(batch) > 1:
            for one in batch:
                run([one])
            return
        _LOG.error("The model failed on image %r.", batch[0][0].key, exc_info=error)
        self._give_back(
            batch[0][0],
            ImageError(Reason.CLEANING_FAILED, f"The model failed on this image: {error}"),
        )

    # The ends of the way

    def _conclude(self, job: _Job[K]) -> None:
        assert job.restored is not None
        after = _detection(job.probabilities, self._rules).moire if len(job.probabilities) else None
        self._leave(job, "cleaned", None, job.restored, after)

    def _copy(self, job: _Job[K], reason: str | None) -> None:
        self._leave(job, "copied", reason)

    def _give_back(self, job: _Job[K], error: ImageError) -> None:
        self._leave(
            job, "copied" if error.reason == "unsupported_format" else "quarantined", error.reason
        )

    def _leave(
        self,
        job: _Job[K],
        status: Status,
        reason: str | None,
        restored: _Restored | None = None,
        after: float | None = None,
    ) -> None:
        seen = job.detection if job.detection is not None and job.detection.tiles else None
        result = Cleaned(
            data=restored.data if restored else job.data,
            status=status,
            reason=reason,
            facts=job.facts,
            moire_before=seen.moire if seen else None,
            moire_after=after,
            moire_kind=seen.kind if seen else None,
            tiles=seen.tiles if seen else 0,
            tiles_restored=len(job.flagged) if restored else 0,
            psnr_vs_input=restored.psnr if restored else None,
            ssim_vs_input=restored.ssim if restored else None,
            colour_shift=restored.colour_shift if restored else None,
            milliseconds={stage: job.milliseconds.get(stage, 0.0) for stage in _STAGES},
        )
        job.done = True
        job.picture, job.restored = None, None
        job.changes.clear()
        self._jobs -= 1
        self._budget.give(id(job))
        self._ready.append((job.key, result))


_STAGES: tuple[Stage, ...] = ("decode", "detect", "restore", "encode")


def _area(group: tuple) -> int:
    height, width = group[0]
    return height * width
