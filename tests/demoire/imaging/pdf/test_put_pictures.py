"""Pictures put back into their PDF: the file's own bytes, and one update behind them."""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demoire.imaging.images import decode, encode
from demoire.imaging.pdf import carve, pictures_of, put_pictures
from demoire.imaging.pdf.guarded import pdf_readers
from tests.demoire.imaging.pdf.drawn_pdf import LAYOUTS, rendered, scan


@pytest.fixture(autouse=True, scope="module")
def readers() -> Iterator[None]:
    yield
    pdf_readers.end()


def brighter(data: bytes) -> bytes:
    picture = decode(data)
    pixels = picture.pixels.copy()
    part = pixels[8:40, 8:56]
    part += ((np.iinfo(part.dtype).max - part) // 2).astype(part.dtype)
    return encode(picture, pixels)


def put(path: Path, out: Path, numbers: list[int]) -> dict[int, bytes]:
    cleaned = {number: brighter(carve(path, number)) for number in numbers}
    with out.open("w+b") as file:
        put_pictures(path, file, numbers, cleaned.__getitem__)
    return cleaned


def qpdf_says(path: Path) -> tuple[int, str]:
    done = subprocess.run(["qpdf", "--check", path], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_file_is_a_prefix_and_only_the_changed_page_looks_different(
    layout: str, tmp_path: Path
) -> None:
    path = scan(tmp_path / "scan.pdf", layout=layout)
    out = tmp_path / "out.pdf"
    put(path, out, [2])
    assert out.read_bytes().startswith(path.read_bytes())
    assert qpdf_says(out) == (0, "")
    before, after = rendered(path), rendered(out)
    are_same = [np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert are_same == [True, False, True]
    assert before[1].shape == after[1].shape


def test_a_jpeg_is_carved_out_as_it_stands(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf", pages=1)
    data = carve(path, 1)
    assert data in path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (96, 72)


def test_pictures_are_told_of_in_page_order(tmp_path: Path) -> None:
    pictures = pictures_of(scan(tmp_path / "scan.pdf"))
    assert [(one.number, one.page, one.on_page) for one in pictures] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 3, 1),
    ]
    assert {(one.width, one.height, one.reason) for one in pictures} == {(96, 72, None)}
