"""The search for the quality that a lossy picture had."""

import pytest

from demoire.imaging.codecs.least_quality import coded_as_large

QUALITIES = (40, 50, 60, 68, 75, 82, 88, 93, 97)


@pytest.mark.parametrize("wanted", [0, 40, 41, 55, 60, 68, 75, 82, 90, 93, 94, 97, 98])
def test_the_least_quality_that_takes_as_many_bytes_is_found_and_none_is_coded_twice(
    wanted: int,
) -> None:
    tried = []

    def code(quality: int) -> bytes:
        tried.append(quality)
        return bytes(quality)

    coded = coded_as_large(code, QUALITIES, len, wanted)

    large_enough = [quality for quality in QUALITIES if quality >= wanted]
    assert len(coded) == min(large_enough, default=97)
    assert 3 <= len(tried) == len(set(tried)) <= 4
