"""The least quality of a lossy coder at which a picture takes as many bytes as it had."""

from collections.abc import Callable, Sequence
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

    Of nine qualities three or four are tried. Beside the one that is being coded, only the least
    that is large enough is in memory.

    Args:
        code: Codes the picture at a quality.
        qualities: From the fewest bytes to the most; the last is taken where none takes as many.
        bytes_of: How large it came out.
        wanted: Bytes.
    """

    def coded_if_as_large(quality: Quality) -> Coded | None:
        coded = code(quality)
        return coded if bytes_of(coded) >= wanted else None

    least = None
    first = 0
    end = len(qualities) - 1
    while first < end:
        middle = (first + end) // 2
        coded = coded_if_as_large(qualities[middle])
        if coded is None:
            first = middle + 1
        else:
            least = coded
            end = middle
    return code(qualities[-1]) if least is None else least
