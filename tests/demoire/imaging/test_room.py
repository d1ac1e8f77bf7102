"""Room for pixels: large ones lie in a file, and behave like any others."""

import errno
import io
import os

import numpy as np
import pytest
import tifffile

from demoire.imaging import room
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.guard import decode_guarded
from demoire.imaging.images import open_image


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LARGE_BYTES", 0)


def test_small_pictures_stay_in_memory() -> None:
    assert room.file_of(room.room_for((100, 200, 3), np.uint8)) is None


@pytest.mark.usefixtures("everything_is_large")
def test_what_is_let_go_is_there_when_it_is_looked_at_again() -> None:
    pixels = np.random.default_rng(1).integers(0, 1 << 16, (300, 200, 3), dtype=np.uint16)
    copy = room.copy_of(pixels)
    room.let_go(copy[10:20])
    assert room.file_of(copy) is not None
    assert np.array_equal(copy, pixels)
    copy[:5] = 7
    room.let_go(copy)
    assert (copy[:5] == 7).all() and np.array_equal(copy[5:], pixels[5:])


@pytest.mark.usefixtures("everything_is_large")
def test_an_array_closes_its_file() -> None:
    before = len(os.listdir("/proc/self/fd"))
    pixels = room.room_for((64, 64, 1), np.uint8)
    assert len(os.listdir("/proc/self/fd")) == before + 2  # ours, and that of the map itself
    del pixels
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("everything_is_large")
def test_where_the_disk_is_full_pixels_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    pixels = room.room_for((64, 64, 3), np.uint8)
    assert room.file_of(pixels) is None and pixels.shape == (64, 64, 3)


def test_a_walk_covers_each_pixel_once_whatever_is_let_go(
    everything_is_large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_LET_GO", 1000)
    counts = room.copy_of(np.zeros((70, 90), np.uint8))
    boxes = in_stripes(Box(0, 0, 70, 90), 300, columns=40)
    for box in room.let_go_behind(boxes, counts):
        counts[box.slices] += 1
    assert (counts == 1).all()


def test_a_child_passes_a_large_picture_as_a_file() -> None:
    side = 10_100
    out = io.BytesIO()
    white = np.full((side, side), 255, np.uint8)
    white[::100] = 3
    tifffile.imwrite(out, white, compression="zlib", rowsperstrip=500, metadata=None)
    picture = decode_guarded(open_image(out.getvalue()))
    assert room.file_of(picture.pixels) is not None
    assert np.array_equal(picture.pixels[:, :, 0], white)
