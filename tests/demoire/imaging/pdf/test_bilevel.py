"""Black and white pictures in PDFs, taken out for their grey pictures."""

import io
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest
import tifffile
from numpy.typing import NDArray
from pikepdf import Array, Dictionary, Name
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging.images import decode
from demoire.imaging.pdf import carve, pictures_of
from tests.demoire.imaging.files import page_of_type, saved
from tests.demoire.imaging.pdf.drawn_pdf import add_page, numbers, picture

HEIGHT, WIDTH = 72, 99  # px; rows do not end with a byte
BITS = np.random.default_rng(3).random((HEIGHT // 8, WIDTH // 9)).repeat(8, 0).repeat(9, 1) > 0.5
PACKED = np.packbits(BITS, axis=1).tobytes()


def fax_of(bits: NDArray, compression: str = "group4", options: int = 0) -> bytes:
    """Bits as a stream of CCITT's group 3 or 4, in which 1 is white.

    `options` is the tag of group 3 that says whether rows are coded in two dimensions.
    """
    tags = {278: len(bits), 292: options}
    data = saved(Image.fromarray(bits), "TIFF", compression=compression, tiffinfo=tags)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        return data[page.dataoffsets[0] :][: page.databytecounts[0]]


def jbig2_of(bits: NDArray) -> bytes:
    """Bits as a stream of JBIG2 without its file header, in which 1 is black: the facts of the
    page, and one generic region that is coded as a fax is.
    """
    page = struct.pack(">4IBH", WIDTH, HEIGHT, 0, 0, 0, 0)
    region = struct.pack(">4I2B", WIDTH, HEIGHT, 0, 0, 0, 1) + fax_of(bits)
    segments = b""
    for number, (kind, data) in enumerate([(48, page), (38, region)]):
        segments += struct.pack(">I3BI", number, kind, 0, 1, len(data)) + data
    return segments


def palette(*colours: bytes) -> Array:
    return Array([Name.Indexed, Name.DeviceRGB, 1, pikepdf.String(b"".join(colours))])


FAX = {"Filter": Name.CCITTFaxDecode}
FAX_PARMS = {"K": -1, "Columns": WIDTH, "Rows": HEIGHT}
STENCIL = {"ImageMask": True, "ColorSpace": None}
CODINGS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (PACKED, {}),
    "plain, inverted": (np.packbits(~BITS, axis=1).tobytes(), {"Decode": numbers(1, 0)}),
    "fax": (fax_of(~BITS), {**FAX, "DecodeParms": Dictionary(**FAX_PARMS)}),
    "fax, other way": (
        fax_of(BITS),
        {**FAX, "DecodeParms": Dictionary(**FAX_PARMS, BlackIs1=True)},
    ),
    "fax, inverted": (
        fax_of(BITS),
        {**FAX, "DecodeParms": Dictionary(**FAX_PARMS), "Decode": numbers(1, 0)},
    ),
    "jbig2": (jbig2_of(~BITS), {"Filter": Name.JBIG2Decode}),
    "stencil": (PACKED, STENCIL),
    "stencil, inverted": (
        np.packbits(~BITS, axis=1).tobytes(),
        {**STENCIL, "Decode": numbers(1, 0)},
    ),
    "stencil, fax": (fax_of(~BITS), {**STENCIL, **FAX, "DecodeParms": Dictionary(**FAX_PARMS)}),
    "palette": (PACKED, {"ColorSpace": palette(b"\0\0\0", b"\xff\xff\xff")}),
    "palette, white first": (
        np.packbits(~BITS, axis=1).tobytes(),
        {"ColorSpace": palette(b"\xff\xff\xff", b"\0\0\0")},
    ),
}


def bilevel_pdf(path: Path, data: bytes, **entries: Any) -> Path:
    """A page of a fax: 204 by 98 pixels an inch."""
    usual = {"Width": WIDTH, "BitsPerComponent": 1, "ColorSpace": Name.DeviceGray}
    across, along = 72 * WIDTH / 204, 72 * HEIGHT / 98
    with pikepdf.new() as pdf:
        content = b"%f 0 0 %f 0 0 cm /Im0 Do" % (across, along)
        add_page(pdf, picture(pdf, data, **{**usual, **entries}), content=content)
        pdf.save(path)
    return path


@pytest.mark.parametrize("coding", CODINGS)
def test_any_coding_gives_the_bits_that_others_see(coding: str, tmp_path: Path) -> None:
    data, entries = CODINGS[coding]
    path = bilevel_pdf(tmp_path / "fax.pdf", data, **entries)
    (listed,) = pictures_of(path)
    assert listed.reason == "bilevel"
    file = carve(path, 1)
    taken = decode(file)
    assert taken.obstacle == "bilevel"
    assert np.array_equal(taken.pixels[:, :, 0] == 255, BITS)
    with Image.open(io.BytesIO(file)) as image:
        assert image.info["dpi"] == pytest.approx((204, 98), abs=0.1)
    if shutil.which("pdfimages"):
        assert np.array_equal(seen_by_poppler(path, is_stencil="ImageMask" in entries), BITS)


def seen_by_poppler(path: Path, *, is_stencil: bool) -> NDArray:
    """The bits of the picture in the lower left corner of a page.

    A stencil has to be painted: what pdfimages takes out says nothing of how it is seen.
    """
    if is_stencil:
        scale = ["-rx", "204", "-ry", "98", "-aaVector", "no"]
        subprocess.run(["pdftoppm", "-png", *scale, path, path.with_name("seen")], check=True)
    else:
        subprocess.run(["pdfimages", "-png", path, path.with_name("seen")], check=True)
    (seen,) = path.parent.glob("seen-*.png")
    with Image.open(seen) as image:
        return np.asarray(image.convert("L"))[-HEIGHT:, :WIDTH] > 127


@pytest.mark.parametrize(
    ("paint", "reason"),
    [
        (b"", "bilevel"),
        (b"0 g", "bilevel"),
        (b"1 0 0 rg q 0 0 0 rg", "bilevel"),
        (b"0 0 0 1 k", "bilevel"),
        (b"/DeviceRGB cs 0 0 0 sc", "bilevel"),
        (b"1 0 0 rg", "mode_not_cleaned"),
        (b"0 g q 1 g", "mode_not_cleaned"),
        (b"0 0 0 0 k", "mode_not_cleaned"),
        (b"/Pattern cs /P0 scn", "mode_not_cleaned"),
    ],
)
def test_a_stencil_is_a_scan_where_it_is_painted_black(
    paint: bytes, reason: str, tmp_path: Path
) -> None:
    with pikepdf.new() as pdf:
        stencil = picture(pdf, PACKED, **STENCIL, Width=WIDTH, BitsPerComponent=1)
        add_page(pdf, stencil, content=paint + b" 35 0 0 53 0 0 cm /Im0 Do")
        pdf.save(tmp_path / "stencil.pdf")
    (listed,) = pictures_of(tmp_path / "stencil.pdf")
    assert listed.reason == reason


def test_two_colours_are_not_taken_for_black_and_white(tmp_path: Path) -> None:
    colours = palette(b"\xff\0\0", b"\xff\xff\xff")
    path = bilevel_pdf(tmp_path / "red.pdf", PACKED, ColorSpace=colours)
    with pytest.raises(ImageError, match="not black and white"):
        carve(path, 1)


def test_an_empty_stream_is_told_and_the_next_picture_is_read(tmp_path: Path) -> None:
    empty = bilevel_pdf(tmp_path / "empty.pdf", b"", Filter=Name.JBIG2Decode)
    with pytest.raises(ImageError, match="cannot decode it"):
        carve(empty, 1)
    assert carve(bilevel_pdf(tmp_path / "sound.pdf", PACKED), 1)


@pytest.mark.parametrize("length", [45, 90, len(jbig2_of(BITS)) - 1])
def test_jbig2_that_is_cut_short_is_told(length: int, tmp_path: Path) -> None:
    data = jbig2_of(BITS)
    cut = bilevel_pdf(tmp_path / "cut.pdf", data[:length], Filter=Name.JBIG2Decode)
    with pytest.raises(ImageError, match="cut short"):
        carve(cut, 1)
    behind = bilevel_pdf(tmp_path / "behind.pdf", data + b"\r\n", Filter=Name.JBIG2Decode)
    assert decode(carve(behind, 1)).obstacle == "bilevel"


@pytest.mark.parametrize("byte", [34, 35, 37, 38, 39, 40])
def test_jbig2_with_a_flipped_byte_in_the_header_of_its_region_is_told(
    byte: int, tmp_path: Path
) -> None:
    """Its kind, what it refers to, and its length."""
    data = bytearray(jbig2_of(BITS))
    data[byte] ^= 0x58
    flipped = bilevel_pdf(tmp_path / "flipped.pdf", bytes(data), Filter=Name.JBIG2Decode)
    with pytest.raises(ImageError, match="JBIG2 is damaged"):
        carve(flipped, 1)


def test_jbig2_of_which_nothing_comes_out_is_told_and_a_blank_page_is_none(tmp_path: Path) -> None:
    noise = np.random.default_rng(4).random((HEIGHT, WIDTH)) > 0.5
    data = bytearray(jbig2_of(noise))
    data[49:53] = struct.pack(">I", 10 * WIDTH)  # where the region lies on the page: beside it
    lost = bilevel_pdf(tmp_path / "lost.pdf", bytes(data), Filter=Name.JBIG2Decode)
    with pytest.raises(ImageError, match="nothing comes out"):
        carve(lost, 1)
    blank = jbig2_of(np.ones_like(noise))
    path = bilevel_pdf(tmp_path / "blank.pdf", blank, Filter=Name.JBIG2Decode)
    assert decode(carve(path, 1)).obstacle == "bilevel"


@pytest.mark.parametrize("entries", [{}, {"BlackIs1": True}], ids=["usual", "other way"])
def test_a_fax_that_is_cut_short_is_told_and_one_without_an_end_mark_is_whole(
    entries: dict[str, Any], tmp_path: Path
) -> None:
    page = page_of_type()
    height, width = page.shape
    data = fax_of(page if entries else ~page)
    parameters = Dictionary(K=-1, Columns=width, Rows=height, **entries)
    facts = {**FAX, "DecodeParms": parameters, "Width": width, "Height": height}
    for share in (0.1, 0.5, 0.9):
        part = data[: int(share * len(data))]
        with pytest.raises(ImageError, match="fax is cut short"):
            carve(bilevel_pdf(tmp_path / "cut.pdf", part, **facts), 1)
    for whole in (data, data[:-3]):
        taken = decode(carve(bilevel_pdf(tmp_path / "whole.pdf", whole, **facts), 1))
        assert np.array_equal(taken.pixels[:, :, 0] == 255, page)


@pytest.mark.parametrize("k", [0, 4], ids=["one dimension", "two dimensions"])
def test_a_fax_of_group_3_that_is_cut_short_is_told(k: int, tmp_path: Path) -> None:
    page = page_of_type()
    height, width = page.shape
    data = fax_of(~page, "group3", options=int(k > 0))
    parameters = Dictionary(K=k, Columns=width, Rows=height, EndOfLine=True)
    facts = {**FAX, "DecodeParms": parameters, "Width": width, "Height": height}
    taken = decode(carve(bilevel_pdf(tmp_path / "whole.pdf", data, **facts), 1))
    assert np.array_equal(taken.pixels[:, :, 0] == 255, page)
    for share in (0.1, 0.5, 0.9):
        part = data[: int(share * len(data))]
        with pytest.raises(ImageError, match="fax is cut short"):
            carve(bilevel_pdf(tmp_path / "cut.pdf", part, **facts), 1)
