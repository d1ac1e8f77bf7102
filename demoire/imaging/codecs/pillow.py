"""Headers as Pillow reads them, for the codecs that let it.

Each codec names the one Pillow plugin that may open its files. `Image.open` would try every plugin
that is installed, and it applies a limit of pixels that is a global of the process.
"""

import io
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageCms, ImageFile

from demoire.file_bytes import FileBytes, stream_of
from demoire.imaging.facts import Format, ImageFacts

_LARGEST_SIDE = (1 << 31) - 1  # px; beyond it sizes overflow in native code


@dataclass(frozen=True)
class PillowHeader:
    """The facts, and Pillow's view of the file, whose pixels are decoded by `view.load()`."""

    facts: ImageFacts
    view: Image.Image

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of the samples, if the file has one."""
        profile = self.view.info.get("icc_profile")
        return profile if isinstance(profile, bytes) and profile else None


def open_view(plugin: Callable[[BinaryIO], Image.Image], data: FileBytes) -> Image.Image:
    """Let one Pillow plugin read the header of a file.

    Raises:
        ValueError: The header names a size that no picture has.
        Exception: Whatever the plugin raises for bad bytes.
    """
    view = plugin(stream_of(data))
    if min(view.size) < 1 or max(view.size) > _LARGEST_SIDE:
        raise ValueError(f"a size that cannot be, {view.size}")
    return view


def facts_of(
    view: Image.Image, format: Format, *, size: tuple[int, int], bits: int, pages: int
) -> ImageFacts:
    """The facts in a header that Pillow has read.

    Args:
        view: Pillow's view of the file.
        format: The file format.
        size: Width and height in px, as the file stores them.
        bits: Bits per sample.
        pages: Pages or frames in the file.
    """
    width, height = size
    # Pillow names 16-bit grey I;16, I;16B and so on, by byte order.
    is_deep_grey = view.mode.startswith("I;16")
    return ImageFacts(
        format=format,
        width=width,
        height=height,
        mode="L" if is_deep_grey else view.mode,
        bits=bits,
        dpi=_dpi(view),
        icc=profile_name(view.info.get("icc_profile")),
        pages=pages,
    )


def bits_of_mode(view: Image.Image) -> int:
    """Bits per sample as the mode tells them, for formats whose header does not."""
    return {"1": 1, "I": 32, "F": 32}.get(view.mode, 8)


def _dpi(view: Image.Image) -> float | None:
    try:
        dpi = float(view.info["dpi"][0])
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return dpi if math.isfinite(dpi) and dpi > 0 else None


def profile_name(profile: bytes | None) -> str | None:
    """The description in an ICC profile; "unreadable" or "unnamed" if it has none to show."""
    if not profile:
        return None
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return "unreadable"
    printable = "".join(letter for letter in name if letter.isprintable())
    return printable.strip() or "unnamed"


class _WholeFilesOnly:
    """Turns off Pillow's decoding in part while at least one thread decodes.

    `ImageFile.LOAD_TRUNCATED_IMAGES` belongs to the whole process. Another library may have turned
    it on, and then Pillow fills what is missing with grey and says nothing. The first thread that
    enters turns it off, and the last one that leaves puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._before = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    ImageFile.LOAD_TRUNCATED_IMAGES = self._before


whole_files_only = _WholeFilesOnly().hold
