"""PDF files drawn by the tests: each says what is special about it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pypdfium2
from numpy.typing import NDArray
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

WIDTH, HEIGHT = 96, 72  # px

# How each kind of file is saved.
LAYOUTS: dict[str, dict[str, Any]] = {
    "table": {"object_stream_mode": pikepdf.ObjectStreamMode.disable},
    "stream": {"object_stream_mode": pikepdf.ObjectStreamMode.generate},
    "linearized": {
        "object_stream_mode": pikepdf.ObjectStreamMode.generate,
        "linearize": True,
    },
}


def samples_of(seed: int, channels: int = 3, bits: int = 8) -> NDArray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, channels), dtype=np.uint8)
    samples = coarse.repeat(8, axis=0).repeat(8, axis=1)
    if bits == 16:
        low = rng.integers(0, 256, samples.shape, dtype=np.uint16)
        return samples.astype(np.uint16) * 256 + low
    return samples


def jpeg_of(samples: NDArray, **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    image.save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def picture(pdf: pikepdf.Pdf, data: bytes, **entries: Any) -> Stream:
    usual = {
        "Type": Name.XObject,
        "Subtype": Name.Image,
        "Width": WIDTH,
        "Height": HEIGHT,
        "BitsPerComponent": 8,
        "ColorSpace": Name.DeviceRGB,
    }
    kept = {key: value for key, value in (usual | entries).items() if value is not None}
    return Stream(pdf, data, **kept)


def jpeg_picture(pdf: pikepdf.Pdf, seed: int = 0, **entries: Any) -> Stream:
    return picture(pdf, jpeg_of(samples_of(seed)), Filter=Name.DCTDecode, **entries)


def add_page(pdf: pikepdf.Pdf, *pictures: Any, content: bytes | None = None) -> pikepdf.Page:
    """A page that draws each picture in a row of its own, unless told otherwise."""
    page = pdf.add_blank_page(page_size=(WIDTH, HEIGHT * max(1, len(pictures))))
    objects = Dictionary({f"/Im{i}": one for i, one in enumerate(pictures)})
    page.obj.Resources = Dictionary(XObject=objects)
    if content is None:
        rows = []
        for i in range(len(pictures)):
            rows.append(b"q %d 0 0 %d 0 %d cm /Im%d Do Q" % (WIDTH, HEIGHT, HEIGHT * i, i))
        content = b"\n".join(rows)
    page.obj.Contents = Stream(pdf, content)
    return page


def scan(path: Path, pages: int = 3, layout: str = "table", **entries: Any) -> Path:
    """A scan of some pages, one JPEG on each."""
    with pikepdf.new() as pdf:
        for number in range(pages):
            add_page(pdf, jpeg_picture(pdf, number, **entries))
        pdf.save(path, **LAYOUTS[layout])
    return path


def one_picture(path: Path, data: bytes, **entries: Any) -> Path:
    with pikepdf.new() as pdf:
        add_page(pdf, picture(pdf, data, **entries))
        pdf.save(path)
    return path


def rendered(path: Path, scale: float = 1) -> list[NDArray]:
    with pypdfium2.PdfDocument(path) as pdf:
        return [page.render(scale=scale).to_numpy().copy() for page in pdf]


def numbers(*values: float) -> Array:
    return Array(list(values))
