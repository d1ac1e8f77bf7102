"""Files that are too large, and traps that unpack to far more than they are."""

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging import limits
from demoire.imaging.images import decode, probe
from tests.demoire.imaging.files import chunk, reason_of, saved


def test_a_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert probe(data).megapixels == 3600
    assert reason_of(data) == "too_large"


def test_a_blank_sheet_is_no_trap_but_one_of_very_many_megapixels_is() -> None:
    assert decode(saved(Image.new("L", (5000, 7000), 255), "PNG")).facts.megapixels == 35
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(16_001)) for _ in range(16_000)) + rows.flush()
    header = chunk(b"IHDR", struct.pack(">2I5B", 16_000, 16_000, 8, 0, 0, 0, 0))
    assert (
        reason_of(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
        == "compression_bomb"
    )


def test_the_longer_side_has_a_limit_of_its_own() -> None:
    data = saved(Image.new("L", (3000, 2)), "PNG")
    with pytest.raises(ImageError, match="3000 px long and the limit is 2999; raise --max-side"):
        decode(data, max_side=2999)
    assert decode(data, max_side=3000).facts.width == 3000


def test_a_file_is_no_larger_than_its_picture_can_be_with_something_beside(
    monkeypatch: pytest.MonkeyPatch, rgb: NDArray[np.uint8]
) -> None:
    monkeypatch.setattr(limits, "_BYTES_BESIDE_PIXELS", 1000)
    pixels = rgb.shape[0] * rgb.shape[1]
    data = saved(Image.fromarray(rgb), "BMP")
    data += bytes(8 * pixels + 1000 - len(data))
    assert decode(data, max_megapixels=pixels / 1e6).facts.width == rgb.shape[1]
    with pytest.raises(ImageError, match=r"of 0.0 GB, more than .* raise --max-megapixels"):
        decode(data + b"x", max_megapixels=pixels / 1e6)


def test_the_limit_is_the_callers_and_not_pillows(
    monkeypatch: pytest.MonkeyPatch, rgb: NDArray[np.uint8]
) -> None:
    data = saved(Image.fromarray(rgb), "PNG")
    with pytest.raises(ImageError, match="--max-megapixels"):
        decode(data, max_megapixels=0.01)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(data).facts.width == 130
