"""Fit one picture's tone and colour to another's of the same scene: what a camera and a screen do
to them, not moiré.

A photograph of a screen differs from what the screen showed by exposure, white balance, contrast
and uneven light, and by more of those than of moiré: a colour matrix alone is worth 5 dB of PSNR.
So before any pattern is measured, the truth is brought into the tone of the photograph, by least
squares over all pixels: a polynomial of second degree in the three colours, of which the constant
and the linear terms may vary over the picture as polynomials of second degree in its place. Those
are 10 + 4 * 5 = 30 terms for each colour. What repeats within a few dozen pixels cannot be fitted
by them and stays; so does what is sharper or softer.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_SAMPLES = 20_000  # pixels that are fitted; more change the fit by less than 0.1 in 255
_SOFTNESS = 1.5  # px, blur of what is fitted: a misregistration of half a pixel no longer shows
_RIDGE = 1e-4


def fit_tone(picture: Float, like: Float) -> Float:
    """A picture in the tone of another one that shows the same.

    Args:
        picture: (H, W, 3) sRGB 0..1, what is to change.
        like: (H, W, 3) sRGB 0..1, the tone that is wanted.

    Returns:
        (H, W, 3) float32; values may lie a little outside of 0..1.
    """
    step = max(1, int(np.sqrt(picture.shape[0] * picture.shape[1] / _SAMPLES)))
    soft, wanted = (cv2.GaussianBlur(one, (0, 0), _SOFTNESS) for one in (picture, like))
    terms = _terms(soft)[::step, ::step].reshape(-1, 30).astype(np.float64)
    values = wanted[::step, ::step].reshape(-1, 3).astype(np.float64)
    square = terms.T @ terms
    square[np.diag_indices(30)] += _RIDGE * len(terms)
    identity = _identity()
    change = np.linalg.solve(square, terms.T @ (values - terms @ identity))
    fitted: Float = (_terms(picture) @ (identity + change).astype(np.float32)).astype(np.float32)
    return fitted


def _identity() -> NDArray[np.float64]:
    """The coefficients that leave a picture as it is; the ridge draws towards them."""
    coefficients = np.zeros((30, 3))
    for channel in range(3):
        coefficients[1 + channel, channel] = 1.0
    return coefficients


def _terms(picture: Float) -> Float:
    """(H, W, 3) -> (H, W, 30): constant, colours, their products, and constant and colours times
    the place's terms."""
    height, width = picture.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    x = np.ones((height, 1), np.float32) * np.linspace(-1, 1, width, dtype=np.float32)
    red, green, blue = np.moveaxis(picture, 2, 0)
    linear = [np.ones_like(red), red, green, blue]
    squares = [red * red, green * green, blue * blue, red * green, red * blue, green * blue]
    places = [x, y, x * x, y * y, x * y]
    varying = [one * place for place in places for one in linear]
    return np.stack(linear + squares + varying, axis=2)
