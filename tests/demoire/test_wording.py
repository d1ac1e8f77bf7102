"""Figures, sizes and times as people read them."""

import math
from datetime import UTC, datetime

import pytest

from demoire.wording import duration, figure, moment, plain_figure, share, size


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234567, 0, "1\u202f234\u202f567"),
        (0.126, 2, "0.13"),
        (None, 0, "–"),
        (math.nan, 1, "–"),
        (math.inf, 1, "–"),
    ],
)
def test_a_figure_on_a_page_has_thin_spaces_and_an_en_dash(
    value: float | None, digits: int, text: str
) -> None:
    assert figure(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (12345.6, "12,346"),
        (12.345, "12.35"),
        (-0.12345, "-0.123"),
        (0.0, "0.000"),
        (None, "-"),
        (math.nan, "-"),
        (True, "True"),
        ("[red].jpg", "[red].jpg"),
    ],
)
def test_a_figure_on_a_terminal_is_ascii_with_decimals_by_size(value: object, text: str) -> None:
    assert plain_figure(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (3_400_000, "3.4 MB"),
        (340_000_000, "340 MB"),
        (1.2e12, "1.2 TB"),
        (5e15, "5,000 TB"),
    ],
)
def test_bytes_are_counted_in_powers_of_ten(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"),
        (0, 0, "–"),
    ],
)
def test_a_share_is_nothing_or_all_only_where_it_is(part: float, whole: float, text: str) -> None:
    assert share(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7140, "119 min"), (11100, "3 h 05 min")],
)
def test_a_duration_is_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_moment_is_told_in_utc() -> None:
    assert moment(datetime(2026, 11, 28, 21, 48, 13, 999, tzinfo=UTC)) == "2026-11-28 21:48:13 UTC"
    assert moment(None) == "–"
