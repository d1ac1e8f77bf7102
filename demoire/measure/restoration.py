"""What a restorer did to a photograph, against a truth that is not its exact twin.

On real pairs plain PSNR misleads. The truth is half a pixel off and sharper than any lens, so
whatever blurs the picture comes nearer to it, and most of the distance is tone. So the truth is
first brought into the photograph's tone (`demoire.measure.tone`), and then four things are measured
apart, none of which blur can buy from another:

- pattern left: what the result has below 6 px that the truth has not, where the truth is flat;
- edges kept: how steep the truth's strongest edges are in the result;
- tolerant PSNR: PSNR after each block of 32 px of the truth was moved by up to a pixel to where it
  fits best;
- tone shift: how far regions of 64 px became lighter or darker, or changed colour.

All pictures are (H, W, 3) uint8 sRGB of one shape, at least 64 px on each side. About 0.4 s a
megapixel on one core, most of it the shifts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.measure.blur import oracle_blur
from demoire.measure.tone import fit_tone

_Picture = NDArray[np.uint8]
_Float = NDArray[np.floating]

FINE = 6.0  # px, sigma: a pattern is what a blur by this takes away
_FLAT_SHARE = 0.3  # of the picture, where the truth is flattest
_EDGE_SHARE = 0.03  # of the picture, where the truth is steepest
# px, sigma of the derivative; a misregistration below a pixel costs little then
_EDGE_SOFTNESS = 0.8
_BLOCK = 32  # px, moved by itself
_SHIFTS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # px
_REGION = 64  # px, whose mean tone should stay
_HIGHEST = 60.0  # dB
LEAST_SIDE = 64  # px, of a picture that is measured
# Sigma of a blur under which only the scene is left.
_COARSE = 0.02  # of the picture's longer side
_COARSEST_DOT = 8.0  # px, at the least
# What the truth in the photograph's tone explains of it: 0.93 and more in real pairs, 0.5 where the
# pictures have nothing to do with each other, 0.8 in one such pair of twenty.
_LEAST_EXPLAINED = 0.85
_BLANK = (3 / 255) ** 2  # variance of a picture that shows too little to be told from another


@dataclass(frozen=True)
class RestorationFigures:
    """One result beside its truth."""

    pattern_left: float  # RMS in 1/255 in the flattest 30 % of the truth
    edges_kept: float  # 1 is as steep as the truth, 0.9 softer by a tenth
    tolerant_psnr: float  # dB, at most 60
    tone_shift: float  # mean over regions of 64 px, in 1/255, between result and photograph


@dataclass(frozen=True)
class AlignedFigures:
    """A photograph, its best blur and what became of it, beside the truth in its tone."""

    strength: float  # RMS in 1/255 of the photograph's pattern, where the truth is flat
    photograph: RestorationFigures
    blur: RestorationFigures
    result: RestorationFigures

    @property
    def pattern_below_blur(self) -> float:
        """How much less of the pattern the result has than the best blur, in dB."""
        ratio = self.blur.pattern_left / max(self.result.pattern_left, 1e-6)
        return 20 * float(np.log10(max(ratio, 1e-6)))

    @property
    def psnr_over_blur(self) -> float:
        """Tolerant PSNR of the result less that of the best blur, in dB."""
        return self.result.tolerant_psnr - self.blur.tolerant_psnr


def aligned_figures(photograph: _Picture, truth: _Picture, result: _Picture) -> AlignedFigures:
    """Measure a result beside the photograph and its best Gaussian blur, whose width an oracle
    picks.

    Args:
        photograph: With moiré.
        truth: The same scene without, in its own tone.
        result: What a restorer made of the photograph.
    """
    toned = truth_in_tone(truth, photograph)
    blurred, _ = oracle_blur(photograph, np.clip(toned * 255 + 0.5, 0, 255).astype(np.uint8))
    return AlignedFigures(
        strength=pattern_left(_unit(photograph), toned),
        photograph=restoration_figures(photograph, toned, photograph),
        blur=restoration_figures(blurred, toned, photograph),
        result=restoration_figures(result, toned, photograph),
    )


def shows_the_same(photograph: _Picture, truth: _Picture) -> bool:
    """Whether two pictures of one size are of one scene in one frame.

    They are where the truth in the photograph's tone explains at least 85 % of the photograph's
    coarse variation.
    """
    sigma = max(_COARSEST_DOT, _COARSE * max(photograph.shape))
    coarse = cv2.GaussianBlur(_unit(photograph), (0, 0), sigma)
    variation = float(coarse.reshape(-1, 3).var(axis=0).mean())
    if variation < _BLANK:
        return True
    toned = cv2.GaussianBlur(truth_in_tone(truth, photograph), (0, 0), sigma)
    return 1 - float(np.mean(np.square(coarse - toned))) / variation >= _LEAST_EXPLAINED


def truth_in_tone(truth: _Picture, photograph: _Picture) -> _Float:
    """The truth in the photograph's tone, (H, W, 3) float32 0..1; see `demoire.measure.tone`."""
    return np.clip(fit_tone(_unit(truth), _unit(photograph)), 0, 1)


def restoration_figures(
    result: _Picture, truth: _Float, photograph: _Picture
) -> RestorationFigures:
    """Measure a result, or the photograph itself, against the truth in the photograph's tone."""
    restored = _unit(result)
    return RestorationFigures(
        pattern_left=pattern_left(restored, truth),
        edges_kept=edges_kept(restored, truth),
        tolerant_psnr=tolerant_psnr(restored, truth),
        tone_shift=tone_shift(restored, _unit(photograph)),
    )


def pattern_left(result: _Float, truth: _Float) -> float:
    """RMS in 1/255 of what the result has and the truth has not, finer than 6 px, where the truth
    is flattest.

    Args:
        result: (H, W, 3) 0..1.
        truth: the same, in the result's tone.
    """
    difference = result - truth
    fine = difference - cv2.GaussianBlur(difference, (0, 0), FINE)
    steepness = cv2.GaussianBlur(_steepness(truth), (0, 0), FINE)
    flat = steepness <= np.quantile(steepness, _FLAT_SHARE)
    return 255 * float(np.sqrt(np.mean(np.square(fine[flat]))))


def edges_kept(result: _Float, truth: _Float) -> float:
    """Least-squares slope of the result's gradients on the truth's, at the truth's steepest pixels.

    Args:
        result: (H, W, 3) 0..1.
        truth: the same, in the result's tone.
    """
    wanted = _gradients(truth)
    there = _gradients(result)
    steepness = np.square(wanted).sum(axis=2)
    steep = steepness >= np.quantile(steepness, 1 - _EDGE_SHARE)
    common = float((wanted[steep] * there[steep]).sum())
    return common / max(float(np.square(wanted[steep]).sum()), 1e-9)


def tolerant_psnr(result: _Float, truth: _Float) -> float:
    """PSNR in dB after each block of 32 px of the truth was moved by up to 1 px, in halves, to
    where it fits best.

    The truth is moved, by cubic interpolation, so that no result gains from being resampled. Blocks
    that lie at the right and the bottom edge in part are left out.
    """
    errors = [
        _block_errors(result, _moved(truth, down, across)) for down in _SHIFTS for across in _SHIFTS
    ]
    error = float(np.min(errors, axis=0).mean())
    return min(_HIGHEST, -10 * float(np.log10(max(error, 1e-12))))


def tone_shift(result: _Float, photograph: _Float) -> float:
    """Mean distance in 1/255 between the mean colours of regions of 64 px, over regions and
    colours."""
    return 255 * float(np.abs(_region_means(result) - _region_means(photograph)).mean())


def _unit(picture: _Picture) -> _Float:
    return picture.astype(np.float32) / 255


def _gradients(picture: _Float) -> _Float:
    """(H, W, 3) -> (H, W, 2): the luma's derivative across and down."""
    luma = cv2.GaussianBlur(picture.mean(axis=2), (0, 0), _EDGE_SOFTNESS)
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.stack([across, down], axis=2)


def _steepness(picture: _Float) -> _Float:
    steepness: _Float = np.sqrt(np.square(_gradients(picture)).sum(axis=2))
    return steepness


def _moved(picture: _Float, down: float, across: float) -> _Float:
    if down == 0 and across == 0:
        return picture
    motion = np.array([[1, 0, across], [0, 1, down]], np.float32)
    sides = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(
        picture, motion, sides, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, np.float32)


def _block_errors(one: _Float, other: _Float) -> _Float:
    """Mean squared difference of each whole block of 32 px."""
    rows = one.shape[0] // _BLOCK
    columns = one.shape[1] // _BLOCK
    cut = (slice(0, rows * _BLOCK), slice(0, columns * _BLOCK))
    squares = np.square(one[cut] - other[cut]).mean(axis=2)
    blocks: _Float = squares.reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))
    return blocks


def _region_means(picture: _Float) -> _Float:
    sides = (max(1, picture.shape[1] // _REGION), max(1, picture.shape[0] // _REGION))
    return np.asarray(cv2.resize(picture, sides, interpolation=cv2.INTER_AREA))
