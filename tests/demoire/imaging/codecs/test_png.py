"""PNG keeps every other chunk and its transparent colour; damaged data is noticed."""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

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
