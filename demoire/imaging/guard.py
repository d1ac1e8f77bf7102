"""Decoding that a bad file cannot turn against the process: risky decoders run in a child with
bounds.

What is risky says each codec (`is_risky`): the native decoders behind TIFF, WebP and 16-bit PNG,
and JPEGs of so many scans that decoding takes for ever. Such a file goes to a child process, which
may die of it, take too much memory or too much time; the file then has an ImageError, and the next
one a new child. Everything else is decoded here.

Children are started when first needed (0.3 s), one for each thread that waits for one, and kept.
Passing file and pixels through a pipe costs up to 12 ms a megapixel, most of it for fresh memory at
both ends; memory that both see was no faster. A child ends with its parent, however that ends.
"""

import math
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np

from demoire.errors import ImageError
from demoire.imaging import images
from demoire.imaging.codecs.raster import Pixels, Raster
from demoire.imaging.images import MAX_MEGAPIXELS, MAX_SIDE, ImageFacts, Picture
from demoire.reasons import Reason

_SECONDS, _SECONDS_A_MEGAPIXEL = 30.0, 1.0  # the slowest decoder here does some 3 MP/s
# bytes besides; of the file and of pixels of at most so many samples
_MEMORY, _COPIES, _SAMPLES = 512 << 20, 4, 4

# px apart; of full scale, mean: the coarsest JPEG of a photograph loses a fifth of it, another
# picture is twice as far
_SAMPLED, _CODING_LOSS = 4, 0.12

_START = "import sys; sys.path[:] = {path!r}; from demoire.imaging.guard import _serve; _serve({descriptor})"


def decode(
    data: bytes, *, max_megapixels: float = MAX_MEGAPIXELS, max_side: int = MAX_SIDE
) -> Picture:
    """As `images.decode`, but safe from what the file may do to its decoder.

    Raises ImageError: those of `images.decode`, `native_crash` (the decoder died of it) or
    `decoder_limit`.
    """
    facts = images.check(data, max_megapixels=max_megapixels, max_side=max_side)
    if not images.is_risky(data, facts):
        return Picture(facts, images.read(data, facts), data)
    with _children.lend() as child:
        answer = child.decode(data, facts)
    if isinstance(answer, ImageError):
        raise answer
    return Picture(facts, answer, data)


def encode(picture: Picture, pixels: Pixels) -> bytes:
    """As `images.encode`, but what was written is read again: a bad file may be such that no good
    one comes of it.

    Raises ImageError `encode_failed`.
    """
    data = images.encode(picture, pixels)
    try:
        facts = images.probe(data)
        written = decode(data, max_megapixels=math.inf, max_side=sys.maxsize).pixels
    except ImageError as error:
        raise ImageError(
            Reason.ENCODE_FAILED, f"The cleaned image could not be read again: {error}"
        ) from error
    some = np.s_[::_SAMPLED, ::_SAMPLED]
    full = np.iinfo(pixels.dtype).max
    if facts != picture.facts or written.shape != pixels.shape or written.dtype != pixels.dtype:
        raise ImageError(
            Reason.ENCODE_FAILED, "The cleaned image is read again as one of another kind."
        )
    if np.abs(written[some].astype(np.float32) - pixels[some]).mean() > _CODING_LOSS * full:
        raise ImageError(
            Reason.ENCODE_FAILED, "The cleaned image is read again as another picture."
        )
    return data


class _Child:
    """A process that decodes one file after the other."""

    def __init__(self) -> None:
        self._pipe, other = Pipe()
        program = _START.format(path=sys.path, descriptor=other.fileno())
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # native decoders say there what they think of the file
                pass_fds=[other.fileno()],
                start_new_session=True,  # a Ctrl-C is for the parent
            )

    def decode(self, data: bytes, facts: ImageFacts) -> Raster | ImageError:
        """Raises ImageError when the child had to be ended, or ended itself."""
        pixels = facts.width * facts.height * _SAMPLES * max(1, facts.bits // 8)
        seconds = _SECONDS + _SECONDS_A_MEGAPIXEL * facts.megapixels
        try:
            self._pipe.send((facts, _MEMORY + _COPIES * (len(data) + pixels)))
            self._pipe.send_bytes(data)
            if not self._pipe.poll(seconds):
                raise ImageError(
                    Reason.DECODER_LIMIT,
                    f"The decoder was not done after {seconds:.0f} s; look at the file.",
                )
            return _receive(self._pipe)
        except (EOFError, OSError) as error:
            raise ImageError(
                Reason.NATIVE_CRASH, "The decoder died of this file; look at it by hand."
            ) from error

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()


class _Children:
    """Those that wait for work. A child whose call raised is ended."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._idle.clear)  # they are the parent's

    @contextmanager
    def lend(self) -> Iterator[_Child]:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        child = child or _Child()
        try:
            yield child
        except BaseException:
            child.end()
            raise
        with self._lock:
            self._idle.append(child)


_children = _Children()


def _receive(pipe: Connection) -> Raster | ImageError:
    answer = pipe.recv()
    if isinstance(answer, ImageError):
        return answer
    obstacle, *arrays = answer
    planes = [np.frombuffer(pipe.recv_bytes(), kind).reshape(shape) for shape, kind in arrays]
    return Raster(planes[0], planes[1] if len(planes) > 1 else None, obstacle)


# In the child


def _serve(descriptor: int) -> None:
    """Decode what comes down the pipe until it is closed."""
    pipe = Connection(descriptor)
    while True:
        try:
            facts, memory = pipe.recv()
            data = pipe.recv_bytes()
        except EOFError:
            return
        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
        try:
            _send(pipe, images.read(data, facts))
        except ImageError as error:
            pipe.send(error)
        except MemoryError:
            wanted = f"The decoder wanted more than {memory >> 20} MB; look at the file by hand."
            pipe.send(ImageError(Reason.DECODER_LIMIT, wanted))


def _send(pipe: Connection, raster: Raster) -> None:
    planes = [
        np.ascontiguousarray(plane) for plane in (raster.pixels, raster.alpha) if plane is not None
    ]
    pipe.send((raster.obstacle, *((plane.shape, plane.dtype.str) for plane in planes)))
    for plane in planes:
        pipe.send_bytes(plane.reshape(-1).view(np.uint8).data)
