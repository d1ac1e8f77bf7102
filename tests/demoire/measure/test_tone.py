"""Tone fitting: what a camera does to tone and colour is taken out, what repeats stays."""

import cv2
import numpy as np

from demoire.measure.tone import fit_tone


def _scene(seed: int = 0) -> np.ndarray:
    """Soft coloured shapes, (192, 256, 3) 0..1."""
    noise = np.random.default_rng(seed).random((192, 256, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.clip(0.5 + 4 * (soft - 0.5), 0.1, 0.9)


def _rms(difference: np.ndarray) -> float:
    return 255 * float(np.sqrt(np.mean(np.square(difference))))


def test_exposure_colour_and_uneven_light_are_fitted() -> None:
    truth = _scene()
    light = np.linspace(0.7, 1.1, 256, dtype=np.float32)[None, :, None]
    photograph = truth**1.2 * np.array([0.9, 1.0, 0.8], np.float32) * light
    assert _rms(truth - photograph) > 25
    assert _rms(fit_tone(truth, photograph) - photograph) < 2.0


def test_a_pattern_is_not_fitted() -> None:
    truth = _scene()
    wave = 0.04 * np.sin(np.arange(256) * 2 * np.pi / 9).astype(np.float32)[None, :, None]
    left = fit_tone(truth, 0.8 * truth + wave) - (0.8 * truth + wave)
    assert _rms(left) > 0.9 * _rms(np.broadcast_to(wave, truth.shape))


def test_a_picture_in_its_own_tone_stays() -> None:
    truth = _scene()
    assert _rms(fit_tone(truth, truth) - truth) < 0.1
