"""Which part of the data a scene belongs to.

A hash of the file name decides, so that no scene is ever in two parts, on any machine.
"""

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]

# One entry for each tenth of the scenes.
_TENTHS: tuple[Split, ...] = ("train",) * 8 + ("validation", "test")


def split_of(name: str) -> Split:
    """The part of the data that the scene of this file name belongs to."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    number = int.from_bytes(digest[:8], "big")
    return _TENTHS[number % len(_TENTHS)]
