"""What several kinds of hostile files are made of."""

import functools
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.demoire.imaging.files import saved

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A file of these chunks (type, payload), with checksums that hold."""
    return PNG_SIGNATURE + b"".join(png_chunk(kind, body) for kind, body in chunks)


@functools.cache
def png_bomb_of(width: int, height: int, form: tuple[int, int]) -> bytes:
    depth, colour = form
    rows = height * (1 + (width * depth * (3 if colour == 2 else 1) + 7) // 8)
    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    return png_of([(b"IHDR", header), (b"IDAT", deflated_zeros(rows)), (b"IEND", b"")])


@functools.cache
def deflated_zeros(size: int, *, raw: bool = False) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS if raw else zlib.MAX_WBITS)
    block = bytes(1 << 20)
    parts = [
        packer.compress(block[: min(len(block), size - done)])
        for done in range(0, size, len(block))
    ]
    return b"".join(parts) + packer.flush()


@functools.cache
def small_archive(kind: str) -> bytes:
    """A picture in a zip, a tar or a gzip of one; or "zeros", five million of them in a gzip."""
    name, picture, out = (
        "a.jpg",
        saved(Image.fromarray(draw(True, 4, 64, 64)), "JPEG"),
        io.BytesIO(),
    )
    if kind == "zeros":
        return gzip.compress(bytes(5_000_000), mtime=0)
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as packed:
            packed.writestr(zipfile.ZipInfo(name), picture)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(picture)
        tar.addfile(info, io.BytesIO(picture))
    return gzip.compress(out.getvalue(), mtime=0) if kind == "gzip" else out.getvalue()


def draw(striped: bool, seed: int, height: int = 96, width: int = 96) -> NDArray[np.uint8]:
    """(height, width, 3): a slope with grain, with bold stripes over it or without."""
    rng = np.random.default_rng(seed)
    picture = np.linspace(60, 180, width)[None, :, None] + rng.normal(0, 1, (height, width, 3))
    if striped:
        picture = picture + 60 * np.sign(np.sin(0.9 * np.arange(height)))[:, None, None]
    return picture.clip(0, 255).astype(np.uint8)
