"""What lies behind a JPEG picture is found where the index says, once the picture changed its
length.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.multi_picture import moved, read_index
from demoire.imaging.derived.thumbnail import Thumbnailer
from tests.demoire.imaging.derived.camera_files import (
    exiftool,
    jpeg,
    picture,
    small,
    with_pictures_behind,
)

GAIN_MAP = 0x000000
LARGE_PREVIEW = 0x010002
LEFT_EYE = 0x020002

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is missing")


def payload_of(file: bytes) -> bytes:
    """The payload of the file's index."""
    start = file.index(b"MPF\0")
    length = int.from_bytes(file[start - 2 : start], "big")
    return file[start : start + length - 2]


def rewritten(file: bytes, grown_by: int, renew: Callable[[bytes], bytes]) -> bytes:
    """The file with a picture that is longer by a comment, and all behind it moved."""
    payload = payload_of(file)
    index = read_index(payload)
    assert index is not None
    base = file.index(b"MPF\0") + 4
    old_length = index.images[0].size
    segment_end = base - 4 + len(payload)
    comment = b"\xff\xfe" + (grown_by - 2).to_bytes(2, "big") + b"-" * (grown_by - 4)
    new_payload, trailer = moved(
        index,
        old_base=base,
        old_file=file,
        new_base=base,
        new_length=old_length + grown_by,
        renew_preview=renew,
    )
    head = file[: base - 4] + new_payload
    return head + comment + file[segment_end:old_length] + trailer


def listed(file: bytes) -> list[bytes]:
    """The pictures behind the first one, found by the index."""
    index = read_index(payload_of(file))
    assert index is not None
    base = file.index(b"MPF\0") + 4
    return [
        file[base + image.offset : base + image.offset + image.size] for image in index.images[1:]
    ]


@pytest.mark.parametrize("order", [">", "<"])
def test_a_gain_map_is_found_and_unchanged(order: str) -> None:
    gain_map = jpeg(picture(60, 80))
    file = with_pictures_behind(jpeg(picture()), (GAIN_MAP, gain_map), order=order)
    assert listed(file) == [gain_map], "the drawn file itself is sound"

    new = rewritten(file, 400, lambda preview: preview)

    assert listed(new) == [gain_map]
    index = read_index(payload_of(new))
    assert index is not None
    assert new[: index.images[0].size].endswith(b"\xff\xd9")


def test_previews_are_made_anew_and_other_pictures_are_not() -> None:
    striped = picture(stripes=True)
    preview = small(striped, 160, 120)
    depth = jpeg(picture(30, 40))
    file = with_pictures_behind(
        jpeg(picture()), (LARGE_PREVIEW, preview), (GAIN_MAP, depth), gap=b"\0" * 7
    )
    thumbnailer = Thumbnailer(picture())

    new = rewritten(file, 99, thumbnailer.jpeg_like)

    found_preview, found_depth = listed(new)
    assert found_preview == thumbnailer.jpeg_like(preview)
    assert found_depth == depth


def test_frames_are_told_from_previews() -> None:
    file = with_pictures_behind(jpeg(picture()), (LEFT_EYE, jpeg(picture())))
    index = read_index(payload_of(file))
    assert index is not None
    assert [image.is_frame for image in index.images] == [False, True]
    assert [image.is_preview for image in index.images] == [False, False]


def test_an_index_that_points_elsewhere_is_refused() -> None:
    file = with_pictures_behind(jpeg(picture()), (GAIN_MAP, jpeg(picture(30, 40))))
    with pytest.raises(StaleDataError):
        rewritten(file[:-5], 10, lambda preview: preview)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise_than_by_its_own_error(noise: bytes) -> None:
    for order in (b"MM\0*", b"II*\0"):
        try:
            read_index(b"MPF\0" + order + noise)
        except StaleDataError:
            continue


@needs_exiftool
def test_exiftool_finds_what_lies_behind(tmp_path: Path) -> None:
    gain_map = jpeg(picture(60, 80))
    file = with_pictures_behind(jpeg(picture()), (GAIN_MAP, gain_map), gap=b"\0\0\0")
    new = rewritten(file, 1234, lambda preview: preview)
    assert exiftool(new, "-b", "-MPImage2", folder=tmp_path) == gain_map
