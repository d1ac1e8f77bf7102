"""What a zlib stream unpacks to, whatever parts it comes in."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.imaging.codecs.zlib_reader import ZlibReader


@settings(max_examples=50, deadline=None)
@given(
    content=st.binary(max_size=300),
    repeated=st.integers(1, 300),
    cuts=st.lists(st.integers(0, 2000), max_size=5),
    size=st.integers(500, 100_000),
)
def test_it_comes_in_pieces_of_the_size_that_is_asked_for(
    content: bytes, repeated: int, cuts: list[int], size: int
) -> None:
    whole = content * repeated
    packed = zlib.compress(whole) + b"something behind it"
    places = [0, *sorted(cuts), len(packed)]
    parts = [packed[start:end] for start, end in zip(places, places[1:], strict=False)]
    reader = ZlibReader(parts)
    read = []
    while piece := reader.read(size):
        read.append(piece)
    assert b"".join(read) == whole
    assert all(len(piece) == size for piece in read[:-1])


def test_a_stream_that_is_cut_short_gives_what_there_is_and_a_damaged_one_raises() -> None:
    packed = zlib.compress(bytes(range(256)) * 100, 0)
    assert ZlibReader([packed[:1000]]).read(25_600) == (bytes(range(256)) * 100)[: 1000 - 7]
    with pytest.raises(zlib.error):
        ZlibReader([b"no stream"]).read(10)
