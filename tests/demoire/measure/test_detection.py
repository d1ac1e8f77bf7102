"""Intervals of shares."""

import pytest

from demoire.measure.detection import share_interval


def test_a_share_of_nothing_is_unknown() -> None:
    assert share_interval(0, 0) == (0.0, 1.0)


def test_intervals_agree_with_published_ones() -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I."""
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert share_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
