"""Pattern layers: what a screen adds to a scene, taken off one and laid over another."""

import cv2
import numpy as np

from demoire.training.patterns import lay_pattern_over, take_pattern


def _scene(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random((200, 200, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 12)
    return np.clip(127 + 2000 * (soft - 0.5), 40, 215).astype(np.uint8)


def _stripes(height: float) -> np.ndarray:
    """Vertical stripes of 9 px and this RMS in 1/255."""
    stripes = np.sin(np.arange(200) * 2 * np.pi / 9) * height * 2**0.5
    return np.broadcast_to(stripes[None, :, None], (200, 200, 3))


def _photograph(shown: np.ndarray, height: float) -> np.ndarray:
    return np.clip(0.8 * shown + 20 + _stripes(height), 0, 255).astype(np.uint8)


def _rms(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(one.astype(float) - other))))


def test_a_pattern_is_found_with_its_strength() -> None:
    shown = _scene(1)
    pattern = take_pattern(_photograph(shown, 6), shown)
    everywhere = slice(0, 200), slice(0, 200)
    assert pattern.known > 0.8
    assert 5 < pattern.strength(everywhere) < 7


def test_nothing_is_taken_off_where_nothing_was_added() -> None:
    shown = _scene(1)
    pattern = take_pattern(_photograph(shown, 0), shown)
    assert pattern.strength((slice(0, 200), slice(0, 200))) < 1


def test_edges_of_the_scene_are_left_out() -> None:
    """A truth that is a pixel off would leave every edge in the pattern."""
    shown = np.full((200, 200, 3), 60, np.uint8)
    shown[:, 100:] = 200
    pattern = take_pattern(np.roll(shown, 1, axis=1), shown)
    assert np.abs(pattern.change[:, 95:106].astype(float)).max() < 0.01


def test_a_laid_pattern_has_the_strength_asked_for() -> None:
    shown = _scene(1)
    pattern = take_pattern(_photograph(shown, 6), shown)
    clean = np.full((128, 128, 3), 128, np.uint8)
    strengths = []
    for seed in range(6):
        laid = lay_pattern_over(clean, pattern, 8.0, np.random.default_rng(seed))
        assert laid is not None
        strengths.append(_rms(laid, clean))
    assert 5 < min(strengths) < max(strengths) < 11


def test_no_pattern_is_laid_over_nothing() -> None:
    shown = np.full((200, 200, 3), 128, np.uint8)
    pattern = take_pattern(shown, shown)
    clean = np.full((128, 128, 3), 128, np.uint8)
    assert lay_pattern_over(clean, pattern, 8.0, np.random.default_rng(0)) is None
