"""Odd metadata makes no noise."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from tests.demoire.imaging.files import (
    tiff,
)


def test_odd_metadata_is_no_error_even_where_warnings_are(
    rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "odd.tif"
    odd = bytearray(tiff(rgb, photometric="rgb", software="a long name"))
    with tifffile.TiffFile(io.BytesIO(bytes(odd))) as file:
        struct.pack_into("<I", odd, file.pages[0].tags["Software"].offset + 8, 1 << 30)
    path.write_bytes(odd)
    read = (
        "from demoire.imaging.images import decode; "
        "from demoire.imaging.quiet import quiet_decoders; "
        f"quiet_decoders(); decode(open({str(path)!r}, 'rb').read())"
    )
    pillow = f"from PIL import Image; Image.open({str(path)!r})"
    for code, quiet in ((read, True), (pillow, False)):
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True
        )
        assert (done.stderr == "") == quiet, done.stderr


def test_libtiff_keeps_its_complaints_to_itself(tmp_path: Path) -> None:
    """It writes them to standard error by itself, past Python."""
    path = tmp_path / "tiles.tif"
    pixels = np.zeros((64, 64), np.uint8)
    data = bytearray(tiff(pixels, tile=(16, 16), compression="lzw"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        struct.pack_into("<I", data, file.pages[0].tags["TileWidth"].offset + 8, 0)
    path.write_bytes(data)
    for first_line, is_quiet in (("pass", False), ("quiet_decoders()", True)):
        code = f"""
from PIL import Image
from demoire.imaging.quiet import quiet_decoders
{first_line}
try:
    Image.open({str(path)!r}).load()
except Exception:
    pass
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.stderr == "") == is_quiet, done.stderr
