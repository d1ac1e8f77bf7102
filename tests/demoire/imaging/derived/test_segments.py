"""Thumbnails in a JPEG file's segments show the cleaned picture afterwards, and nothing else
moves.
"""

import io
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.segments import renewed
from demoire.imaging.derived.thumbnail import Thumbnailer
from tests.demoire.imaging.derived.camera_files import (
    exif,
    exiftool,
    jpeg,
    photoshop,
    picture,
    small,
    with_segments,
)

CLEAN = Thumbnailer(picture())
STRIPED = picture(stripes=True)
EXIF, JFIF, PHOTOSHOP = 0xE1, 0xE0, 0xED

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is missing")


def shows_the_clean_picture(file: bytes) -> bool:
    """Whether a thumbnail is dark on the left, light on the right, and nowhere striped."""
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("L")).astype(int)
    height, width = pixels.shape
    left = pixels[height // 4 : -height // 4, 4 : width // 2 - 4]
    right = pixels[height // 4 : -height // 4, width // 2 + 4 : -4]
    return left.max() < 40 and right.min() > 150 and right.max() < 220


@pytest.mark.parametrize("order", [">", "<"])
def test_an_exif_thumbnail_is_made_anew_in_its_own_size(order: str) -> None:
    old = b"Exif\0\0" + exif(small(STRIPED, 160, 120), order=order)

    new = renewed(EXIF, old, CLEAN)

    start = new.index(b"\xff\xd8")
    thumbnail = new[start:]
    assert Image.open(io.BytesIO(thumbnail)).size == (160, 120)
    assert shows_the_clean_picture(thumbnail)
    assert new[:14] == old[:14], "the header and IFD0 stay"


def test_a_thumbnail_before_other_data_keeps_that_data_in_its_place() -> None:
    notes = b"a maker's notes, found by their offset"
    old = b"Exif\0\0" + exif(small(STRIPED, 160, 120), behind=notes)

    new = renewed(EXIF, old, CLEAN)

    assert new.index(notes) == old.index(notes)
    start = new.index(b"\xff\xd8")
    assert shows_the_clean_picture(new[start:])


def test_exif_without_a_thumbnail_stays_as_it_is() -> None:
    header_and_ifd0 = exif(b"")[:26]
    without = b"Exif\0\0" + header_and_ifd0[:22] + struct.pack(">I", 0)
    assert renewed(EXIF, without, CLEAN) == without


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise_than_by_its_own_error(noise: bytes) -> None:
    for marker, signature in [
        (EXIF, b"Exif\0\0MM\0*"),
        (JFIF, b"JFXX\0"),
        (JFIF, b"JFIF\0"),
        (PHOTOSHOP, b"Photoshop 3.0\0" + b"8BIM"),
    ]:
        try:
            renewed(marker, signature + noise, CLEAN)
        except StaleDataError:
            continue


def test_a_jfxx_thumbnail_is_made_anew() -> None:
    new = renewed(JFIF, b"JFXX\0\x10" + small(STRIPED, 128, 96), CLEAN)
    assert new.startswith(b"JFXX\0\x10")
    assert shows_the_clean_picture(new[6:])


def test_a_jfif_thumbnail_in_plain_rgb_is_made_anew() -> None:
    head = b"JFIF\0\x01\x01\0\0\x48\0\x48" + bytes((40, 30))
    new = renewed(JFIF, head + bytes(40 * 30 * 3), CLEAN)
    pixels = np.frombuffer(new[14:], np.uint8).reshape(30, 40, 3)
    assert pixels[:, 25:].min() > 150


def test_photoshops_thumbnail_is_made_anew_between_its_neighbours() -> None:
    new = renewed(PHOTOSHOP, photoshop(small(STRIPED, 160, 120), 160, 120), CLEAN)
    assert b"caption" in new
    start = new.index(b"\xff\xd8")
    assert shows_the_clean_picture(new[start:])
    (length,) = struct.unpack_from(">I", new, start - 8)
    assert new[start + length - 2 : start + length] == b"\xff\xd9", "the resource says its length"


def test_a_picture_of_another_shape_is_fitted_between_bars_not_distorted() -> None:
    wide = Thumbnailer(np.full((200, 300, 3), 200, np.uint8))
    pixels = np.asarray(wide.image(160, 120))
    assert pixels[:6].max() == 0
    assert pixels[-6:].max() == 0
    assert pixels[10:-10].min() == 200


def test_where_there_is_little_room_the_quality_falls() -> None:
    rng = np.random.default_rng(0)
    noisy = Thumbnailer(rng.integers(0, 256, (240, 320, 3), np.uint8))
    plain = small(picture(), 160, 120)
    assert len(noisy.jpeg_like(plain)) > 9000
    assert len(noisy.jpeg_like(plain, most=9000)) <= 9000
    with pytest.raises(StaleDataError):
        noisy.jpeg_like(plain, most=500)


@needs_exiftool
def test_exiftool_finds_the_new_thumbnails(tmp_path: Path) -> None:
    payload = b"Exif\0\0" + exif(small(STRIPED, 160, 120))
    resources = photoshop(small(STRIPED, 160, 120), 160, 120)
    segments = [(EXIF, payload), (PHOTOSHOP, resources)]
    old = with_segments(jpeg(picture()), *segments)
    new = with_segments(
        jpeg(picture()), *[(marker, renewed(marker, data, CLEAN)) for marker, data in segments]
    )

    for tag in ("-ThumbnailImage", "-PhotoshopThumbnail"):
        before = exiftool(old, "-b", tag, folder=tmp_path)
        after = exiftool(new, "-b", tag, folder=tmp_path)
        assert not shows_the_clean_picture(before)
        assert shows_the_clean_picture(after)
    complaints = ("-validate", "-warning", "-error", "-a")
    before = exiftool(old, *complaints, folder=tmp_path)
    assert exiftool(new, *complaints, folder=tmp_path) == before
