"""Threads that take the caller's images, read their headers and decode them.

They read the caller's iterator one at a time, and only as far ahead as the budget allows. Nothing
that is wrong with an image may end one of them, since others wait for its results.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic

from demoire.cleaning.budget import Budget
from demoire.cleaning.events import DecoderEnded, Event, FromDecoder, MachineFailed
from demoire.cleaning.image_job import Decoded, ImageJob, K, Opened
from demoire.cleaning.verdict import Rules
from demoire.errors import ImageError, MachineError
from demoire.file_bytes import FileBytes
from demoire.imaging.guard import decode_guarded
from demoire.imaging.images import open_image
from demoire.reasons import Reason

_LOG = logging.getLogger(__name__)

THREADS = max(2, min(8, (os.cpu_count() or 2) // 2))


class Decoding(Generic[K]):
    """The decoding threads of one run.

    Attributes:
        running: How many threads have not reported their end; kept by whoever reads the events.
        source_error: What the caller's iterator raised; None if it did not. Complete once no thread
            is running.
    """

    def __init__(
        self,
        items: Iterable[tuple[K, FileBytes]],
        rules: Rules,
        budget: Budget,
        events: "queue.SimpleQueue[Event[K]]",
    ) -> None:
        self.running = 0
        self.source_error: Exception | None = None
        self._items = iter(items)
        self._rules = rules
        self._budget = budget
        self._events = events
        self._feeding = threading.Lock()
        self._exhausted = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start all threads."""
        for number in range(THREADS):
            thread = threading.Thread(target=self._run, name=f"demoire-decode-{number}")
            thread.start()
            self._threads.append(thread)
            self.running += 1

    def close(self) -> None:
        """Take no further image. Threads that wait for room end at once."""
        self._exhausted = True
        self._budget.close()

    def join(self) -> None:
        """Wait until all threads have ended."""
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            job = self._next_job()
            if job is None:
                break
            if isinstance(job.state, Opened):
                try:
                    self._decode(job, job.state)
                except MachineError as error:
                    self._events.put(MachineFailed(error))
                    break
            self._events.put(FromDecoder(job))
        self._events.put(DecoderEnded())

    def _next_job(self) -> ImageJob[K] | None:
        """The next image with its header, once there is room for its pixels.

        The lock is held while it waits, so that images are let in in their order.
        """
        with self._feeding:
            if self._exhausted:
                return None
            try:
                key, data = next(self._items)
            except StopIteration:
                self._exhausted = True
                return None
            except Exception as error:  # the caller's own; it gets it back after the results
                self._exhausted = True
                self.source_error = error
                return None
            job = ImageJob(key, data)
            self._open(job)
            megapixels = job.facts.megapixels if job.facts else 0.0
            let_in = self._budget.take(job, megapixels)
            return job if let_in else None

    def _open(self, job: ImageJob[K]) -> None:
        """Read the header."""
        with _failing(job):
            image = open_image(job.data)
            job.facts = image.facts
            job.state = Opened(image)

    def _decode(self, job: ImageJob[K], state: Opened) -> None:
        """Read the pixels."""
        rules = self._rules
        start = time.perf_counter()
        with _failing(job):
            picture = decode_guarded(
                state.image, max_megapixels=rules.max_megapixels, max_side=rules.max_side
            )
            if rules.allow_signed:
                picture = picture.without_signature()
            job.state = Decoded(picture)
        job.spend("decode", time.perf_counter() - start)


@contextmanager
def _failing(job: ImageJob[K]) -> Iterator[None]:
    """Whatever goes wrong in the block is wrong with this image alone, or with the machine.

    Raises:
        MachineError: The latter.
    """
    try:
        yield
    except ImageError as error:
        job.fail(error)
    except MachineError:
        raise
    except Exception as error:
        _LOG.exception("Image %r could not be decoded.", job.key)
        job.fail(ImageError(Reason.DECODE_FAILED, f"The image cannot be decoded: {error!r}."))
