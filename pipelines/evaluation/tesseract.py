"""Tesseract, which reads the text in a picture.

It is a program of its own; distributions have it, and a package for each language. It reads about a
megapixel a second, in one thread, so that it leaves the other cores to the cleaner.
"""

import os
import subprocess
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.errors import UsageError
from pipelines.names import shown

_PROGRAM = "tesseract"
_ONE_THREAD = {"OMP_THREAD_LIMIT": "1"}
_LONGEST_READING = 600  # seconds, of one page
_LONGEST_COMPLAINT = 200  # characters of what tesseract says


def as_plain_text(text: str) -> str:
    """Text with one form of each letter, and one space where there is white space.

    Tesseract writes Greek words with the micro sign, which looks as the letter mu does; the
    compatibility form (NFKC) makes them, and ligatures, the letters that they are.
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def read_text(picture: NDArray[np.uint8], language: str) -> str:
    """The text that tesseract reads in a picture, (H, W, 3) sRGB.

    Raises:
        UsageError: Tesseract is not there, or cannot read the picture.
    """
    _, png = cv2.imencode(".png", picture[..., ::-1])
    text = _tesseract(["stdin", "stdout", "-l", language], png.tobytes())
    return as_plain_text(text)


def check_language(language: str) -> None:
    """See that tesseract is there and has the language.

    Raises:
        UsageError: It is not, or has not.
    """
    names = _tesseract(["--list-langs"]).splitlines()[1:]  # the first line tells where they are
    missing = [name for name in language.split("+") if name not in names]
    if missing:
        raise UsageError(
            f"Tesseract has no language '{', '.join(missing)}', only {', '.join(names)}: install "
            f"it (Debian: tesseract-ocr-{missing[0]}), or give another one with --ocr."
        )


def _tesseract(words: Sequence[str], given: bytes = b"") -> str:
    """What tesseract answers.

    Raises:
        UsageError: It is not installed, or cannot read the picture.
    """
    try:
        done = subprocess.run(
            [_PROGRAM, *words],
            input=given,
            capture_output=True,
            timeout=_LONGEST_READING,
            env={**os.environ, **_ONE_THREAD},
        )
    except FileNotFoundError:
        raise UsageError(
            "Tesseract, which --ocr reads with, is not installed (Debian: tesseract-ocr)."
        ) from None
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"Tesseract has read one page for {_LONGEST_READING} s: take the largest pages out of "
            "the folder."
        ) from error
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip()[-_LONGEST_COMPLAINT:]
        raise UsageError(f"Tesseract failed: {shown(complaint)}.")
    return done.stdout.decode(errors="replace")
