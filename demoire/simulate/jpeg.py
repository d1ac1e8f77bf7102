"""A picture written as JPEG and read again, as happens to most of them on their way."""

import cv2
import numpy as np

from demoire.simulate.arrays import SrgbPixels


def through_jpeg(picture: SrgbPixels, quality: int, *, has_half_chroma: bool) -> SrgbPixels:
    """What JPEG leaves of (H, W, 3) sRGB.

    Args:
        picture: The picture.
        quality: Of libjpeg's scale, 1 to 100.
        has_half_chroma: Whether colour is stored at half the size.
    """
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    if has_half_chroma:
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    # OpenCV has the channels the other way round.
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], options)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1])
