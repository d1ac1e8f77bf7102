"""Files of each kind that is cleaned, and files of each way to code a JPEG."""

import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.demoire.imaging.files import PROFILE, SIZE, deep, saved, tiff


@pytest.fixture(scope="session")
def rgb(scene: Callable) -> NDArray[np.uint8]:
    return scene(*SIZE)


@pytest.fixture(scope="session")
def lossless_files(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    """Files whose pixels come back exactly, one of each kind that is cleaned."""
    grey, alpha = rgb[:, :, 1], rgb[:, :, 2]
    with_alpha, grey_alpha = np.dstack([rgb, alpha]), np.dstack([grey, alpha])
    top_down = bytearray(saved(Image.fromarray(rgb[::-1].copy()), "BMP"))
    struct.pack_into("<i", top_down, 22, -SIZE[0])
    files = {
        "png grey": saved(Image.fromarray(grey), "PNG"),
        "png grey alpha": saved(Image.fromarray(grey_alpha, "LA"), "PNG"),
        "png": saved(Image.fromarray(rgb), "PNG", dpi=(300, 300), icc_profile=PROFILE),
        "png alpha": saved(Image.fromarray(with_alpha), "PNG"),
        "png grey 16": imagecodecs.png_encode(deep(grey)),
        "png grey alpha 16": imagecodecs.png_encode(deep(grey_alpha)),
        "png 16": imagecodecs.png_encode(deep(rgb)),
        "png alpha 16": imagecodecs.png_encode(deep(with_alpha)),
        "webp": saved(Image.fromarray(rgb), "WEBP", lossless=True),
        "webp alpha": saved(Image.fromarray(with_alpha), "WEBP", lossless=True, exact=True),
        "jp2": saved(Image.fromarray(rgb), "JPEG2000", mct=1, tile_size=(64, 64)),
        "jp2 alpha": saved(Image.fromarray(with_alpha), "JPEG2000"),
        "jp2 grey 16": saved(Image.fromarray(deep(grey)), "JPEG2000"),
        "jp2 16": imagecodecs.jpeg2k_encode(deep(rgb), codecformat="jp2", reversible=True),
        "j2k": saved(Image.fromarray(rgb), "JPEG2000", no_jp2=True),
        "bmp": saved(Image.fromarray(rgb), "BMP", dpi=(150, 150)),
        "bmp top down": bytes(top_down),
        "bmp grey": saved(Image.fromarray(grey), "BMP"),
        "tiff white is zero": tiff(255 - grey, photometric="miniswhite"),
        "tiff grey 16 big endian": tiff(
            deep(grey), byteorder=">", compression="lzw", predictor=True
        ),
        "tiff alpha": tiff(
            with_alpha, photometric="rgb", extrasamples=["unassalpha"], compression="lzw"
        ),
        "tiff alpha 16": tiff(
            deep(with_alpha), photometric="rgb", extrasamples=["unassalpha"], compression="zlib"
        ),
        "tiff planar": tiff(
            np.moveaxis(rgb, 2, 0), photometric="rgb", planarconfig="separate", compression="lzw"
        ),
        "tiff planar 16 tiles": tiff(
            np.moveaxis(deep(rgb), 2, 0),
            photometric="rgb",
            planarconfig="separate",
            tile=(32, 48),
            compression="zlib",
        ),
        "tiff big": tiff(rgb, photometric="rgb", bigtiff=True, compression="zstd", rowsperstrip=16),
        "tiff packbits": tiff(rgb, photometric="rgb", compression="packbits", rowsperstrip=7),
        "tiff short offsets": saved(Image.fromarray(rgb), "TIFF", compression="tiff_lzw"),
    }
    for compression in (None, "lzw", "zlib", "deflate"):
        for depth, samples in ((8, rgb), (16, deep(rgb))):
            for predictor in (False, True) if compression else (False,):
                for layout in ({"rowsperstrip": 11}, {"tile": (32, 48)}):
                    name = f"tiff {depth} {compression} predictor={predictor} {layout}"
                    options = {
                        "photometric": "rgb",
                        "compression": compression,
                        "predictor": predictor,
                        **layout,
                    }
                    files[name] = tiff(
                        samples, resolution=(300, 300), resolutionunit="inch", **options
                    )
    return files


@pytest.fixture(scope="session")
def jpeg_files(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 1])
    return {
        "4:4:4": saved(image, "JPEG", quality=92, subsampling=0),
        "4:2:2": saved(image, "JPEG", quality=85, subsampling=1),
        "4:2:0 progressive": saved(image, "JPEG", quality=80, subsampling=2, progressive=True),
        "grey": saved(grey, "JPEG", quality=88),
        "rgb": saved(image, "JPEG", quality=90, keep_rgb=True),
        "restarts": saved(image, "JPEG", quality=75, restart_marker_rows=2),
        "three tables": saved(
            image, "JPEG", qtables=[[3 + i // 9] * 64 for i in (0, 9, 27)], subsampling=0
        ),
        "best": saved(image, "JPEG", quality=100, subsampling=0),
    }


@pytest.fixture(scope="session")
def all_files(lossless_files: dict[str, bytes], jpeg_files: dict[str, bytes]) -> dict[str, bytes]:
    names = (
        "png",
        "png 16",
        "webp",
        "jp2",
        "j2k",
        "bmp",
        "tiff short offsets",
        "tiff big",
        "tiff planar 16 tiles",
    )
    jpegs = ("4:4:4", "4:2:0 progressive")
    return {name: lossless_files[name] for name in names} | {
        name: jpeg_files[name] for name in jpegs
    }
