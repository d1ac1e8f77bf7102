"""Measures against a truth that is no exact twin: each sees its own fault, and no other."""

import cv2
import numpy as np
import pytest

from demoire.measure.restoration import (
    aligned_figures,
    edges_kept,
    pattern_left,
    restoration_figures,
    shows_the_same,
    tolerant_psnr,
    tone_shift,
    truth_in_tone,
)


def _scene() -> np.ndarray:
    """A light wall with dark rectangles of sharp edges, (256, 256, 3) 0..1."""
    scene = np.full((256, 256, 3), 0.7, np.float32)
    scene[40:90, 40:200] = (0.2, 0.3, 0.25)
    scene[130:220, 100:150] = (0.3, 0.2, 0.4)
    return cv2.GaussianBlur(scene, (0, 0), 0.7)


def _wave(period: float, height: float) -> np.ndarray:
    """Vertical stripes of this period in px and this RMS, 1/255."""
    stripes = np.sin(np.arange(256) * 2 * np.pi / period).astype(np.float32)
    return np.broadcast_to(stripes[None, :, None] * height * 2**0.5 / 255, (256, 256, 3))


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


def test_pattern_left_is_the_patterns_strength() -> None:
    assert pattern_left(_scene() + _wave(7, 5), _scene()) == pytest.approx(5, rel=0.1)


def test_uneven_light_is_no_pattern() -> None:
    assert pattern_left(_scene() + _wave(200, 5), _scene()) < 0.3


def test_edges_that_were_blurred_are_not_kept() -> None:
    truth = _scene()
    blurred = cv2.GaussianBlur(truth, (0, 0), 2.0)
    assert edges_kept(truth, truth) == pytest.approx(1, abs=0.01)
    assert edges_kept(blurred, truth) < 0.6


def test_a_pattern_does_not_pass_for_edges() -> None:
    assert edges_kept(_scene() + _wave(7, 5), _scene()) == pytest.approx(1, abs=0.05)


def test_a_truth_half_a_pixel_off_costs_little() -> None:
    truth = _scene()
    motion = np.array([[1, 0, 0.5], [0, 1, -0.5]], np.float32)
    off = cv2.warpAffine(truth, motion, (256, 256), borderMode=cv2.BORDER_REFLECT)
    plain = -10 * np.log10(np.mean(np.square(off - truth)))
    assert tolerant_psnr(off, truth) > plain + 6


def test_tolerance_does_not_forgive_a_pattern() -> None:
    plain = 20 * np.log10(255 / 5)
    assert tolerant_psnr(_scene() + _wave(7, 5), _scene()) == pytest.approx(plain, abs=1.5)


def test_tone_shift_is_in_levels_and_blind_to_patterns() -> None:
    scene = _scene()
    assert tone_shift(scene + 2 / 255, scene) == pytest.approx(2, abs=0.01)
    assert tone_shift(scene + _wave(8, 5), scene) < 0.1


def test_figures_of_a_photograph_in_another_tone() -> None:
    shown = _scene()
    photograph = _bytes(0.1 + 0.7 * shown + _wave(7, 4))
    truth = truth_in_tone(_bytes(shown), photograph)
    untouched = restoration_figures(photograph, truth, photograph)
    restored = restoration_figures(_bytes(0.1 + 0.7 * shown), truth, photograph)
    assert untouched.pattern_left == pytest.approx(4, rel=0.15)
    assert restored.pattern_left < 1
    assert restored.tolerant_psnr > untouched.tolerant_psnr + 6
    assert restored.edges_kept == pytest.approx(1, abs=0.05)
    assert untouched.tone_shift == 0


def test_what_differs_at_edges_alone_is_no_pattern_left() -> None:
    truth = _scene()
    near_edges = cv2.GaussianBlur(np.abs(cv2.Laplacian(truth, -1)).max(axis=2), (0, 0), 2) > 0.01
    assert pattern_left(truth + _wave(7, 5) * near_edges[..., None], truth) < 0.5


def test_a_pattern_of_one_colour_counts() -> None:
    blue = _wave(7, 5) * np.array([0, 0, 1], np.float32)
    assert pattern_left(_scene() + blue, _scene()) == pytest.approx(5 / 3**0.5, rel=0.1)


def test_only_the_steepest_places_are_edges() -> None:
    """A soft slope that became flat is none of them."""
    truth = _scene()
    slope = np.linspace(0, 0.2, 256, dtype=np.float32)[None, :, None]
    assert edges_kept(truth, truth + slope) == pytest.approx(1, abs=0.03)


def test_edges_that_became_steeper_are_above_one() -> None:
    truth = _scene()
    sharper = truth + 0.8 * (truth - cv2.GaussianBlur(truth, (0, 0), 1.5))
    assert edges_kept(sharper, truth) > 1.2


def test_every_block_is_moved_by_itself() -> None:
    truth = _scene()
    halves = []
    for across in (1, -1):
        motion = np.array([[1, 0, across], [0, 1, 0]], np.float32)
        halves.append(cv2.warpAffine(truth, motion, (256, 256), borderMode=cv2.BORDER_REFLECT))
    off = np.concatenate([halves[0][:128], halves[1][128:]])
    assert tolerant_psnr(off, truth) > 40


def test_one_spoilt_block_is_not_made_up_for_by_the_others() -> None:
    spoilt = _scene()
    spoilt[:32, :32] += 0.5
    assert tolerant_psnr(spoilt, _scene()) == pytest.approx(10 * np.log10(64 / 0.25), abs=0.1)


def test_regions_that_became_lighter_and_darker_do_not_cancel() -> None:
    scene = _scene()
    change = np.full((256, 256, 1), 3 / 255, np.float32)
    change[:, 128:] *= -1
    assert tone_shift(scene + change, scene) == pytest.approx(3, abs=0.05)


def test_a_result_is_set_beside_the_best_blur() -> None:
    scene = _scene()
    photograph = _bytes(scene + _wave(5, 6))
    perfect = aligned_figures(photograph, _bytes(scene), _bytes(scene))
    idle = aligned_figures(photograph, _bytes(scene), photograph)
    assert perfect.strength == pytest.approx(6, rel=0.15)
    assert perfect.pattern_below_blur > 3 > 0 > idle.pattern_below_blur
    assert perfect.psnr_over_blur > 3 > 0 > idle.psnr_over_blur


def test_two_pictures_show_the_same_in_any_tone_but_not_any_two_do() -> None:
    scene = _bytes(_scene())
    toned = _bytes(0.2 + 0.5 * _scene() + _wave(7, 4))
    other = np.ascontiguousarray(scene.transpose(1, 0, 2)[::-1])
    assert shows_the_same(toned, scene)
    assert not shows_the_same(toned, other)
    assert shows_the_same(np.full_like(scene, 90), other), "too little to be told from another"
