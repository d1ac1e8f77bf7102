"""Pictures on pages that draw in unusual ways: a change shows where the picture is, text stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pypdfium2
import pytest
from numpy.typing import NDArray
from pikepdf import Array, Dictionary, Name, Stream

from demoire.imaging.images import decode, encode
from demoire.imaging.pdf import carve, pictures_of, put_pictures
from tests.demoire.imaging.pdf.drawn_pdf import HEIGHT, WIDTH, add_page, jpeg_picture, rendered

WHOLE = b"q 96 0 0 72 0 0 cm /Im0 Do Q"
BOX = [0, 0, WIDTH, HEIGHT]


def drawing(pdf: pikepdf.Pdf, seed: int, **entries: Any) -> Any:
    """A stream that draws a picture of its own over all of its box."""
    resources = Dictionary(XObject=Dictionary(Im0=jpeg_picture(pdf, seed)))
    return pdf.make_indirect(Stream(pdf, WHOLE, BBox=Array(BOX), Resources=resources, **entries))


def shared_form(pdf: pikepdf.Pdf, page: pikepdf.Page) -> None:
    form = drawing(pdf, 3, Type=Name.XObject, Subtype=Name.Form)
    page.obj.Resources.XObject = Dictionary(F=form)
    parts = [Stream(pdf, part) for part in (b"q 1 0 0 1 0", b" 0 cm /F Do", b"Q")]
    page.obj.Contents = Array([pdf.make_indirect(part) for part in parts])


def pattern(pdf: pikepdf.Pdf, page: pikepdf.Page) -> None:
    tile = drawing(
        pdf, 3, Type=Name.Pattern, PatternType=1, PaintType=1, TilingType=1, XStep=96, YStep=72
    )
    page.obj.Resources.Pattern = Dictionary(P=tile)
    page.obj.Contents = Stream(pdf, WHOLE + b" /Pattern cs /P scn 0 0 50 20 re f")


def annotation(pdf: pikepdf.Pdf, page: pikepdf.Page) -> None:
    look = Dictionary(N=drawing(pdf, 3, Type=Name.XObject, Subtype=Name.Form))
    stamp = Dictionary(Type=Name.Annot, Subtype=Name.Stamp, Rect=Array([50, 2, 90, 30]), AP=look)
    page.obj.Annots = Array([pdf.make_indirect(stamp)])


def soft_mask(pdf: pikepdf.Pdf, page: pikepdf.Page) -> None:
    group = Dictionary(S=Name.Transparency, CS=Name.DeviceRGB)
    form = drawing(pdf, 3, Type=Name.XObject, Subtype=Name.Form, Group=group)
    state = Dictionary(SMask=Dictionary(S=Name.Luminosity, G=form))
    page.obj.Resources.ExtGState = Dictionary(G=state)
    page.obj.Contents = Stream(pdf, b"/G gs " + WHOLE)


def turned_and_cropped(pdf: pikepdf.Pdf, page: pikepdf.Page) -> None:
    page.obj.Rotate = 90
    page.obj.UserUnit = 2.5
    page.obj.CropBox = Array([4, 4, 90, 70])


def inline_picture(pdf: pikepdf.Pdf, page: pikepdf.Page) -> None:
    inline = b" q 9 0 0 9 80 5 cm BI /W 8 /H 8 /CS /G /BPC 8 ID " + bytes(range(64)) + b" EI Q"
    page.obj.Contents = Stream(pdf, WHOLE + inline)


def indirect_entries(pdf: pikepdf.Pdf, page: pikepdf.Page) -> None:
    stream = page.obj.Resources.XObject.Im0
    for key in ("/Width", "/BitsPerComponent", "/Filter"):
        plain = stream.stream_dict[key]
        stream[key] = pdf.make_indirect(pikepdf.Object.parse(str(plain).encode()))


KINDS: list[Callable[[pikepdf.Pdf, pikepdf.Page], None]] = [
    shared_form,
    pattern,
    annotation,
    soft_mask,
    turned_and_cropped,
    inline_picture,
    indirect_entries,
]


def darker_corner(data: bytes) -> bytes:
    opened = decode(data)
    pixels = opened.pixels.copy()
    pixels[:32, :48] //= 2
    return encode(opened, pixels)


def texts_of(path: Path) -> list[str]:
    with pypdfium2.PdfDocument(path) as pdf:
        return [page.get_textpage().get_text_range() for page in pdf]


def changed_share(before: NDArray, after: NDArray) -> float:
    return float((before != after).any(axis=2).mean())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("rewrite", [False, True])
def test_a_change_shows_where_the_picture_is_and_nowhere_else(
    kind: Callable[[pikepdf.Pdf, pikepdf.Page], None], rewrite: bool, tmp_path: Path
) -> None:
    path = tmp_path / "odd.pdf"
    font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
    with pikepdf.new() as pdf:
        for seed in (0, 1):
            page = add_page(pdf, jpeg_picture(pdf, seed), content=WHOLE)
            kind(pdf, page)
            page.obj.Resources.Font = Dictionary(F1=font)
            page.contents_add(b"BT 3 Tr /F1 12 Tf 10 20 Td (Words) Tj ET")
        pdf.save(path)
    first = [one.number for one in pictures_of(path) if one.page == 1]
    assert len(first) == 1
    out = tmp_path / "out.pdf"
    with out.open("w+b") as file:
        cleaned = darker_corner(carve(path, first[0]))
        put_pictures(path, file, first, lambda _: cleaned, rewrite=rewrite)
    with pikepdf.open(out, attempt_recovery=False) as pdf:
        assert pdf.check_pdf_syntax() == []
    before, after = rendered(path), rendered(out)
    assert 0.05 < changed_share(before[0], after[0]) < 0.5
    assert np.array_equal(before[1], after[1])
    assert texts_of(path) == texts_of(out)
