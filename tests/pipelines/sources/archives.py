"""Small archives and folders, and what sources make of them."""

import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from demoire.errors import ImageError
from pipelines.records import Source
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.read import read_members

Content = Sequence[tuple[str, bytes]]


def picture(width: int, height: int, kind: str = "JPEG") -> bytes:
    """Noise, so that its bytes grow with its pixels."""
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


JPEG, PNG = picture(40, 30), picture(20, 10, "PNG")


BOX: Content = [
    ("a/2.jpg", JPEG),
    ("a/readme.txt", b"text"),
    ("a/1.png", PNG),
    ("a/empty.jpg", b""),
]


def tar_of(content: Content, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as tar:
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(content: Content, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content:
            archive.writestr(name, data)
    return buffer.getvalue()


def the_only_source(path: Path) -> Source:
    (source,) = discover(str(path))
    return source


def all_payloads(source: Source) -> list[tuple[str, bytes | ImageError]]:
    images = index(source).images
    return [(member.name, payload) for member, payload in read_members(source, images)]


def reasons(path: Path) -> list[str | int]:
    return [
        p.reason if isinstance(p, ImageError) else len(p)
        for _, p in all_payloads(the_only_source(path))
    ]
