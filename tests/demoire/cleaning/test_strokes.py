"""Strokes keep their tone where the dots around them are taken away."""

import cv2
import numpy as np

from demoire.cleaning.strokes import kept_beside_strokes

PAPER = 220
INK = 30
SIDE = 160


def _type() -> np.ndarray:
    """Two bars of 4 px, as in a letter, in the middle of a page."""
    page = np.full((SIDE, SIDE), PAPER, np.uint8)
    page[60:100, 70:74] = INK
    page[60:100, 86:90] = INK
    return page


def _with_dots(page: np.ndarray) -> np.ndarray:
    """Black dots of 3 px, every 8 px, on the paper."""
    dotted = page.copy()
    for shift_down in range(3):
        for shift_across in range(3):
            dotted[shift_down::8, shift_across::8] = INK
    return dotted


def _share_put_back(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    kept = kept_beside_strokes(before, after)
    if kept is None:
        return np.zeros(before.shape, np.float32)
    return 1 - kept


def test_a_stroke_that_was_blurred_gets_its_tone_back() -> None:
    page = _type()
    blurred = cv2.GaussianBlur(page, (0, 0), 1.5)
    put_back = _share_put_back(_with_dots(page), blurred)
    assert put_back[64:96, 71:73].min() > 0.6


def test_a_broad_stroke_whose_core_kept_its_tone_is_left_as_the_restorer_made_it() -> None:
    page = np.full((SIDE, SIDE), PAPER, np.uint8)
    page[60:100, 70:90] = INK
    blurred = cv2.GaussianBlur(page, (0, 0), 1.5)
    assert kept_beside_strokes(_with_dots(page), blurred) is None


def test_dots_that_are_gone_stay_gone() -> None:
    page = _type()
    faded = cv2.GaussianBlur(page, (0, 0), 1.5)
    put_back = _share_put_back(_with_dots(page), faded)
    far_from_type = np.ones(page.shape, bool)
    far_from_type[50:110, 60:100] = False
    assert put_back.any()
    assert put_back[far_from_type].max() == 0


def test_what_is_lighter_than_before_only_on_paper_is_no_stroke() -> None:
    dark = np.full((SIDE, SIDE), PAPER - 40, np.uint8)
    light = np.full((SIDE, SIDE), PAPER, np.uint8)
    assert kept_beside_strokes(dark, light) is None


def test_the_dark_part_of_a_picture_beside_paper_keeps_all_of_its_change() -> None:
    """Its dots are as dark as ink, but it is no stroke: beyond it there is no paper."""
    before = _with_dots(np.full((SIDE, SIDE), 90, np.uint8))
    after = np.full((SIDE, SIDE), 80, np.uint8)
    before[:, : SIDE // 2] = PAPER
    after[:, : SIDE // 2] = PAPER
    assert kept_beside_strokes(before, after) is None


def test_a_stroke_that_came_out_darker_is_left_as_the_restorer_made_it() -> None:
    page = _type()
    faded = np.where(page == INK, INK + 60, page).astype(np.uint8)
    assert kept_beside_strokes(faded, page) is None
