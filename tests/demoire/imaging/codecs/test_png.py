"""PNG keeps every other chunk and its transparent colour; damaged data is noticed."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from demoire.imaging.codecs import png_stripes
from demoire.imaging.images import decode, encode
from tests.demoire.imaging.files import PROFILE, XMP, changed, chunk, reason_of, saved, some_exif


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def test_png_keeps_every_other_chunk_where_it_is(rgb: NDArray[np.uint8]) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a title")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    plain = saved(
        Image.fromarray(rgb),
        "PNG",
        pnginfo=text,
        dpi=(72, 72),
        icc_profile=PROFILE,
        exif=some_exif(),
    )
    head, tail = 8 + 25, len(plain) - 12
    data = plain[:head] + chunk(b"gAMA", struct.pack(">I", 45455)) + plain[head:tail]
    data += chunk(b"prVt", b"a maker's own") + plain[tail:]
    picture = decode(data)
    written = encode(picture, changed(picture))
    kept = [part for part in png_chunks(data) if part[0] != b"IDAT"]
    assert [part for part in png_chunks(written) if part[0] != b"IDAT"] == kept


def test_png_keeps_registered_chunks_that_are_unsafe_to_copy_but_still_true(
    rgb: NDArray[np.uint8],
) -> None:
    plain = saved(Image.fromarray(rgb), "PNG")
    head = 8 + 25
    sound = [
        chunk(b"cICP", bytes((1, 13, 0, 1))),
        chunk(b"sBIT", bytes((8, 8, 8))),
        chunk(b"bKGD", struct.pack(">3H", 255, 255, 255)),
        chunk(b"sTER", b"\0"),
        chunk(b"tIME", struct.pack(">H5B", 2009, 10, 15, 20, 27, 3)),
    ]
    data = plain[:head] + b"".join(sound) + plain[head:]
    picture = decode(data)
    written = encode(picture, changed(picture))
    assert b"".join(sound) in written


def test_png_does_not_touch_transparent_pixels_nor_make_new_ones(rgb: NDArray[np.uint8]) -> None:
    key = (10, 200, 30)
    holed = rgb.copy()
    holed[40:50, 40:70] = key
    picture = decode(saved(Image.fromarray(holed), "PNG", transparency=key))
    pixels = np.full_like(picture.pixels, 90)
    pixels[0:5] = key
    written = decode(encode(picture, pixels)).pixels
    assert np.array_equal((written == key).all(axis=2), (holed == key).all(axis=2))
    assert (written[60:] == 90).all()


def test_png_data_with_a_wrong_checksum_is_refused(lossless_files: dict[str, bytes]) -> None:
    for name in ("png", "png 16"):
        data = bytearray(lossless_files[name])
        data[data.index(b"IDAT") + 200] ^= 0x55
        assert reason_of(bytes(data)) == "decode_failed"


@pytest.fixture
def in_small_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_stripes, "LARGE_BYTES", 0)
    monkeypatch.setattr(png_stripes, "_STRIPE", 1000)


@pytest.mark.usefixtures("in_small_stripes")
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [1, 130, 1700])
def test_a_large_picture_is_read_and_written_in_stripes_by_the_format(
    depth: int, samples: int, width: int
) -> None:
    rng = np.random.default_rng(width)
    steps = rng.integers(-9, 10, (70, width, samples))
    dtype = np.uint8 if depth == 8 else np.uint16
    drawn = np.cumsum(steps, axis=0).astype(dtype)
    file = imagecodecs.png_encode(drawn.squeeze(axis=2) if samples == 1 else drawn)
    picture = decode(file)
    colours = samples - 1 if samples in (2, 4) else samples
    assert np.array_equal(picture.pixels, drawn[:, :, :colours])
    new = ~picture.pixels
    written = encode(picture, new)
    assert encode(picture, new) == written
    read_by_libpng = np.atleast_3d(imagecodecs.png_decode(written)).reshape(drawn.shape)
    assert np.array_equal(read_by_libpng[:, :, :colours], new)
    assert np.array_equal(read_by_libpng[:, :, colours:], drawn[:, :, colours:])
    # The checksum of the whole stream, which libpng may leave unread.
    image_data = b"".join(data for kind, data in png_chunks(written) if kind == b"IDAT")
    assert len(zlib.decompress(image_data)) == 70 * (1 + width * samples * depth // 8)


@pytest.mark.usefixtures("in_small_stripes")
def test_a_large_picture_whose_image_data_end_early_is_refused(rgb: NDArray[np.uint8]) -> None:
    rows = rgb[:-1].reshape(len(rgb) - 1, -1)
    filtered = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # none of them is filtered
    whole = saved(Image.fromarray(rgb), "PNG")
    data = whole[: 8 + 25] + chunk(b"IDAT", zlib.compress(filtered)) + chunk(b"IEND", b"")
    assert reason_of(data) == "truncated"
    torn = bytearray(zlib.compress(filtered, 0))
    torn[0] = 0
    assert (
        reason_of(data[:33] + chunk(b"IDAT", bytes(torn)) + chunk(b"IEND", b"")) == "decode_failed"
    )
