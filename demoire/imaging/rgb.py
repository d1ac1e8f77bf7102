"""Any picture file as 8-bit RGB, for training, simulation, measures and previews.

They see the very pixels that the cleaner sees, since the same codecs decode them. Orientation is
the file's own: an orientation tag turns nothing here, as it turns nothing in cleaning. A detector
or restorer that is trained on turned pictures would learn from samples that no cleaner ever shows
it, and a cleaned picture could not be laid over its original.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoire.file_bytes import FileBytes, read_file
from demoire.imaging.codecs.raster import as_rgb8
from demoire.imaging.images import decode


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode a picture file in this process.

    Args:
        path: A file of any format that is cleaned. Palettes and other modes that cannot be cleaned
            are read too; of several pages the first.

    Returns:
        (H, W, 3) sRGB, other spaces converted, without alpha. The high byte of 16-bit samples; grey
        three times.

    Raises:
        ImageError: The file is no picture, or a damaged or too large one.
        OSError: The file cannot be read.
    """
    return decode_rgb(read_file(path))


def decode_rgb(data: FileBytes) -> NDArray[np.uint8]:
    """As `read_rgb`, of a file's bytes.

    Raises:
        ImageError: The bytes are no picture, or a damaged or too large one.
    """
    return as_rgb8(decode(data).pixels)
