"""The least quality of a lossy coder at which a picture takes as many bytes as it had."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

Quality = TypeVar("Quality", int, float)
Coded = TypeVar("Coded")


def coded_as_large(
    code: Callable[[Quality], Coded],
    qualities: Sequence[Quality],
    bytes_of: Callable[[Coded], int],
    wanted: int,
) -> Coded:
    """A picture coded at the first of some qualities that takes as many bytes as are wanted.

    Of nine qualities three or four are tried.

    Args:
        code: Codes the picture at a quality.
        qualities: From the fewest bytes to the most; the last is taken where none takes as many.
        bytes_of: How large it came out.
        wanted: Bytes.
    """
    coded = cache(code)

    def is_as_large(quality: Quality) -> bool:
        return bytes_of(coded(quality)) >= wanted

    number = bisect_left(qualities[:-1], True, key=is_as_large)
    return coded(qualities[number])
