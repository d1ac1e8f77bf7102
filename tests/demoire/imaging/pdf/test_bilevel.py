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
from tests.demoire.imaging.pdf.drawn_pdf import add_page, numbers, picture

HEIGHT, WIDTH = 72, 99  # px; rows do not end with a byte
BITS = np.random.default_rng(3).random((HEIGHT // 8, WIDTH // 9)).repeat(8, 0).repeat(9, 1) > 0.5
PACKED = np.packbits(BITS, axis=1).tobytes()


def fax_of(bits: NDArray) -> bytes:
    """Bits as a stream of CCITT's group 4, in which 1 is white."""
    out = io.BytesIO()
    Image.fromarray(bits).save(out, "TIFF", compression="group4", tiffinfo={278: HEIGHT})
    with tifffile.TiffFile(io.BytesIO(out.getvalue())) as file:
        page = file.pages.first
        return out.getvalue()[page.dataoffsets[0] :][: page.databytecounts[0]]


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
        subprocess.run(["pdfimages", "-png", path, tmp_path / "seen"], check=True)
        with Image.open(tmp_path / "seen-000.png") as image:
            assert np.array_equal(np.asarray(image.convert("1")), BITS)


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
