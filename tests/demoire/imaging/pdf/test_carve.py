"""A picture of a PDF as a file of its own, and what the codecs make of it."""

import io
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pikepdf
import pytest
from numpy.typing import NDArray
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging.images import decode, encode
from demoire.imaging.pdf import carve, put_pictures
from tests.demoire.imaging.files import PROFILE
from tests.demoire.imaging.pdf.drawn_pdf import (
    HEIGHT,
    WIDTH,
    add_page,
    jpeg_of,
    numbers,
    one_picture,
    picture,
    rendered,
    samples_of,
)

SPACES = {1: Name.DeviceGray, 3: Name.DeviceRGB}


def with_png_filters(samples: NDArray) -> bytes:
    """Rows with the filter "Sub" of PNG: each byte is the difference to the pixel before."""
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(HEIGHT, -1).view(np.uint8)
    pixel = samples.shape[2] * samples.dtype.itemsize
    shifted = np.pad(rows, ((0, 0), (pixel, 0)))[:, :-pixel]
    filtered = np.column_stack([np.ones((HEIGHT, 1), np.uint8), rows - shifted])
    return zlib.compress(filtered.tobytes())


def big_endian(samples: NDArray) -> bytes:
    return samples.astype(samples.dtype.newbyteorder(">")).tobytes()


def run_lengths(data: bytes) -> bytes:
    out = bytearray()
    for start in range(0, len(data), 128):
        piece = data[start : start + 128]
        out += bytes([len(piece) - 1]) + piece
    return bytes(out) + b"\x80"


def parameters(samples: NDArray, predictor: int) -> Dictionary:
    return Dictionary(
        Predictor=predictor,
        Colors=samples.shape[2],
        BitsPerComponent=8 * samples.dtype.itemsize,
        Columns=WIDTH,
    )


def tiff_predicted(samples: NDArray) -> bytes:
    return zlib.compress(np.diff(samples, axis=1, prepend=0).astype(np.uint8).tobytes())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("packing", ["none", "deflate", "png", "run length", "lzw", "text"])
def test_samples_come_out_to_the_bit(
    channels: int, bits: int, packing: str, tmp_path: Path
) -> None:
    samples = samples_of(1, channels, bits)
    raw = big_endian(samples)
    entries: dict[str, Any] = {"ColorSpace": SPACES[channels], "BitsPerComponent": bits}
    match packing:
        case "none":
            data = raw
        case "deflate":
            data, entries["Filter"] = zlib.compress(raw), Name.FlateDecode
        case "png":
            data, entries["Filter"] = with_png_filters(samples), Name.FlateDecode
            entries["DecodeParms"] = parameters(samples, 15)
        case "run length":
            data, entries["Filter"] = run_lengths(raw), Name.RunLengthDecode
        case "lzw":
            data, entries["Filter"] = imagecodecs.lzw_encode(raw), Name.LZWDecode
        case "text":
            data = zlib.compress(raw).hex().encode() + b">"
            entries["Filter"] = Array([Name.ASCIIHexDecode, Name.FlateDecode])
    carved = decode(carve(one_picture(tmp_path / "picture.pdf", data, **entries), 1))
    assert carved.pixels.dtype == samples.dtype
    assert np.array_equal(carved.pixels, samples)


def test_samples_with_the_predictor_of_tiff_come_out_to_the_bit(tmp_path: Path) -> None:
    samples = samples_of(2)
    entries = {"Filter": Name.FlateDecode, "DecodeParms": parameters(samples, 2)}
    path = one_picture(tmp_path / "picture.pdf", tiff_predicted(samples), **entries)
    assert np.array_equal(decode(carve(path, 1)).pixels, samples)


def test_what_is_already_image_data_of_png_is_not_packed_again(tmp_path: Path) -> None:
    samples = samples_of(3)
    data = with_png_filters(samples)
    entries = {"Filter": Name.FlateDecode, "DecodeParms": parameters(samples, 15)}
    assert data in carve(one_picture(tmp_path / "picture.pdf", data, **entries), 1)


@pytest.mark.parametrize("beyond", [b"\n", b"\0" * 40])
def test_bytes_behind_the_samples_do_no_harm(beyond: bytes, tmp_path: Path) -> None:
    samples = samples_of(4)
    for name, data in {
        "inside": zlib.compress(samples.tobytes() + beyond),
        "outside": zlib.compress(samples.tobytes()) + beyond,
    }.items():
        path = one_picture(tmp_path / f"{name}.pdf", data, Filter=Name.FlateDecode)
        assert np.array_equal(decode(carve(path, 1)).pixels, samples)


@pytest.mark.parametrize(
    ("channels", "options"),
    [(3, {"subsampling": 2}), (3, {"subsampling": 0}), (3, {"progressive": True}), (1, {})],
)
def test_a_jpeg_is_carved_out_as_it_stands(
    channels: int, options: dict[str, Any], tmp_path: Path
) -> None:
    data = jpeg_of(samples_of(5, channels), **options)
    entries = {"Filter": Name.DCTDecode, "ColorSpace": SPACES[channels]}
    assert carve(one_picture(tmp_path / "jpeg.pdf", data, **entries), 1) == data


def test_jpeg_2000_is_carved_out_as_it_stands(tmp_path: Path) -> None:
    data = imagecodecs.jpeg2k_encode(samples_of(5), codecformat="jp2", level=0)
    entries = {"Filter": Name.JPXDecode, "ColorSpace": None, "BitsPerComponent": None}
    assert carve(one_picture(tmp_path / "jpx.pdf", data, **entries), 1) == data


def test_a_jpeg_that_is_deflated_is_carved_out(tmp_path: Path) -> None:
    data = jpeg_of(samples_of(6))
    filters = Array([Name.FlateDecode, Name.DCTDecode])
    path = one_picture(tmp_path / "jpeg.pdf", zlib.compress(data), Filter=filters)
    assert carve(path, 1) == data


def test_a_jpeg_whose_components_the_pdf_calls_rgb_is_read_so(tmp_path: Path) -> None:
    samples = samples_of(7)
    data = jpeg_of(samples, keep_rgb=True, subsampling=0)
    start = data.index(b"\xff\xee")  # without the segment in which the file itself says so
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    bare = data[:start] + data[start + 2 + length :]
    assert b"Adobe" not in bare
    path = one_picture(
        tmp_path / "rgb.pdf",
        bare,
        Filter=Name.DCTDecode,
        DecodeParms=Dictionary(ColorTransform=0),
    )
    assert np.abs(decode(carve(path, 1)).pixels.astype(int) - samples).mean() < 8


def cmyk_jpeg(is_inverted: bool, has_segment: bool, transform: int = 0) -> bytes:
    """A green picture of inks. Pillow inverts what it is given, and writes an Adobe segment."""
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    inks[:, :, 0], inks[:, :, 2], inks[20:40, :, 3] = 200, 120, 90
    stored = 255 - inks if is_inverted else inks
    out = io.BytesIO()
    Image.fromarray(255 - stored, "CMYK").save(out, "JPEG", quality=95)
    data = out.getvalue()
    start = data.index(b"\xff\xee")
    assert data[start + 15] == 0
    if not has_segment:
        return data[:start] + data[start + 16 :]
    return data[: start + 15] + bytes([transform]) + data[start + 16 :]


@pytest.mark.parametrize("is_inverted", [False, True])
@pytest.mark.parametrize("has_segment", [False, True])
def test_inks_are_read_as_pdf_readers_do(
    is_inverted: bool, has_segment: bool, tmp_path: Path
) -> None:
    data = cmyk_jpeg(is_inverted, has_segment)
    entries = {"ColorSpace": Name.DeviceCMYK, "Decode": numbers(*[1, 0] * 4)}
    if not is_inverted:
        del entries["Decode"]
    path = one_picture(tmp_path / "inks.pdf", data, Filter=Name.DCTDecode, **entries)
    opened = decode(carve(path, 1))
    assert opened.obstacle is None
    inks = opened.raster.pixels
    assert np.abs(inks[5, 5].astype(int) - (200, 0, 120, 0)).max() < 8
    assert np.abs(inks[30, 5].astype(int) - (200, 0, 120, 90)).max() < 8
    (seen,) = rendered(path)
    assert np.abs(seen[5, 5, ::-1].astype(int)[:3] - opened.pixels[5, 5]).max() < 80
    changed = opened.pixels.copy()
    changed[48:64, 16:64] //= 2
    out = tmp_path / "out.pdf"
    with out.open("w+b") as file:
        put_pictures(path, file, [1], lambda _: encode(opened, changed))
    with pikepdf.open(out) as pdf:
        stream = pdf.pages[0].Resources.XObject.Im0.read_raw_bytes()
    assert (b"Adobe" in stream) == has_segment
    (after,) = rendered(out)
    assert np.array_equal(after[:32], seen[:32])
    assert after[56, 40].mean() < seen[56, 40].mean() - 20


def test_ycck_that_is_not_inverted_is_left_alone(tmp_path: Path) -> None:
    data = cmyk_jpeg(is_inverted=False, has_segment=True, transform=2)
    entries = {"ColorSpace": Name.DeviceCMYK, "Filter": Name.DCTDecode}
    assert reason_of(one_picture(tmp_path / "ycck.pdf", data, **entries)) == "mode_not_cleaned"


def with_profile(pdf: pikepdf.Pdf, profile: bytes) -> Array:
    return Array([Name.ICCBased, pdf.make_indirect(Stream(pdf, profile, N=3))])


@pytest.mark.parametrize("form", ["jpeg", "samples"])
def test_the_profile_of_the_pdf_comes_along(form: str, tmp_path: Path) -> None:
    samples = samples_of(8)
    path = tmp_path / "profile.pdf"
    with pikepdf.new() as pdf:
        entries: dict[str, Any] = {"ColorSpace": with_profile(pdf, PROFILE)}
        data = samples.tobytes()
        if form == "jpeg":
            data, entries["Filter"] = jpeg_of(samples), Name.DCTDecode
        add_page(pdf, picture(pdf, data, **entries))
        pdf.save(path)
    with Image.open(io.BytesIO(carve(path, 1))) as image:
        assert image.info["icc_profile"] == PROFILE


def test_a_profile_of_other_colours_is_an_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "lab.pdf"
    with pikepdf.new() as pdf:
        space = with_profile(pdf, PROFILE[:16] + b"Lab " + PROFILE[20:])
        add_page(pdf, picture(pdf, samples_of(9).tobytes(), ColorSpace=space))
        pdf.save(path)
    assert reason_of(path) == "mode_not_cleaned"


def reason_of(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        carve(path, 1)
    assert str(caught.value)
    return caught.value.reason.value


def test_samples_that_end_early_are_a_picture_cut_short(tmp_path: Path) -> None:
    data = zlib.compress(samples_of(1).tobytes()[:-1])
    path = one_picture(tmp_path / "short.pdf", data, Filter=Name.FlateDecode)
    assert reason_of(path) == "truncated"


@pytest.mark.parametrize(
    "data", [jpeg_of(samples_of(1)[:64]), jpeg_of(samples_of(1, 1)), b"no JPEG"]
)
def test_a_jpeg_of_another_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    path = one_picture(tmp_path / "other.pdf", data, Filter=Name.DCTDecode)
    assert reason_of(path) == "decode_failed"


def test_jpeg_2000_of_another_size_is_refused(tmp_path: Path) -> None:
    for i, data in enumerate((b"none", imagecodecs.jpeg2k_encode(samples_of(1)[:64], level=0))):
        path = one_picture(tmp_path / f"{i}.pdf", data, Filter=Name.JPXDecode)
        assert reason_of(path) == "decode_failed"


def test_a_little_data_for_a_huge_picture_is_a_trap(tmp_path: Path) -> None:
    data = zlib.compress(bytes(1_000_000))
    path = one_picture(
        tmp_path / "trap.pdf", data, Filter=Name.FlateDecode, Width=30_000, Height=30_000
    )
    assert reason_of(path) == "compression_bomb"
