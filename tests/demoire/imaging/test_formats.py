"""What a file is, by its first bytes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.demoire.imaging.files import reason_of, saved


def test_files_that_are_no_images_are_told_from_those_not_cleaned(rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb)
    assert reason_of(b"<html>not found</html>") == "not_an_image"
    assert reason_of(b"") == "truncated"
    for format in ("GIF", "PPM", "ICO", "TGA"):
        assert reason_of(saved(image, format)) == "unsupported_format", format
    assert reason_of(b"<?xml version='1.0'?><html><svg/></html>") == "not_an_image"
    assert reason_of(saved(image, "PDF")) == "multi_page"
    other = Image.fromarray(rgb[::-1].copy())
    moving = saved(image, "GIF", save_all=True, append_images=[other], duration=90)
    assert reason_of(moving) == "animated"


@pytest.mark.parametrize(
    "before",
    [
        "",
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n',
        "\ufeff<?xml version='1.0'?>\n<!-- Created with <svg> in mind -->\n",
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">',
        '<?xml version="1.0"?><!DOCTYPE svg [\n<!ENTITY ns "http://www.w3.org/2000/svg">\n]>\n',
    ],
)
def test_a_drawing_in_svg_is_known_whatever_stands_before_its_root(before: str) -> None:
    for root in ("<svg>", '<svg:svg xmlns:svg="http://www.w3.org/2000/svg">'):
        assert reason_of(f"{before}{root}".encode()) == "unsupported_format"


@pytest.mark.parametrize(
    "beginning",
    [
        b"#?RGBE\n",
        b"\0MRM",
        b"FOVb",
        b"\x01\0\0\0" + bytes(36) + b" EMF",
        b"\xd7\xcd\xc6\x9a",
        b"\x01\0\x09\0",
    ],
    ids=["radiance", "minolta", "sigma", "emf", "placeable wmf", "wmf"],
)
def test_pictures_of_rarer_formats_are_no_broken_files(beginning: bytes) -> None:
    assert reason_of(beginning + bytes(100)) == "unsupported_format"
