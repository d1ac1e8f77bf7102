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


def jpeg_picture_of(pdf: pikepdf.Pdf, data: bytes, *, side: int) -> Stream:
    """A square JPEG file as a picture."""
    return picture(pdf, data, Filter=Name.DCTDecode, Width=side, Height=side)


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


def scan(
    path: Path,
    pages: int = 3,
    layout: str = "table",
    encryption: pikepdf.Encryption | None = None,
    **entries: Any,
) -> Path:
    """A scan of some pages, one JPEG on each."""
    with pikepdf.new() as pdf:
        for number in range(pages):
            add_page(pdf, jpeg_picture(pdf, number, **entries))
        pdf.save(path, encryption=encryption, **LAYOUTS[layout])
    return path


def one_picture(path: Path, data: bytes, **entries: Any) -> Path:
    with pikepdf.new() as pdf:
        add_page(pdf, picture(pdf, data, **entries))
        pdf.save(path)
    return path


def problems_of(path: Path, password: str = "") -> list[str]:
    """What qpdf finds wrong with a file: with its structure, and with any of its streams."""
    with pikepdf.open(path, password=password) as pdf:
        return pdf.check_pdf_syntax()


def rendered(path: Path, scale: float = 1, password: str | None = None) -> list[NDArray]:
    with pypdfium2.PdfDocument(path, password=password) as pdf:
        return [page.render(scale=scale).to_numpy().copy() for page in pdf]


def numbers(*values: float) -> Array:
    return Array(list(values))


def raw_pdf(objects: dict[int, bytes], trailer: bytes = b"", generation: int = 0) -> bytes:
    """A file with these objects and a table, written by hand; the first is the root."""
    out = b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n"
    entries = [b"0000000000 65535 f \n"]
    for number in range(1, max(objects) + 1):
        if number not in objects:
            entries.append(b"0000000000 00000 f \n")
            continue
        entries.append(b"%010d %05d n \n" % (len(out), generation))
        out += b"%d %d obj\n%s\nendobj\n" % (number, generation, objects[number])
    start = len(out)
    out += b"xref\n0 %d\n%s" % (len(entries), b"".join(entries))
    root = b"/Root 1 %d R /Size %d" % (generation, len(entries))
    return out + b"trailer\n<< %s %s >>\nstartxref\n%d\n%%%%EOF" % (root, trailer, start)


def raw_stream(data: bytes, entries: bytes = b"", length: int | None = None) -> bytes:
    claimed = len(data) if length is None else length
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, claimed, data)


def raw_scan(generation: int = 0, length: int | None = None) -> dict[int, bytes]:
    """The objects of a scan of one page: catalogue, pages, page, content, picture."""
    entries = b"/Type /XObject /Subtype /Image /Width %d /Height %d" % (WIDTH, HEIGHT)
    entries += b" /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode"
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [ 3 0 R ] /Count 1 >>",
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [ 0 0 %d %d ] /Contents 4 0 R "
        b"/Resources << /XObject << /Im0 5 0 R >> >> >>" % (WIDTH, HEIGHT),
        4: raw_stream(b"%d 0 0 %d 0 0 cm /Im0 Do" % (WIDTH, HEIGHT)),
        5: raw_stream(jpeg_of(samples_of(1)), entries, length),
    }
    for number, body in objects.items():
        objects[number] = body.replace(b" 0 R", b" %d R" % generation)
    return objects
