"""Decoding that a bad file cannot turn against the process.

Each codec says which files are risky (`is_risky`): those of the native decoders behind TIFF, WebP
and 16-bit PNG, and JPEGs of so many scans that decoding takes for ever. Such a file goes to a child
process, which may crash, take too much memory or too much time; the file then gets an ImageError,
and the next one a new child. Everything else is decoded here.

Passing file and pixels through a pipe costs up to 12 ms a megapixel, most of it for fresh memory at
both ends; shared memory was no faster. Large files and the pixels of large pictures are mapped
anyway (`demoire.file_bytes`, `demoire.imaging.room`), and only descriptors are passed.
"""

import gc
import math
import os
import resource
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle

import cv2
import numpy as np

from demoire.errors import ImageError
from demoire.file_bytes import LARGE_BYTES, FileBytes, MappedFile, mapped_file
from demoire.imaging import images
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.child import Child, Children
from demoire.imaging.codecs.raster import Pixels, Raster
from demoire.imaging.facts import ImageFacts
from demoire.imaging.images import OpenedImage, Picture
from demoire.imaging.limits import MAX_MEGAPIXELS, MAX_SIDE
from demoire.imaging.provenance import Provenance
from demoire.imaging.quiet import quiet_decoders
from demoire.imaging.room import file_of, let_go, let_go_behind, mapped
from demoire.reasons import Reason

# How long a child may take: the slowest decoder here does some 3 MP/s.
_SECONDS = 30.0
_SECONDS_A_MEGAPIXEL = 1.0
# How much memory it may take: some for itself, and some copies of the file and of pixels of at most
# so many samples.
_MEMORY = 512 << 20
_COPIES = 4
_SAMPLES = 4

# A file that was written is compared with its pixels in every eighth row, which meets each JPEG
# block. The coarsest JPEG of a photograph is off by a fifth of the loss allowed here, another
# picture by twice as much.
_SAMPLED = 8  # px
_CODING_LOSS = 0.12  # mean, of full scale
_COMPARED = 1 << 20  # px at a time


def decode_guarded(
    opened: OpenedImage, *, max_megapixels: float = MAX_MEGAPIXELS, max_side: int = MAX_SIDE
) -> Picture:
    """The whole picture, safe from what the file may do to its decoder.

    Args:
        opened: The file.
        max_megapixels: The most that is decoded, MP.
        max_side: The longest side that is decoded, px.

    Raises:
        ImageError: Those of `images.check` and `images.read`, `native_crash` (the decoder died of
            the file) or `decoder_limit`.
        MachineError: No process can be started to decode it in.
    """
    images.check(opened, max_megapixels=max_megapixels, max_side=max_side)
    return images.picture_of(opened, _read(opened))


@dataclass(frozen=True)
class WrittenImage:
    """A file that was written, and read again.

    Attributes:
        data: The whole file.
        pixels: What is in it, as `Picture.pixels`: where coding loses something, not quite what it
            was made of.
    """

    data: FileBytes
    pixels: Pixels


def encode_verified(
    picture: Picture, pixels: Pixels, note: Provenance | None = None
) -> WrittenImage:
    """As `images.encode`, and what was written is read again.

    A file may be damaged in a way that still decodes, but that no good file can come out of.

    Raises:
        ImageError: `encode_failed`.
        ValueError: As `images.encode` does.
    """
    data = images.encode(picture, pixels, note)
    return WrittenImage(data, verify(picture, pixels, data))


def verify(picture: Picture, pixels: Pixels, data: FileBytes) -> Pixels:
    """Read again what was written.

    Args:
        picture: The picture as it was decoded.
        pixels: What it was given instead of its own.
        data: The file that `images.encode` made of both.

    Returns:
        What is in the file now.

    Raises:
        ImageError: `encode_failed`: it cannot be read, or holds something else.
    """
    try:
        opened = images.open_image(data)
        images.check(opened, max_megapixels=math.inf, max_side=sys.maxsize)
        written = images.picture_of(opened, _read(opened)).pixels
    except ImageError as error:
        raise ImageError(
            Reason.ENCODE_FAILED, f"The cleaned image could not be read again: {error}"
        ) from error
    has_same_pixels = written.shape == pixels.shape and written.dtype == pixels.dtype
    if opened.facts != picture.facts or not has_same_pixels:
        raise ImageError(
            Reason.ENCODE_FAILED, "The cleaned image is read again as one of another kind."
        )
    let_go(data)
    if _coding_loss(written, pixels) > _CODING_LOSS:
        raise ImageError(
            Reason.ENCODE_FAILED, "The cleaned image is read again as another picture."
        )
    return written


def _read(opened: OpenedImage) -> Raster:
    """The pixels of a file that may be decoded, here or in a child."""
    if not images.is_risky(opened):
        return images.read(opened)
    with children.lend() as child:
        answer = _ask(child, opened.data, opened.facts)
    if isinstance(answer, ImageError):
        raise answer
    return answer


def _coding_loss(written: Pixels, pixels: Pixels) -> float:
    """Mean distance of two pictures in some of their rows, of full scale."""
    height, width = pixels.shape[:2]
    stripes = in_stripes(Box(0, 0, height, width), _COMPARED, columns=width)
    total = 0.0
    count = 0
    for stripe in let_go_behind(stripes, written, pixels):
        rows = slice(stripe.top, stripe.bottom, _SAMPLED)
        sampled = np.ascontiguousarray(written[rows])
        total += cv2.norm(sampled, np.ascontiguousarray(pixels[rows]), cv2.NORM_L1)
        count += sampled.size
    return total / (count * float(np.iinfo(pixels.dtype).max))


def _ask(child: Child, data: FileBytes, facts: ImageFacts) -> Raster | ImageError:
    """What a child makes of a file: its pixels, or why there are none.

    Raises:
        ImageError: The child has to be ended, or ended itself.
    """
    bytes_a_sample = max(1, facts.bits // 8)
    pixels = facts.width * facts.height * _SAMPLES * bytes_a_sample
    memory = _MEMORY + _COPIES * (len(data) + pixels)
    seconds = _SECONDS + _SECONDS_A_MEGAPIXEL * facts.megapixels
    try:
        _send_file(child, memory, data)
        if not child.answers_within(seconds):
            raise ImageError(
                Reason.DECODER_LIMIT,
                f"The decoder was not done after {seconds:.0f} s; look at the file.",
            )
        return _receive(child.pipe)
    except (EOFError, OSError) as error:
        raise ImageError(
            Reason.NATIVE_CRASH, "The decoder died of this file; look at it by hand."
        ) from error


def _send_file(child: Child, memory: int, data: FileBytes) -> None:
    """Ask a child for the pixels of a file."""
    if isinstance(data, bytes):
        child.pipe.send(_Request(memory, None))
        child.pipe.send_bytes(data)
    else:
        child.pipe.send(_Request(memory, len(data)))
        send_handle(child.pipe, data.descriptor, child.process_id)


children = Children("demoire.imaging.guard", "serve_decoding")


@dataclass(frozen=True)
class _Request:
    """What goes before a file."""

    memory: int  # bytes that decoding may take
    size: int | None  # of a file whose descriptor follows; None where its bytes do


@dataclass(frozen=True)
class _Sent:
    """What goes before a raster: how its planes look and come, and its obstacle."""

    obstacle: Reason | None
    planes: tuple["_SentPlane", ...]  # pixels, and alpha if there is some


@dataclass(frozen=True)
class _SentPlane:
    """One array of samples."""

    shape: tuple[int, ...]
    dtype: str
    in_file: bool  # the descriptor of its file follows, else its bytes


def _receive(pipe: Connection) -> Raster | ImageError:
    answer = pipe.recv()
    if isinstance(answer, ImageError):
        return answer
    planes = []
    for plane in answer.planes:
        if plane.in_file:
            planes.append(mapped(recv_handle(pipe), plane.shape, plane.dtype))
        else:
            samples = np.frombuffer(pipe.recv_bytes(), plane.dtype)
            planes.append(samples.reshape(plane.shape))
    alpha = planes[1] if len(planes) > 1 else None
    return Raster(planes[0], alpha, answer.obstacle)


# In the child


def serve_decoding(descriptor: int) -> None:
    """Decode what comes down the pipe until it is closed: the main function of a child."""
    quiet_decoders()
    pipe = Connection(descriptor)
    while True:
        try:
            request = pipe.recv()
            # The file is in no variable: while the child waits it would take its room.
            size = _decode_for(pipe, _receive_file(pipe, request), request.memory)
        except EOFError:
            return
        if size >= LARGE_BYTES:
            gc.collect()  # what decoders leave behind in circles has its bytes, too


def _receive_file(pipe: Connection, request: _Request) -> FileBytes:
    if request.size is None:
        return pipe.recv_bytes()
    return mapped_file(recv_handle(pipe), request.size)


def _decode_for(pipe: Connection, data: FileBytes, memory: int) -> int:
    """Answer with the pixels of a file, or with what is wrong with it; its size in bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
    try:
        _send(pipe, images.read(images.open_image(data)))
    except ImageError as error:
        pipe.send(error)
    except MemoryError:
        message = f"The decoder wanted more than {memory >> 20} MB; look at the file by hand."
        pipe.send(ImageError(Reason.DECODER_LIMIT, message))
    return len(data)


def _send(pipe: Connection, raster: Raster) -> None:
    planes = [raster.pixels]
    if raster.alpha is not None:
        planes.append(raster.alpha)
    files = [_whole_file(plane) for plane in planes]
    sent = []
    for plane, file in zip(planes, files, strict=True):
        sent.append(_SentPlane(plane.shape, plane.dtype.str, in_file=file is not None))
    pipe.send(_Sent(raster.obstacle, tuple(sent)))
    for plane, file in zip(planes, files, strict=True):
        if file is None:
            pipe.send_bytes(plane.reshape(-1).view(np.uint8).data)
        else:
            send_handle(pipe, file.descriptor, os.getppid())


def _whole_file(plane: Pixels) -> MappedFile | None:
    """The file that holds a plane and nothing else."""
    file = file_of(plane)
    return file if file is not None and len(file) == plane.nbytes else None
