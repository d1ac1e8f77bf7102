"""JPEG 2000 pictures in PDFs: whose colours count, and what stays as it was."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest
from numpy.typing import NDArray
from pikepdf import Array, Name, Stream
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging.images import decode, open_image
from demoire.imaging.pdf import carve
from tests.demoire.imaging.codecs.test_jp2 import with_header_box
from tests.demoire.imaging.pdf.drawn_pdf import (
    add_page,
    numbers,
    one_picture,
    picture,
    rendered,
    samples_of,
)
from tests.demoire.imaging.pdf.test_put_pictures import CHANGED, check, put
from tests.demoire.imaging.profiles import wide_rgb

SPACES = {"L": Name.DeviceGray, "LA": Name.DeviceGray, "RGB": Name.DeviceRGB}
SPACES["RGBA"] = Name.DeviceRGB


def jpx(samples: NDArray, mode: str) -> bytes:
    out = io.BytesIO()
    squeezed = samples[:, :, 0] if mode == "L" else samples
    Image.fromarray(squeezed, mode).save(out, "JPEG2000", irreversible=False)
    return out.getvalue()


def stream_in(path: Path) -> bytes:
    with pikepdf.open(path) as pdf:
        return bytes(pdf.pages[0].Resources.XObject.Im0.read_raw_bytes())


def samples_in(data: bytes) -> NDArray:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
        return pixels.reshape(*pixels.shape[:2], -1)


@pytest.mark.parametrize(
    ("mode", "entries"),
    [
        ("L", {}),
        ("RGB", {}),
        ("RGB", {"ColorSpace": None}),
        ("RGB", {"Decode": numbers(1, 0, 1, 0, 1, 0)}),
        ("LA", {"SMaskInData": 1}),
        ("RGBA", {"SMaskInData": 1}),
    ],
)
def test_only_changed_samples_change_and_alpha_and_header_stay(
    mode: str, entries: dict[str, Any], tmp_path: Path
) -> None:
    before = samples_of(4, len(mode))
    data = jpx(before, mode)
    usual = {"ColorSpace": SPACES[mode], "BitsPerComponent": None, "Filter": Name.JPXDecode}
    path = one_picture(tmp_path / "in.pdf", data, **{**usual, **entries})
    out = put(path, [1])
    check(path, out)
    put_back = stream_in(out)
    start = data.index(b"jp2h")
    end = data.index(b"jp2c") - 4
    assert put_back[:end] == data[:end] and start < end
    after = samples_in(put_back)
    colours = len(mode.removesuffix("A"))
    assert np.array_equal(after[:, :, colours:], before[:, :, colours:])
    changed = (after != before).any(axis=2)
    assert changed[CHANGED].any()
    changed[CHANGED] = False
    assert not changed.any()
    if "Decode" in entries:  # PDFium shows samples as they are, whatever Decode says
        assert np.array_equal(rendered(out)[0][:, :, ::-1], after)


def test_the_colours_that_count_are_those_of_the_pdf(tmp_path: Path) -> None:
    """A file says sRGB, its PDF a wider space."""
    path = tmp_path / "wide.pdf"
    data = jpx(samples_of(6), "RGB")
    with pikepdf.new() as pdf:
        profile = pdf.make_indirect(Stream(pdf, wide_rgb(), N=3))
        space = Array([Name.ICCBased, profile])
        add_page(pdf, picture(pdf, data, Filter=Name.JPXDecode, ColorSpace=space))
        pdf.save(path)
    seen = decode(carve(path, 1))
    assert seen.facts.icc == "wide RGB"
    assert np.array_equal(seen.raster.pixels, samples_of(6))
    assert not np.array_equal(seen.pixels, samples_of(6))
    out = put(path, [1])
    check(path, out)
    assert b"wide RGB" not in stream_in(out)


@pytest.mark.parametrize(
    ("mode", "space"),
    [("RGB", Name.DeviceGray), ("L", Name.DeviceRGB), ("LA", Name.DeviceRGB)],
)
def test_a_file_of_other_colours_than_the_pdf_says_is_left_alone(
    mode: str, space: Name, tmp_path: Path
) -> None:
    data = jpx(samples_of(2, len(mode)), mode)
    path = one_picture(tmp_path / "odd.pdf", data, ColorSpace=space, Filter=Name.JPXDecode)
    with pytest.raises(ImageError) as caught:
        carve(path, 1)
    assert caught.value.reason == "mode_not_cleaned"


def test_four_components_that_do_not_say_what_the_last_is_are_left_alone(tmp_path: Path) -> None:
    data = jpx(samples_of(2, 4), "RGBA")
    at = data.index(b"cdef") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    header = data.index(b"jp2h") - 4
    shorter = (int.from_bytes(data[header : header + 4], "big") - length).to_bytes(4, "big")
    unsaid = data[:header] + shorter + data[header + 4 : at] + data[at + length :]
    path = one_picture(tmp_path / "odd.pdf", unsaid, Filter=Name.JPXDecode)
    assert decode(carve(path, 1)).obstacle == "mode_not_cleaned"


def test_a_palette_stays_a_palette(tmp_path: Path) -> None:
    palette = struct.pack(">HB3B", 256, 3, 7, 7, 7) + bytes(768)
    data = with_header_box(jpx(samples_of(3, 1), "L"), b"pclr", palette)
    for number, space in enumerate((Name.DeviceRGB, None)):
        path = tmp_path / f"{number}.pdf"
        carved = carve(one_picture(path, data, Filter=Name.JPXDecode, ColorSpace=space), 1)
        assert open_image(carved).facts.mode == "P"
        assert decode(carved).obstacle == "palette"
