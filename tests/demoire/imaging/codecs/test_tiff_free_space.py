"""Free extents of a file: whatever is freed and taken, no byte is lost, and none given twice."""

from hypothesis import given
from hypothesis import strategies as st

from demoire.imaging.codecs.tiff_free_space import FreeSpace

BLOCK = 8  # bytes that are freed in one piece
STEPS = st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60)


@given(STEPS)
def test_room_is_given_once_at_an_even_offset_where_there_is_any(
    steps: list[tuple[bool, int]],
) -> None:
    space = FreeSpace()
    free: set[int] = set()
    next_block = 1
    for is_taken, number in steps:
        if not is_taken:
            start = next_block
            next_block += BLOCK + number % 2  # some touch the one before, some do not
            space.add(start, BLOCK)
            free |= set(range(start, start + BLOCK))
            continue
        at = space.take(number)
        fitting = [first for first in free if free >= set(range(first, first + number))]
        even = [first for first in fitting if first % 2 == 0]
        assert at == min(even, default=None)
        if at is not None:
            free -= set(range(at, at + number))


def test_the_last_extent_is_the_tail_of_the_file_if_it_reaches_its_end() -> None:
    space = FreeSpace()
    space.add(10, 6)
    assert space.take_tail(20) == 20
    assert space.take_tail(16) == 10
    assert space.take(2) is None


def test_many_small_extents_do_not_crowd_out_a_large_one() -> None:
    space = FreeSpace()
    space.add(0, 100)
    for number in range(3000):
        space.add(1000 + 4 * number, 2)
    assert space.take(100) == 0
