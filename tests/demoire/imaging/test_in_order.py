"""Pieces that are worked on beside each other come in their order."""

import threading

import pytest

from demoire.imaging.in_order import made_in_order


def test_the_second_piece_may_be_made_before_the_first_and_comes_behind_it() -> None:
    second_is_made = threading.Event()

    def make(piece: int) -> int:
        if piece == 0:
            second_is_made.wait(timeout=1)  # where there is one core alone, it is not
        if piece == 1:
            second_is_made.set()
        return 10 * piece

    assert list(made_in_order(make, range(20))) == [10 * piece for piece in range(20)]


def test_an_error_comes_where_its_piece_would() -> None:
    made = made_in_order(lambda piece: 6 // piece, [3, 2, 0, 1])
    assert [next(made), next(made)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(made)
