"""Pictures of every format and form that is worth spoiling, drawn and encoded here."""

import functools
import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pikepdf
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from demoire.imaging.formats import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES
from tests.chaos.bricks import draw, png_of
from tests.demoire.imaging.files import saved, tiff
from tests.demoire.imaging.pdf.drawn_pdf import add_page, jpeg_picture_of
from tests.pipelines.conftest import SIDE


@dataclass(frozen=True)
class Parent:
    """A file that mutations begin with."""

    label: str
    suffix: str
    data: bytes


_SMALLEST_PARENT = 64  # bytes; in less there is nothing to mutate


def good_pictures(seed: int) -> dict[str, bytes]:
    """The pictures by name that stand beside the trap in every hostile archive and folder; every
    second is striped.
    """
    pictures = [draw(number % 2 == 0, 10 * seed + number) for number in range(4)]
    files = {
        f"good-{i}.jpg": saved(Image.fromarray(p), "JPEG", quality=92)
        for i, p in enumerate(pictures[:3])
    }
    return files | {"good-3.png": saved(Image.fromarray(pictures[3]), "PNG")}


@functools.cache
def parents() -> tuple[Parent, ...]:
    """All that is drawn here, a striped and a plain picture in turn."""
    made = {".jpg": _jpegs, ".png": _pngs, ".tif": _tiffs, ".webp": _webps, ".bmp": _bmps}
    found = [
        Parent(f"{suffix[1:]}-{label}-{number}", suffix, data)
        for suffix, make in made.items()
        for number, picture in enumerate((draw(True, 1, 101, 130), draw(False, 2, 72, 64)))
        for label, data in make(picture).items()
    ]
    return (
        *found,
        *(
            Parent(f"foreign{suffix.replace('.', '-')}", suffix, data)
            for suffix, data in _foreign()
        ),
        *_newer(),
    )


def read_parents(folder: Path) -> Iterator[Parent]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        suffix, data = path.suffix.lower(), path.read_bytes()
        suffix = suffix if suffix in IMAGE_SUFFIXES | UNSUPPORTED_SUFFIXES else ".jpg"
        if len(data) >= _SMALLEST_PARENT:
            yield Parent(re.sub(r"[^A-Za-z0-9]+", "-", path.stem)[-48:], suffix, data)


@functools.cache
def _profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # the clock must not decide what is drawn
    profile[24:36] = struct.pack(">6H", 2001, 2, 3, 4, 5, 6)
    return bytes(profile)


@functools.cache
def exif() -> bytes:
    found = Image.Exif()
    found[0x0112], found[0x010F], found[0x8298] = 6, "A camera maker", "somebody"
    found.get_ifd(0x8769).update(
        {0x9003: "2001:02:03 04:05:06", 0x927C: bytes(range(200)), 0x829A: 0.01}
    )
    found.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.5)})
    return found.tobytes()


_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>\xc3\xa9</a></x:xmpmeta>'


def _jpegs(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 1])
    rich = {
        "exif": exif(),
        "icc_profile": _profile(),
        "xmp": _XMP,
        "comment": b"a note",
        "dpi": (300, 300),
    }
    return {
        "420": saved(image, "JPEG", quality=80, subsampling=2),
        "444": saved(image, "JPEG", quality=92, subsampling=0),
        "422": saved(image, "JPEG", quality=85, subsampling=1),
        "progressive": saved(image, "JPEG", quality=85, progressive=True),
        "progressive-grey": saved(grey, "JPEG", quality=85, progressive=True),
        "grey": saved(grey, "JPEG", quality=88),
        "cmyk": saved(image.convert("CMYK"), "JPEG", quality=88),
        "rgb": saved(image, "JPEG", quality=90, keep_rgb=True),
        "rich": saved(image, "JPEG", quality=90, **rich),
        "restarts": saved(image, "JPEG", quality=75, restart_marker_rows=1),
        "restarts-progressive": saved(
            image, "JPEG", quality=75, progressive=True, restart_marker_blocks=5
        ),
        "twelve-bits": bytes(
            imagecodecs.jpeg8_encode(rgb.astype(np.uint16) << 4, bitspersample=12)
        ),
        "lossless": bytes(imagecodecs.ljpeg_encode(np.ascontiguousarray(rgb[:, :, 1]))),
    }


def _pngs(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 1])
    deep = rgb.astype(np.uint16) * 257
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a title")
    text.add_text("Comment", "a long one " * 40, zip=True)
    text.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    alpha = Image.fromarray(np.dstack([rgb, rgb[:, :, 2]]))
    return {
        "grey": saved(grey, "PNG"),
        "rgb": saved(image, "PNG"),
        "rgba": saved(alpha, "PNG"),
        "grey-alpha": saved(alpha.convert("LA"), "PNG"),
        "palette": saved(image.quantize(40), "PNG"),
        "palette-transparent": saved(image.quantize(16), "PNG", transparency=bytes(range(16))),
        "two-bits": saved(grey.quantize(4), "PNG", bits=2),
        "one-bit": saved(image.convert("1"), "PNG"),
        "key-colour": saved(image, "PNG", transparency=tuple(rgb[0, 0].tolist())),
        "grey-16": bytes(imagecodecs.png_encode(np.ascontiguousarray(deep[:, :, 1]))),
        "rgb-16": bytes(imagecodecs.png_encode(deep)),
        "rgba-16": bytes(imagecodecs.png_encode(np.dstack([deep, deep[:, :, 2]]))),
        "interlaced": _interlaced_png(rgb),
        "interlaced-16": _interlaced_png(deep),
        "rich": saved(
            image, "PNG", pnginfo=text, icc_profile=_profile(), exif=exif(), dpi=(300, 300)
        ),
        "animated": saved(image, "PNG", save_all=True, append_images=[Image.fromarray(255 - rgb)]),
    }


_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def _interlaced_png(rgb: NDArray) -> bytes:
    """Seven passes; Pillow and imagecodecs do not write them."""
    coded = rgb.astype(rgb.dtype.newbyteorder(">"))
    passes = [coded[top::down, left::across] for top, left, down, across in _ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    header = struct.pack(">2I5B", rgb.shape[1], rgb.shape[0], 8 * rgb.dtype.itemsize, 2, 0, 0, 1)
    return png_of([(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def _tiffs(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    image, grey, deep = Image.fromarray(rgb), rgb[:, :, 1], rgb.astype(np.uint16) * 257
    colour = {"photometric": "rgb", "rowsperstrip": 20}
    coded = ("lzw", "deflate", "packbits", "zstd", "lzma", "webp")
    ways: dict[str, dict[str, object]] = {name: {"compression": name} for name in coded}
    files = {name: tiff(rgb, **colour, **options) for name, options in ways.items()}
    files |= {
        f"fax-{way}": saved(image.convert("1"), "TIFF", compression=way)
        for way in ("group3", "group4")
    }
    jpeg = {"compression": "jpeg", "compressionargs": {"level": 90}}
    return files | {
        "plain": tiff(rgb, **colour),
        "grey": tiff(grey, photometric="minisblack", rowsperstrip=30),
        "predictor": tiff(rgb, compression="lzw", predictor=True, **colour),
        "predictor-16": tiff(
            deep, compression="deflate", predictor=True, tile=(32, 48), photometric="rgb"
        ),
        "jpeg": tiff(rgb, photometric="ycbcr", rowsperstrip=16, **jpeg),
        "jpeg-tiles": tiff(rgb, photometric="ycbcr", tile=(48, 64), **jpeg),
        "tiles": tiff(rgb, photometric="rgb", tile=(32, 48)),
        "planar": tiff(np.moveaxis(rgb, 2, 0), planarconfig="separate", **colour),
        "planar-zstd-tiles": tiff(
            np.moveaxis(deep, 2, 0),
            planarconfig="separate",
            photometric="rgb",
            compression="zstd",
            tile=(32, 32),
        ),
        "grey-16": tiff(deep[:, :, 1], photometric="minisblack", byteorder=">"),
        "rgba": tiff(np.dstack([rgb, grey]), extrasamples=["unassalpha"], **colour),
        "big": tiff(rgb, bigtiff=True, compression="deflate", **colour),
        "big-endian": tiff(rgb, bigtiff=True, byteorder=">", **colour),
        "float": tiff(grey.astype(np.float32) / 7, photometric="minisblack"),
        "one-bit": saved(image.convert("1"), "TIFF"),
        "palette": saved(image.quantize(40), "TIFF", compression="tiff_lzw"),
        "cmyk": saved(image.convert("CMYK"), "TIFF"),
        # else Pillow puts in one with the time
        "lab": saved(image.convert("LAB"), "TIFF", icc_profile=_profile()),
        "two-pages": saved(
            image, "TIFF", save_all=True, append_images=[image.rotate(180)], compression="tiff_lzw"
        ),
        "rich": saved(image, "TIFF", icc_profile=_profile(), exif=exif(), dpi=(400, 400)),
    }


def _webps(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    image, alpha = Image.fromarray(rgb), Image.fromarray(np.dstack([rgb, rgb[:, :, 2]]))
    rich = {"icc_profile": _profile(), "exif": exif(), "xmp": _XMP}
    return {
        "lossy": saved(image, "WEBP", quality=80, method=2),
        "lossless": saved(image, "WEBP", lossless=True, method=0),
        "alpha": saved(alpha, "WEBP", quality=80, method=2),
        "alpha-lossless": saved(alpha, "WEBP", lossless=True, exact=True, method=0),
        "rich": saved(image, "WEBP", quality=80, method=2, **rich),
        "rich-lossless": saved(alpha, "WEBP", lossless=True, method=0, **rich),
        "animated": saved(
            image, "WEBP", save_all=True, append_images=[image.rotate(180)], method=0
        ),
    }


def _bmps(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    image = Image.fromarray(rgb)
    height, width, _ = rgb.shape
    top_down = bytearray(saved(image, "BMP"))
    struct.pack_into("<i", top_down, 22, -height)
    rows = np.pad(rgb[::-1, :, ::-1].reshape(height, -1), ((0, 0), (0, -3 * width % 4))).tobytes()
    return {
        "24": saved(image, "BMP"),
        "grey": saved(image.convert("L"), "BMP"),
        "palette": saved(image.quantize(40), "BMP"),
        "32": saved(image.convert("RGBA"), "BMP"),
        "one-bit": saved(image.convert("1"), "BMP"),
        "top-down": bytes(top_down),
        "core": b"BM"
        + struct.pack("<I4xIIHHHH", 26 + len(rows), 26, 12, width, height, 1, 24)
        + rows,
        "rle": _run_length_bmp(rgb[:, :, 1] // 48),
    }


def _run_length_bmp(indices: NDArray[np.uint8]) -> bytes:
    """8 bits with a palette, in runs; Pillow reads such files and does not write them."""
    height, width = indices.shape
    coded = bytearray()
    for row in indices[::-1]:
        for index, run in groupby(row.tolist()):
            length = len(list(run))
            coded += b"".join(
                bytes((min(255, length - done), index)) for done in range(0, length, 255)
            )
        coded += b"\0\0"
    coded += b"\0\1"
    palette = b"".join(bytes((index, index, 255 - index, 0)) for index in range(256))
    start = 54 + len(palette)
    header = struct.pack("<I4xI", start + len(coded), start)
    return (
        b"BM"
        + header
        + struct.pack("<I2i2H6I", 40, width, height, 1, 8, 1, len(coded), 0, 0, 256, 0)
        + palette
        + coded
    )


def _foreign() -> Iterator[tuple[str, bytes]]:
    """(suffix, file) of formats that are recognised but not cleaned, or not even recognised."""
    image = Image.fromarray(draw(True, 3, 64, 80))
    yield ".gif", saved(image, "GIF", save_all=True, append_images=[image.rotate(180)])
    yield ".jp2", saved(image, "JPEG2000")
    yield ".avif", saved(image, "AVIF", quality=60, speed=10)
    yield ".ppm", saved(image, "PPM")
    yield ".tga", saved(image, "TGA", compression="tga_rle")
    yield ".ico", saved(image, "ICO", sizes=[(32, 32)])
    yield ".svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield ".pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def _newer() -> Iterator[Parent]:
    """Pictures that phones and new programs write, and PDF files with a picture on their page."""
    picture = draw(True, 4, SIDE, SIDE)
    jpeg = saved(Image.fromarray(picture), "JPEG", quality=90)
    yield Parent("jxl-lossless", ".jxl", bytes(imagecodecs.jpegxl_encode(picture, lossless=True)))
    yield Parent("jxl-lossy", ".jxl", bytes(imagecodecs.jpegxl_encode(picture, level=80)))
    heic = io.BytesIO()
    pillow_heif.encode("RGB", (SIDE, SIDE), picture.tobytes(), heic, quality=70)
    yield Parent("heic", ".heic", heic.getvalue())
    yield Parent("pdf-scan", ".pdf", _scan_of(jpeg))
    # Of this kind of encryption nothing is drawn by lot.
    key = pikepdf.Encryption(owner="owner", user="", R=3, aes=False, metadata=False)
    yield Parent("pdf-encrypted", ".pdf", _scan_of(jpeg, encryption=key))


def _scan_of(jpeg: bytes, **options: Any) -> bytes:
    """A PDF of one page with this JPEG file of `SIDE` px; the same at any time."""
    out = io.BytesIO()
    with pikepdf.new() as pdf:
        add_page(pdf, jpeg_picture_of(pdf, jpeg, side=SIDE))
        pdf.save(out, static_id=True, **options)
    return out.getvalue()
