"""Decoders that keep their remarks to themselves."""

import ctypes
import logging
import os
import warnings
from pathlib import Path

_MAPPED_FILES = Path("/proc/self/maps")  # of this process; there on Linux alone


def quiet_decoders() -> None:
    """Silence what decoders say about odd files, for the rest of the process.

    Pillow and tifffile report every tag that is out of order, as a warning or in the log, and
    libtiff and OpenCV write to standard error. What matters about a file ends in an ImageError
    anyway. Where Python turns warnings into errors (`-W error`), odd metadata would even make a
    sound picture unreadable. Each process that decodes calls this once; calling it again changes
    nothing.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # which OpenCV reads when it is imported
    _quiet_libtiff()


def _quiet_libtiff() -> None:
    """Take the handlers for warnings and errors from the libtiff that Pillow brings along.

    Pillow offers no way to do that. Errors still reach Python, as libtiff's return values.
    """
    # Loads Pillow's libtiff, in a few milliseconds.
    from PIL import _imaging  # noqa: F401

    try:
        mapped = _MAPPED_FILES.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    paths = {line.split(maxsplit=5)[-1] for line in mapped.splitlines() if "libtiff" in line}
    for path in paths:
        libtiff = ctypes.CDLL(path)
        libtiff.TIFFSetWarningHandler(None)
        libtiff.TIFFSetErrorHandler(None)
