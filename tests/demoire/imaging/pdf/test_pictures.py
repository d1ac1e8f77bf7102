"""Which pictures a PDF has, and which of them are left alone."""

from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, Stream

from demoire.errors import ImageError
from demoire.imaging.pdf import PdfPicture, carve, pictures_of
from tests.demoire.imaging.pdf.drawn_pdf import (
    HEIGHT,
    WIDTH,
    add_page,
    jpeg_of,
    jpeg_picture,
    numbers,
    picture,
    samples_of,
    scan,
)

FULL = b"q 96 0 0 72 0 0 cm /Im%d Do Q\n"
HALF = b"q 48 0 0 72 %d 0 cm /Im%d Do Q\n"


def saved(pdf: pikepdf.Pdf, path: Path) -> list[PdfPicture]:
    pdf.save(path)
    return pictures_of(path)


def reasons(pictures: list[PdfPicture]) -> list[str | None]:
    return [one.reason and one.reason.value for one in pictures]


def test_pictures_are_told_of_in_page_order(tmp_path: Path) -> None:
    pictures = pictures_of(scan(tmp_path / "scan.pdf"))
    places = [(one.number, one.page, one.on_page) for one in pictures]
    assert places == [(1, 1, 1), (2, 2, 1), (3, 3, 1)]
    assert {(one.width, one.height, one.reason) for one in pictures} == {(96, 72, None)}
    assert pictures[0].megapixels == pytest.approx(WIDTH * HEIGHT / 1e6)
    assert pictures[0].size == len(carve(tmp_path / "scan.pdf", 1))


def test_resolution_is_that_on_the_page_where_a_picture_is_first_drawn(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        upright, turned, lost = (jpeg_picture(pdf, i) for i in range(3))
        add_page(pdf, upright, content=b"q 48 0 0 36 0 0 cm /Im0 Do Q")
        content = b"q 0 24 -18 0 0 0 cm /Im0 Do Q q 24 0 0 18 9 0 cm /Im1 Do Q"
        content += b" q 0 0 0 0 0 0 cm /Im2 Do Q"
        page = add_page(pdf, turned, upright, lost, content=content)
        page.obj.UserUnit = 2
        pictures = saved(pdf, tmp_path / "scan.pdf")
    assert [one.dpi for one in pictures] == [144.0, 144.0, None]


def test_a_picture_on_several_pages_is_listed_once(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        letterhead, first, second = (jpeg_picture(pdf, i) for i in range(3))
        add_page(pdf, letterhead, first)
        add_page(pdf, letterhead, second, second)
        pictures = saved(pdf, tmp_path / "shared.pdf")
    assert [(one.page, one.on_page) for one in pictures] == [(1, 1), (1, 2), (2, 1)]


def test_a_picture_inside_a_form_is_found_where_it_is_drawn(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        inner = Stream(pdf, FULL % 7, Type=Name.XObject, Subtype=Name.Form)
        inner["/Resources"] = Dictionary(XObject=Dictionary(Im7=jpeg_picture(pdf)))
        inner["/BBox"] = numbers(0, 0, WIDTH, HEIGHT)
        add_page(pdf, inner, jpeg_picture(pdf, 1), content=b"/Im0 Do 1 0 0 1 0 80 cm " + FULL % 1)
        pictures = saved(pdf, tmp_path / "form.pdf")
    assert reasons(pictures) == [None, None]


def test_what_no_page_draws_is_no_picture(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        add_page(pdf, jpeg_picture(pdf, 0), jpeg_picture(pdf, 1), content=FULL % 1)
        inline = b"BI /W 2 /H 1 /CS /RGB /BPC 8 ID abcdef EI\n"
        add_page(pdf, jpeg_picture(pdf, 2), content=inline)
        assert len(saved(pdf, tmp_path / "some.pdf")) == 1


def test_a_soft_mask_is_no_picture_and_no_obstacle(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        grey = samples_of(1, 1).tobytes()
        soft = picture(pdf, grey, ColorSpace=Name.DeviceGray)
        add_page(pdf, jpeg_picture(pdf, SMask=soft))
        assert reasons(saved(pdf, tmp_path / "masks.pdf")) == [None]


def test_a_stencil_is_a_picture_where_it_lies_over_no_other_and_is_large(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        stencil = picture(pdf, bytes(12 * HEIGHT), ImageMask=True, BitsPerComponent=1)
        sign = picture(pdf, bytes(2 * 16), ImageMask=True, Width=16, Height=16)
        add_page(pdf, jpeg_picture(pdf), stencil)
        add_page(pdf, jpeg_picture(pdf), stencil, content=FULL % 0 + FULL % 1)
        add_page(pdf, sign)
        assert reasons(saved(pdf, tmp_path / "masks.pdf")) == [None, "bilevel", None]


INDEXED = Array([Name.Indexed, Name.DeviceRGB, 1, pikepdf.String(b"\0\0\0\xff\xff\xff")])
SEPARATION = Array([Name.Separation, Name.Gold, Name.DeviceRGB, Dictionary()])
LAB = Array([Name.Lab, Dictionary(WhitePoint=numbers(0.9, 1, 1.1))])


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"Filter": Name.CCITTFaxDecode, "BitsPerComponent": 1}, "bilevel"),
        ({"Filter": Name.JBIG2Decode, "BitsPerComponent": 1}, "bilevel"),
        ({"Filter": None, "BitsPerComponent": 1, "ColorSpace": Name.DeviceGray}, "bilevel"),
        ({"Filter": None, "BitsPerComponent": 4}, "mode_not_cleaned"),
        ({"ColorSpace": Name.DeviceCMYK, "Filter": Name.JPXDecode}, "mode_not_cleaned"),
        ({"ColorSpace": Name.DeviceCMYK, "Filter": None}, None),
        ({"Filter": None, "Decode": numbers(1, 0, 1, 0, 1, 0)}, None),
        ({"Filter": None, "Decode": numbers(1, 0, 0, 1, 0, 1)}, "mode_not_cleaned"),
        ({"ColorSpace": Name.DeviceCMYK}, None),
        ({"ColorSpace": Name.DeviceCMYK, "Decode": numbers(*[1, 0] * 4)}, None),
        (
            {"ColorSpace": Name.DeviceCMYK, "Decode": numbers(1, 0, 0, 1, 0, 1, 0, 1)},
            "mode_not_cleaned",
        ),
        ({"ColorSpace": SEPARATION}, "mode_not_cleaned"),
        ({"ColorSpace": LAB}, "mode_not_cleaned"),
        ({"ColorSpace": INDEXED, "Filter": None}, "palette"),
        ({"Decode": numbers(1, 0, 1, 0, 1, 0)}, None),
        ({"Decode": numbers(1, 0, 0, 1, 0, 1)}, "mode_not_cleaned"),
        ({"Filter": Name.JPXDecode, "Decode": numbers(1, 0, 1, 0, 1, 0)}, None),
        ({"Filter": Name.JPXDecode, "SMaskInData": 1}, None),
        ({"Filter": Name.JPXDecode, "SMaskInData": 2}, "mode_not_cleaned"),
        ({"Decode": numbers(0, 1, 0, 1, 0, 1)}, None),
        ({"Mask": numbers(0, 1, 0, 1, 0, 1)}, "mode_not_cleaned"),
        ({"Width": 63}, "small_picture"),
        ({"Alternates": Array()}, "stale_data"),
        ({"ColorSpace": Array([Name.DeviceRGB])}, None),
        ({"ColorSpace": Array([Name.CalRGB, Dictionary()])}, None),
        ({"ColorSpace": Array([Name.ICCBased, 3])}, "mode_not_cleaned"),
        ({"Filter": Name.JPXDecode, "ColorSpace": None}, None),
    ],
)
def test_pictures_that_are_left_alone_say_why(
    entries: dict[str, Any], reason: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "picture.pdf"
    with pikepdf.new() as pdf:
        data = jpeg_of(samples_of(0))
        add_page(pdf, picture(pdf, data, **{"Filter": Name.DCTDecode} | entries))
        assert reasons(saved(pdf, path)) == [reason]
    if reason not in (None, "bilevel"):  # those are taken out for their grey pictures
        with pytest.raises(ImageError) as caught:
            carve(path, 1)
        assert caught.value.reason == reason


def test_colours_that_were_mixed_with_a_matte_are_left_alone(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        soft = picture(pdf, bytes(WIDTH * HEIGHT), ColorSpace=Name.DeviceGray)
        soft["/Matte"] = numbers(0, 0, 0)
        add_page(pdf, jpeg_picture(pdf, SMask=soft))
        assert reasons(saved(pdf, tmp_path / "matte.pdf")) == ["mode_not_cleaned"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (FULL % 0 + FULL % 1, ["layered_page", "layered_page"]),
        (HALF % (0, 0) + HALF % (48, 1), [None, None]),
        (HALF % (0, 0) + HALF % (24, 1), ["layered_page", "layered_page"]),
        (FULL % 0 + b"q 9 0 0 7 80 2 cm /Im1 Do Q", [None, "layered_page"]),
        (b"q 0 96 -72 0 72 0 cm /Im0 Do Q q 1 0 0 1 80 0 cm " + HALF % (0, 1), [None, None]),
    ],
    ids=["same place", "side by side", "half over", "a stamp in the corner", "turned"],
)
def test_pictures_over_each_other_are_left_alone(
    content: bytes, expected: list[str | None], tmp_path: Path
) -> None:
    with pikepdf.new() as pdf:
        add_page(pdf, jpeg_picture(pdf, 0), jpeg_picture(pdf, 1), content=content)
        assert reasons(saved(pdf, tmp_path / "layers.pdf")) == expected


def test_a_background_under_masks_and_bilevel_pictures_is_the_only_one_with_tones(
    tmp_path: Path,
) -> None:
    with pikepdf.new() as pdf:
        stencil = picture(pdf, bytes(12 * HEIGHT), ImageMask=True, BitsPerComponent=1)
        text = picture(pdf, b"", Filter=Name.JBIG2Decode, BitsPerComponent=1)
        content = FULL % 0 + FULL % 1 + FULL % 2
        add_page(pdf, jpeg_picture(pdf), stencil, text, content=content)
        assert reasons(saved(pdf, tmp_path / "mixed.pdf")) == [None, "bilevel"]


@pytest.mark.parametrize("key", ["Mask", "SMask"])
def test_a_background_is_cleaned_and_the_letters_over_it_are_left_alone(
    key: str, tmp_path: Path
) -> None:
    with pikepdf.new() as pdf:
        letters = picture(pdf, bytes(12 * HEIGHT), BitsPerComponent=1, ColorSpace=Name.DeviceGray)
        if key == "Mask":
            letters = picture(pdf, bytes(12 * HEIGHT), BitsPerComponent=1, ImageMask=True)
        foreground = jpeg_picture(pdf, 1, **{key: letters})
        add_page(pdf, jpeg_picture(pdf, 0), foreground, content=FULL % 0 + FULL % 1)
        add_page(pdf, jpeg_picture(pdf, 2, **{key: letters}))
        pictures = saved(pdf, tmp_path / "mixed.pdf")
    assert reasons(pictures) == [None, "layered_page", None]


def test_a_soft_edge_makes_one_picture_of_two(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        soft = picture(pdf, bytes(WIDTH * HEIGHT), ColorSpace=Name.DeviceGray)
        over = jpeg_picture(pdf, 1, SMask=soft)
        add_page(pdf, jpeg_picture(pdf, 0), over, content=FULL % 0 + FULL % 1)
        assert reasons(saved(pdf, tmp_path / "soft.pdf")) == ["layered_page", "layered_page"]


def test_a_picture_that_is_drawn_over_itself_is_no_layer(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        add_page(pdf, jpeg_picture(pdf), content=b"q 96 0 0 72 0 0 cm /Im0 Do /Im0 Do Q")
        add_page(
            pdf, jpeg_picture(pdf), content=b"q 96 0 0 72 0 0 cm /Im0 Do .9 0 0 .9 0 0 cm /Im0 Do Q"
        )
        path = saved(pdf, tmp_path / "twice.pdf")
    assert reasons(path) == [None, "layered_page"]


def test_a_picture_that_is_the_mask_of_another_is_left_alone(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        grey = {"ColorSpace": Name.DeviceGray, "Filter": Name.DCTDecode}
        mask = pdf.make_indirect(picture(pdf, jpeg_of(samples_of(1, 1)), **grey))
        add_page(pdf, mask)
        add_page(pdf, jpeg_picture(pdf, 2, SMask=mask))
        path = saved(pdf, tmp_path / "mask.pdf")
    assert reasons(path) == ["layered_page", None]


def test_a_picture_that_is_part_of_layers_on_a_later_page_is_left_alone_everywhere(
    tmp_path: Path,
) -> None:
    with pikepdf.new() as pdf:
        shared = jpeg_picture(pdf, 0)
        add_page(pdf, shared)
        add_page(pdf, shared, jpeg_picture(pdf, 1), content=FULL % 0 + FULL % 1)
        pictures = saved(pdf, tmp_path / "later.pdf")
    assert reasons(pictures) == ["layered_page", "layered_page"]


def test_there_is_no_picture_zero(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf")
    for number in (0, 4):
        with pytest.raises(ImageError):
            carve(path, number)
