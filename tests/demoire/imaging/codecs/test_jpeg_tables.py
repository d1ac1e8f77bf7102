"""Huffman codes are completed by the norm's rules: none is longer than 16 bits, none all ones."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.imaging.codecs.jpeg_tables import HuffmanTable

OF_AN_EMPTY_PICTURE = HuffmanTable((1, *[0] * 15), b"\0")


def space_taken(table: HuffmanTable) -> Fraction:
    """The share of all codes that begin with one of the table's (Kraft's sum)."""
    return sum(
        (Fraction(count, 2**length) for length, count in enumerate(table.counts, start=1)),
        Fraction(0),
    )


def test_every_symbol_of_an_8_bit_picture_gets_a_code() -> None:
    assert sorted(OF_AN_EMPTY_PICTURE.completed(is_of_means=True).symbols) == list(range(12))
    rest = OF_AN_EMPTY_PICTURE.completed(is_of_means=False)
    assert len(set(rest.symbols)) == len(rest.symbols) == sum(rest.counts) == 162
    assert {0x00, 0xF0, 0x01, 0xFA} < set(rest.symbols) and 0x0B not in rest.symbols


def test_what_occurs_keeps_a_short_code() -> None:
    completed = OF_AN_EMPTY_PICTURE.completed(is_of_means=False)
    assert completed.counts[0] == 1 and completed.symbols[0] == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=162))
def test_there_is_room_for_all_codes_and_one_is_left(wanted: list[int]) -> None:
    counts = [0] * 16
    taken = Fraction(0)
    for length in wanted:
        if taken + Fraction(1, 2**length) < 1:
            taken += Fraction(1, 2**length)
            counts[length - 1] += 1
    symbols = bytes(range(sum(counts)))
    completed = HuffmanTable(tuple(counts), symbols).completed(is_of_means=False)
    assert set(symbols) <= set(completed.symbols)
    assert space_taken(completed) <= 1 - Fraction(1, 2**16)
