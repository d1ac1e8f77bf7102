"""JPEG keeps the way it was coded and every byte around the picture; spoilt data is noticed."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from demoire.imaging.images import decode, encode
from tests.demoire.imaging.files import (
    PROFILE,
    SIZE,
    XMP,
    changed,
    reason_of,
    saved,
    some_exif,
)


def structure(data: bytes) -> dict[str, object]:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    return {
        "sampling": [component[1:3] for component in image.layer] if image.layers > 1 else None,
        "tables": [image.quantization[component[3]] for component in image.layer],
        "progressive": "progressive" in image.info,
        "mode": image.mode,
    }


def test_jpeg_keeps_the_way_it_was_coded(jpeg_files: dict[str, bytes]) -> None:
    for name, data in jpeg_files.items():
        picture = decode(data)
        written = encode(picture, changed(picture))
        assert structure(written) == structure(data), name
        error = decode(written).pixels.astype(int) - changed(picture)
        assert np.abs(error).mean() < 3, name


def test_jpeg_keeps_every_byte_around_the_picture(rgb: NDArray[np.uint8]) -> None:
    """Two-part profile, Exif with orientation, XMP, a maker's own segment, a comment, a trailer
    behind the end.
    """
    profile = PROFILE + bytes(range(256)) * 300
    data = saved(
        Image.fromarray(rgb),
        "JPEG",
        exif=some_exif(6),
        icc_profile=profile,
        xmp=XMP,
        dpi=(300, 300),
    )
    own = b"\xff\xed" + struct.pack(">H", 22) + b"Photoshop 3.0\0\x01\x02\x03\x04\x05\x06"
    note = b"\xff\xfe" + struct.pack(">H", 9) + b"a note!"
    data = data[:2] + own + note + data[2:] + b"trailer \xff\xd8\xff of a maker"
    picture = decode(data)
    written = encode(picture, changed(picture))
    assert app_segments(written) == app_segments(data)
    assert written.endswith(b"\xff\xd9trailer \xff\xd8\xff of a maker")
    with Image.open(io.BytesIO(written)) as image:
        assert (
            image.getexif()[0x0112] == 6
            and image.info["icc_profile"] == profile
            and image.size == (130, 90)
        )


def app_segments(data: bytes) -> list[bytes]:
    """The APPn and COM segments in their order, read by the length of each."""
    found, place = [], 2
    while data[place + 1] != 0xDA:
        length = 2 + struct.unpack_from(">H", data, place + 2)[0]
        if data[place + 1] == 0xFE or data[place + 1] >> 4 == 0xE:
            found.append(data[place : place + length])
        place += length
    return found


def test_a_maker_note_that_looks_like_an_end_does_not_end_a_jpeg(rgb: NDArray[np.uint8]) -> None:
    thumbnail = saved(Image.fromarray(rgb[:16, :16]), "JPEG")
    data = saved(Image.fromarray(rgb), "JPEG")
    note = b"\xff\xe5" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    picture = decode(data[:2] + note + data[2:])
    assert picture.pixels.shape == (*SIZE, 3)
    assert note in encode(picture, changed(picture))


def test_noise_in_best_quality_is_written_too() -> None:
    """Its scan is larger than the buffer that Pillow lends the encoder."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG", qtables=[[1] * 64], subsampling=0)
    picture = decode(data)
    assert (
        np.abs(decode(encode(picture, picture.pixels)).pixels.astype(int) - picture.pixels).max()
        <= 3
    )


@pytest.mark.parametrize("name", ["4:4:4", "4:2:0 progressive"])
def test_a_jpeg_filled_up_with_zeros_counts_as_cut_short(
    jpeg_files: dict[str, bytes], name: str
) -> None:
    data = jpeg_files[name]
    half = len(data) * 2 // 3
    assert reason_of(data[:half] + bytes(len(data) - half)) == "truncated"


def test_a_jpeg_that_ends_early_but_properly_is_cut_short_and_one_that_went_bad_is_told(
    jpeg_files: dict[str, bytes],
) -> None:
    """libjpeg only warns of either, and goes on in grey."""
    for name, data in jpeg_files.items():
        half = (data.index(b"\xff\xda") + len(data)) // 2
        assert reason_of(data[:half] + b"\xff\xd9") in ("truncated", "decode_failed"), name
    data = jpeg_files["4:4:4"]
    # filling before the end harms nobody
    assert decode(data[:-2] + b"\0\0\0\0\xff\xd9").facts.width == 130


@pytest.mark.timeout(60)
def test_a_file_that_was_filled_up_with_ones_is_judged_at_once(
    jpeg_files: dict[str, bytes],
) -> None:
    data = jpeg_files["4:2:2"]
    assert reason_of(data[: len(data) // 2] + b"\xff" * 2_000_000) == "truncated"


def test_headers_without_sense_are_errors_of_the_image(jpeg_files: dict[str, bytes]) -> None:
    data = jpeg_files["4:4:4"]
    frame = data.index(b"\xff\xc0")
    no_components = data[: frame + 9] + b"\0" + data[frame + 10 :]
    short_frame = data[: frame + 2] + b"\0\2" + data[frame + 4 :]
    short_segment = data[:4] + b"\0\0" + data[6:]
    for broken in (no_components, short_frame, short_segment, b"II+\0\x08\0\0\0" + b"\xff" * 8):
        assert reason_of(broken) in ("decode_failed", "truncated")


def test_codings_that_are_not_written_are_copied(rgb: NDArray[np.uint8]) -> None:
    twelve_bits = imagecodecs.jpeg8_encode(rgb.astype(np.uint16) << 4, bitspersample=12)
    assert reason_of(bytes(twelve_bits)) == "mode_not_cleaned"
    inks = Image.fromarray(np.dstack([rgb, rgb[:, :, 0]]), "CMYK")
    black_in_less_detail = saved(inks, "JPEG", subsampling=2)
    assert decode(black_in_less_detail).obstacle == "mode_not_cleaned"
