"""Which part of the data a scene belongs to: by a hash of its file name, so that no scene is ever
in two parts.
"""

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]

_SPLITS: tuple[Split, ...] = ("train",) * 8 + ("validation", "test")


def split_of(name: str) -> Split:
    """The part of the data that the scene of this file name belongs to: 80, 10 and 10 in a
    hundred.
    """
    return _SPLITS[
        int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big")
        % 10
    ]
