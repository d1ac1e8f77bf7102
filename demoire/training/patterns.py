"""Real patterns, taken off photographs of screens and laid over clean pictures.

A pattern layer is what a photograph of a screen has over the truth in the photograph's tone, where
the truth is smooth: elsewhere half a pixel of misregistration would leave the scene's own edges in
it. Laid over a clean picture, at another size, turned and stronger or fainter, it makes a real
screen's moiré on a scene whose exact twin is known.

Taking one costs 0.15 s, laying it over a tile 2 ms.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.measure.restoration import truth_in_tone
from demoire.simulate.arrays import srgb_bytes

_Picture = NDArray[np.uint8]
_Float = NDArray[np.floating]

_WIDEST = 40.0  # px, sigma: wider bands cannot be told from uneven light
# Change of the truth a pixel, by Sobel's operator: from half of it on a pattern counts less, from
# 1.5 times it on not at all.
_STEEP = 0.12
_REACH = 7  # px around an edge that do not count
_DARK, _BRIGHT = 0.06, 0.98  # 0..1: black shows no pattern, and clipped white shows half of one
_TRIES = 4
_NEXT_TO_NOTHING = 0.03  # of a window
_LEAST = 0.3 / 255  # RMS of a piece that is no pattern at all


@dataclass(frozen=True)
class PatternLayer:
    """A pattern by itself."""

    change: NDArray[np.float16]  # (H, W, 3), to be added to sRGB 0..1; 0 where nothing is known
    weights: NDArray[np.float16]  # (H, W), how much of it is known, 0..1

    @property
    def known(self) -> float:
        """The share of the photograph of which something is known, 0..1."""
        return float(self.weights.mean(dtype=np.float32))

    def strength(self, window: tuple[slice, slice]) -> float:
        """RMS of the pattern in 1/255 where it is known; infinite where next to nothing is."""
        weights = self.weights[window].astype(np.float32)
        if weights.mean() < _NEXT_TO_NOTHING:
            return math.inf
        squares = np.square(self.change[window].astype(np.float32)).mean(axis=2)
        # The change is weighted already, so its square is by the square.
        return 255 * float(np.sqrt(squares.sum() / np.square(weights).sum()))


def take_pattern(photograph: _Picture, truth: _Picture) -> PatternLayer:
    """The pattern of a photograph of a screen.

    Args:
        photograph: (H, W, 3) uint8 sRGB with moiré.
        truth: the same scene without, in the same frame.
    """
    toned = truth_in_tone(truth, photograph)
    change = photograph.astype(np.float32) / 255 - toned
    change -= cv2.GaussianBlur(change, (0, 0), _WIDEST)
    known = _smoothness(truth.astype(np.float32) / 255) * _is_between(toned.mean(axis=2))
    weighted = (change * known[..., None]).astype(np.float16)
    return PatternLayer(weighted, known.astype(np.float16))


def _smoothness(truth: NDArray[np.floating]) -> _Float:
    """(H, W): 1 where the truth is smooth all around, 0 at its edges."""
    soft = cv2.GaussianBlur(truth, (0, 0), 1.0)
    across = np.abs(cv2.Sobel(soft, -1, 1, 0)).max(axis=2)
    down = np.abs(cv2.Sobel(soft, -1, 0, 1)).max(axis=2)
    steep = cv2.dilate(np.maximum(across, down), np.ones((_REACH, _REACH), np.uint8))
    smoothness: _Float = np.clip(1.5 - cv2.GaussianBlur(steep, (0, 0), 2.0) / _STEEP, 0, 1)
    return smoothness


def _is_between(light: _Float) -> _Float:
    """1 for middle tones, 0 for those so dark or so bright that no pattern can be seen."""
    above_black: _Float = np.clip((light - _DARK) / 0.1, 0, 1)
    below_white: _Float = np.clip((_BRIGHT - light) / 0.04, 0, 1)
    return above_black * below_white


def lay_pattern_over(
    clean: _Picture, layer: PatternLayer, strength: float, rng: np.random.Generator
) -> _Picture | None:
    """A clean picture with a piece of the pattern over it.

    Args:
        clean: (S, S, 3) uint8 sRGB.
        layer: the pattern; a piece of it is chosen, resized by 0.7 to 1.4, turned and mirrored.
        strength: RMS of the piece in 1/255, before it is weakened in dark and in light places.
        rng: decides which piece, and whether it is merged as film grain is or multiplied.

    Returns:
        (S, S, 3) uint8 sRGB; None where the piece shows no pattern.
    """
    side = clean.shape[0]
    piece = _piece(layer.change, round(side / rng.uniform(0.7, 1.4)), rng)
    piece = cv2.resize(piece, (side, side), interpolation=cv2.INTER_CUBIC)
    piece = np.rot90(piece, int(rng.integers(4)))
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    contrast = float(np.sqrt(np.mean(np.square(piece))))
    if contrast < _LEAST:
        return None
    light = clean.astype(np.float32) / 255
    if rng.random() < 0.5:
        luma = light.mean(axis=2, keepdims=True)
        share = np.clip(4 * luma * (1.1 - luma) + 0.2, 0, 1)
    else:
        share = 2 * light
    merged = light + piece * share * np.float32(strength / 255 / contrast)
    return srgb_bytes(merged)


def _piece(change: NDArray[np.float16], side: int, rng: np.random.Generator) -> _Float:
    """Of a few random squares the one with the most pattern, (side, side, 3) or as much as there
    is."""
    side = min(side, *change.shape[:2])
    best = change[:side, :side]
    most = -1.0
    for _ in range(_TRIES):
        top = int(rng.integers(change.shape[0] - side + 1))
        left = int(rng.integers(change.shape[1] - side + 1))
        piece = change[top : top + side, left : left + side]
        amount = float(np.count_nonzero(piece[::8, ::8, 1]))
        if amount > most:
            best = piece
            most = amount
    return best.astype(np.float32)
