"""Whether a page is read worse, by several readings of it before and after."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation import readings
from pipelines.evaluation.readings import TextErrors, character_error, compare_text, disturbed

ALIKE = (0.1, 0.1, 0.1, 0.1, 0.1)
SCATTERED = (0.1, 0.3, 0.0, 0.2, 0.1)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (ALIKE, ALIKE, "neither"),
        (ALIKE, (0.11, 0.11, 0.11, 0.11, 0.11), "worse"),  # by little, each time
        (ALIKE, (0.2, 0.1, 0.1, 0.1, 0.1), "neither"),  # the undisturbed page alone
        (ALIKE, (0.1, 0.2, 0.2, 0.2, 0.2), "worse"),  # all but the undisturbed page
        (ALIKE, SCATTERED, "neither"),  # by 0.04 in the mean, and not by more than it scatters
        (SCATTERED, (0.2, 0.4, 0.1, 0.3, 0.2), "worse"),  # readings scatter, differences do not
        ((0.3,), (0.3,), "neither"),  # a page that was not changed
    ],
)
def test_a_page_is_surely_worse_where_its_error_grows_by_more_than_it_scatters(
    before: tuple[float, ...], after: tuple[float, ...], verdict: str
) -> None:
    errors = TextErrors(before, after)
    assert errors.is_surely_worse == (verdict == "worse")
    assert not errors.is_surely_better
    turned_round = TextErrors(after, before)
    assert turned_round.is_surely_better == (verdict == "worse")


def test_both_readings_of_a_pair_are_of_the_page_disturbed_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []
    answers = iter(["abcd", "abcx", "abcd", "abcd"])

    def read(picture: np.ndarray, language: str) -> str:
        seen.append(picture)
        return next(answers)

    monkeypatch.setattr(readings, "read_text", read)
    page = np.full((9, 12, 3), 100, np.uint8)
    errors = compare_text(page, page + 50, "abcd", "eng", readings=2)
    assert errors == TextErrors((0.0, 0.0), (0.25, 0.0))
    before, after, before_disturbed, after_disturbed = seen
    assert (before == page).all() and (after == page + 50).all()
    assert (after_disturbed - before_disturbed == 50).all()


@given(st.integers(1, 40))
def test_a_disturbed_page_is_moved_a_little_and_differs_by_one(number: int) -> None:
    page = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    other = disturbed(page, number)
    height, width = other.shape[:2]
    assert 14 <= height <= 16 and 14 <= width <= 16
    in_place = page[16 - height :, 16 - width :]
    assert cv2.absdiff(other, in_place).max() == 1


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_the_error_is_none_only_where_all_is_read(read: str, truth: str) -> None:
    error = character_error(read, truth)
    assert (error == 0) == (read == truth)
    assert error <= max(len(read), len(truth)) / len(truth)
    assert character_error("", truth) == 1.0
