"""Samples of inks (CMYK) as a TIFF file, which has a place for them, as PNG has not.

The file is made in the child, with one strip that is not compressed, and read where it comes back.
"""

import io

import numpy as np
import tifffile

from demoire.imaging.pdf.picture import not_of_this_picture


def tiff_of_inks(
    samples: bytes, *, width: int, height: int, bits: int, profile: bytes | None
) -> bytes:
    """A TIFF file of CMYK.

    Args:
        samples: Row by row, cyan first; of 16 bits the more significant byte first.
        width: px.
        height: px.
        bits: Bits a sample, 8 or 16.
        profile: An ICC profile.
    """
    inks = np.frombuffer(samples, f">u{bits // 8}").reshape(height, width, 4)
    out = io.BytesIO()
    tifffile.imwrite(
        out,
        inks,
        byteorder=">",
        photometric="separated",
        planarconfig="contig",
        iccprofile=profile,
        metadata=None,
        software=False,
    )
    return out.getvalue()


def inks_of_tiff(data: bytes, *, width: int, height: int, bits: int) -> bytes:
    """The samples of such a file, as they were given.

    Raises:
        ImageError: `encode_failed`: it is another picture.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            inks = file.pages.first.asarray()
    except (tifffile.TiffFileError, ValueError) as error:
        raise not_of_this_picture() from error
    if inks.shape != (height, width, 4) or inks.dtype.itemsize * 8 != bits:
        raise not_of_this_picture()
    return inks.astype(inks.dtype.newbyteorder(">")).tobytes()


def essence_of_tiff(data: bytes) -> bytes:
    """All samples of a TIFF file."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        inks = file.pages.first.asarray()
    return repr(inks.shape).encode() + inks.astype(inks.dtype.newbyteorder(">")).tobytes()
