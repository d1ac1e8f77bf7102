"""WebP keeps its metadata."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.imaging.images import decode, encode
from tests.demoire.imaging.files import (
    PROFILE,
    XMP,
    saved,
    some_exif,
)


def test_a_lossy_webp_keeps_its_metadata_and_hardly_loses(rgb: NDArray[np.uint8]) -> None:
    data = saved(
        Image.fromarray(rgb), "WEBP", quality=80, exif=some_exif(8), xmp=XMP, icc_profile=PROFILE
    )
    picture = decode(data)
    written = encode(picture, picture.pixels)
    with Image.open(io.BytesIO(written)) as new, Image.open(io.BytesIO(data)) as old:
        for key in ("exif", "xmp", "icc_profile"):
            assert new.info[key] == old.info[key]
    assert np.abs(decode(written).pixels.astype(int) - picture.pixels).mean() < 2
