"""What goes into a file and comes out again, and what becomes of files that are broken, huge or
strange.
"""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from demoire.errors import ImageError
from demoire.imaging.images import Picture, decode, encode, probe

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SIZE = (90, 130)  # rows, columns: no multiple of a JPEG block, of a TIFF tile, or of four
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>\xc3\xa9</a></x:xmpmeta>'


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def tiff(samples: NDArray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, samples, metadata=None, **options)
    return out.getvalue()


def deep(samples: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The same picture in 16 bits, with something in the low ones."""
    low = np.random.default_rng(1).integers(0, 256, samples.shape, dtype=np.uint16)
    return samples.astype(np.uint16) * 256 + low


def changed(picture: Picture) -> NDArray:
    """The picture's pixels, brighter in a part of them."""
    pixels = picture.pixels.copy()
    part = pixels[20:60, 30:90]
    part += ((np.iinfo(part.dtype).max - part) // 4).astype(part.dtype)
    return pixels


def some_exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A camera maker"
    return exif.tobytes()


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def rgb(scene: Callable) -> NDArray[np.uint8]:
    return scene(*SIZE)


@pytest.fixture(scope="module")
def lossless_files(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    """Files whose pixels come back exactly, one of each kind that is cleaned."""
    grey, alpha = rgb[:, :, 1], rgb[:, :, 2]
    with_alpha, grey_alpha = np.dstack([rgb, alpha]), np.dstack([grey, alpha])
    top_down = bytearray(saved(Image.fromarray(rgb[::-1].copy()), "BMP"))
    struct.pack_into("<i", top_down, 22, -SIZE[0])
    files = {
        "png grey": saved(Image.fromarray(grey), "PNG"),
        "png grey alpha": saved(Image.fromarray(grey_alpha, "LA"), "PNG"),
        "png": saved(Image.fromarray(rgb), "PNG", dpi=(300, 300), icc_profile=PROFILE),
        "png alpha": saved(Image.fromarray(with_alpha), "PNG"),
        "png grey 16": imagecodecs.png_encode(deep(grey)),
        "png grey alpha 16": imagecodecs.png_encode(deep(grey_alpha)),
        "png 16": imagecodecs.png_encode(deep(rgb)),
        "png alpha 16": imagecodecs.png_encode(deep(with_alpha)),
        "webp": saved(Image.fromarray(rgb), "WEBP", lossless=True),
        "webp alpha": saved(Image.fromarray(with_alpha), "WEBP", lossless=True, exact=True),
        "bmp": saved(Image.fromarray(rgb), "BMP", dpi=(150, 150)),
        "bmp top down": bytes(top_down),
        "bmp grey": saved(Image.fromarray(grey), "BMP"),
        "tiff white is zero": tiff(255 - grey, photometric="miniswhite"),
        "tiff grey 16 big endian": tiff(
            deep(grey), byteorder=">", compression="lzw", predictor=True
        ),
        "tiff alpha": tiff(
            with_alpha, photometric="rgb", extrasamples=["unassalpha"], compression="lzw"
        ),
        "tiff alpha 16": tiff(
            deep(with_alpha), photometric="rgb", extrasamples=["unassalpha"], compression="zlib"
        ),
        "tiff planar": tiff(
            np.moveaxis(rgb, 2, 0), photometric="rgb", planarconfig="separate", compression="lzw"
        ),
        "tiff planar 16 tiles": tiff(
            np.moveaxis(deep(rgb), 2, 0),
            photometric="rgb",
            planarconfig="separate",
            tile=(32, 48),
            compression="zlib",
        ),
        "tiff big": tiff(rgb, photometric="rgb", bigtiff=True, compression="zstd", rowsperstrip=16),
        "tiff packbits": tiff(rgb, photometric="rgb", compression="packbits", rowsperstrip=7),
        "tiff short offsets": saved(Image.fromarray(rgb), "TIFF", compression="tiff_lzw"),
    }
    for compression in (None, "lzw", "zlib", "deflate"):
        for depth, samples in ((8, rgb), (16, deep(rgb))):
            for predictor in (False, True) if compression else (False,):
                for layout in ({"rowsperstrip": 11}, {"tile": (32, 48)}):
                    name = f"tiff {depth} {compression} predictor={predictor} {layout}"
                    options = {
                        "photometric": "rgb",
                        "compression": compression,
                        "predictor": predictor,
                        **layout,
                    }
                    files[name] = tiff(
                        samples, resolution=(300, 300), resolutionunit="inch", **options
                    )
    return files


def test_new_pixels_come_back_exactly_and_all_else_stays(lossless_files: dict[str, bytes]) -> None:
    for name, data in lossless_files.items():
        picture = decode(data)
        assert picture.obstacle is None, name
        pixels = changed(picture)
        again = decode(encode(picture, pixels))
        assert np.array_equal(again.pixels, pixels), name
        assert again.facts == picture.facts, name
        assert (picture.alpha is None) == ("alpha" not in name), name
        if picture.alpha is not None:
            assert np.array_equal(again.alpha, picture.alpha), name


def test_pixels_are_those_that_other_readers_see(
    lossless_files: dict[str, bytes], rgb: NDArray[np.uint8]
) -> None:
    for name, data in lossless_files.items():
        pixels = decode(data).pixels
        expected = rgb if pixels.shape[2] == 3 else rgb[:, :, 1:2]
        deep_enough = pixels >> 8 if pixels.dtype == np.uint16 else pixels
        assert np.array_equal(deep_enough, expected), name
        written = encode(decode(data), changed(decode(data)))
        if name.startswith("tiff"):
            ours = decode(written)
            theirs = tifffile.imread(io.BytesIO(written))
            theirs = (
                np.moveaxis(theirs, 0, 2)
                if "planar" in name
                else np.atleast_3d(theirs)[:, :, : pixels.shape[2]]
            )
            inverted = "white is zero" in name
            assert np.array_equal(ours.pixels, ~theirs if inverted else theirs), name
        with Image.open(io.BytesIO(written)) as image:
            image.load()


def test_sixteen_bits_stay_sixteen_bits(lossless_files: dict[str, bytes]) -> None:
    for name, data in lossless_files.items():
        if " 16" in name:
            picture = decode(data)
            assert picture.facts.bits == 16 and picture.pixels.dtype == np.uint16
            assert np.unique(picture.pixels & 0xFF).size > 200, f"the low bits of {name} are gone"


# JPEG


@pytest.fixture(scope="module")
def jpeg_files(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 1])
    return {
        "4:4:4": saved(image, "JPEG", quality=92, subsampling=0),
        "4:2:2": saved(image, "JPEG", quality=85, subsampling=1),
        "4:2:0 progressive": saved(image, "JPEG", quality=80, subsampling=2, progressive=True),
        "grey": saved(grey, "JPEG", quality=88),
        "rgb": saved(image, "JPEG", quality=90, keep_rgb=True),
        "restarts": saved(image, "JPEG", quality=75, restart_marker_rows=2),
        "three tables": saved(
            image, "JPEG", qtables=[[3 + i // 9] * 64 for i in (0, 9, 27)], subsampling=0
        ),
        "best": saved(image, "JPEG", quality=100, subsampling=0),
    }


def structure(data: bytes) -> dict[str, object]:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    return {
        "sampling": [component[1:3] for component in image.layer] if image.layers > 1 else None,
        "tables": [image.quantization[component[3]] for component in image.layer],
        "progressive": "progressive" in image.info,
        "restarts": b"\xff\xdd" in data,
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


# PNG, TIFF, BMP, WebP: what is around the pixels


def chunk(kind: bytes, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))
        + kind
        + payload
        + struct.pack(">I", zlib.crc32(kind + payload))
    )


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


def test_an_uncompressed_tiff_differs_in_the_changed_samples_alone(rgb: NDArray[np.uint8]) -> None:
    data = tiff(rgb, photometric="rgb", rowsperstrip=10, extratags=[(65000, 7, 5, b"maker", True)])
    picture = decode(data)
    pixels = changed(picture)
    written = encode(picture, pixels)
    assert len(written) == len(data)
    differing = np.frombuffer(written, np.uint8) != np.frombuffer(data, np.uint8)
    assert differing.sum() == (pixels != picture.pixels).sum()


def test_tiff_keeps_tags_directories_and_untouched_strips(rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274], tags[315], tags[34665] = (
        3,
        "a photographer",
        {33434: TiffImagePlugin.IFDRational(1, 100)},
    )
    data = saved(image, "TIFF", tiffinfo=tags, icc_profile=PROFILE, dpi=(400, 400))
    picture = decode(data)
    written = encode(picture, changed(picture))
    with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(written)) as new:
        pixel_tags = {"StripOffsets", "StripByteCounts"}
        old_tags = {tag.name: tag.value for tag in old.pages[0].tags if tag.name not in pixel_tags}
        assert old_tags == {
            tag.name: tag.value for tag in new.pages[0].tags if tag.name not in pixel_tags
        }
        assert old_tags["ExifTag"]["ExposureTime"] == (1, 100)
    strips = tiff(rgb, photometric="rgb", compression="lzw", rowsperstrip=10)
    with tifffile.TiffFile(io.BytesIO(strips)) as old:
        page = old.pages[0]
        places = zip(page.dataoffsets, page.databytecounts, strict=True)
        first, *_, last = (strips[start : start + size] for start, size in places)
    written = encode(decode(strips), changed(decode(strips)))
    assert first in written and last in written


@pytest.mark.parametrize("photometric", ["ycbcr", "rgb", "minisblack"])
def test_jpeg_in_tiff_keeps_its_compression(rgb: NDArray[np.uint8], photometric: str) -> None:
    samples = rgb if photometric != "minisblack" else rgb[:, :, 1]
    options = (
        {"level": 90, "outcolorspace": photometric}
        if photometric != "minisblack"
        else {"level": 90}
    )
    data = tiff(
        samples, photometric=photometric, compression="jpeg", tile=(48, 64), compressionargs=options
    )
    picture = decode(data)
    assert picture.obstacle is None
    pixels = changed(picture)
    again = decode(encode(picture, pixels))
    assert again.facts == picture.facts
    assert np.abs(again.pixels.astype(int) - pixels).mean() < 2
    assert np.array_equal(again.pixels[:, 128:], picture.pixels[:, 128:]), (
        "a tile without changes was coded anew"
    )


def test_a_bmp_differs_in_the_changed_pixels_alone(rgb: NDArray[np.uint8]) -> None:
    data = saved(Image.fromarray(rgb), "BMP")
    picture = decode(data)
    pixels = changed(picture)
    differing = np.frombuffer(encode(picture, pixels), np.uint8) != np.frombuffer(data, np.uint8)
    assert differing.sum() == (pixels != picture.pixels).sum()


def test_a_lossy_webp_keeps_its_metadata_and_hardly_loses(rgb: NDArray[np.uint8]) -> None:
    data = saved(
        Image.fromarray(rgb), "WEBP", quality=80, exif=some_exif(8), xmp=XMP, icc_profile=PROFILE
    )
    picture = decode(data)
    written = encode(picture, picture.pixels)
    with Image.open(io.BytesIO(written)) as new, Image.open(io.BytesIO(data)) as old:
        for key in ("exif", "xmp", "icc_profile"):
            assert new.info[key] == old.info[key]
    assert np.abs(decode(written).pixels.astype(int) - picture.pixels).mean() < 2


# Files that are looked at but not changed


def test_modes_that_cannot_carry_changes_say_so(rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb)
    grey = image.convert("L")
    floats = np.asarray(grey, np.float32) / 7
    files = {
        "palette png": saved(image.quantize(40), "PNG"),
        "two-bit png": saved(grey.quantize(4), "PNG", bits=2),
        "one-bit png": saved(image.convert("1"), "PNG"),
        "palette bmp": saved(image.quantize(40), "BMP"),
        "cmyk jpeg": saved(image.convert("CMYK"), "JPEG"),
        "cmyk tiff": saved(image.convert("CMYK"), "TIFF"),
        "float tiff": saved(Image.fromarray(floats), "TIFF"),
        "fax tiff": saved(image.convert("1"), "TIFF", compression="group4"),
        "palette tiff": saved(image.quantize(40), "TIFF"),
        "lab tiff": saved(image.convert("LAB"), "TIFF"),
        "premultiplied tiff": tiff(
            np.dstack([rgb, rgb[:, :, 0]]), photometric="rgb", extrasamples=["assocalpha"]
        ),
    }
    for name, data in files.items():
        picture = decode(data)
        assert picture.obstacle == "mode_not_cleaned", name
        channels = 1 if name in ("one-bit png", "float tiff", "fax tiff") else 3
        assert picture.pixels.shape == (*SIZE, channels) and picture.pixels.dtype == np.uint8, name
        with pytest.raises(ValueError, match="do not go into"):
            encode(picture, picture.pixels)


def test_several_pages_are_not_cleaned(rgb: NDArray[np.uint8]) -> None:
    image, other = Image.fromarray(rgb), Image.fromarray(rgb[::-1].copy())
    for format in ("TIFF", "WEBP", "PNG"):
        picture = decode(saved(image, format, save_all=True, append_images=[other], lossless=True))
        assert picture.facts.pages == 2 and picture.obstacle == "multi_page", format
        assert np.array_equal(picture.pixels, rgb), format


# Broken, huge and strange files


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value)
    return caught.value.reason


@given(share=st.floats(0.0, 0.999))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_cut_short_is_never_decoded_in_part(
    share: float, all_files: dict[str, bytes]
) -> None:
    for name, data in all_files.items():
        cut = data[: int(share * len(data))]
        assert reason_of(cut) in ("truncated", "not_an_image"), (
            f"{name} cut at {len(cut)} of {len(data)}"
        )


@pytest.fixture(scope="module")
def all_files(lossless_files: dict[str, bytes], jpeg_files: dict[str, bytes]) -> dict[str, bytes]:
    names = (
        "png",
        "png 16",
        "webp",
        "bmp",
        "tiff short offsets",
        "tiff big",
        "tiff planar 16 tiles",
    )
    jpegs = ("4:4:4", "4:2:0 progressive")
    return {name: lossless_files[name] for name in names} | {
        name: jpeg_files[name] for name in jpegs
    }


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_but_image_errors_comes_of_damaged_bytes(
    data: st.DataObject, all_files: dict[str, bytes]
) -> None:
    name = data.draw(st.sampled_from(sorted(all_files)))
    damaged = bytearray(all_files[name])
    for _ in range(data.draw(st.integers(1, 6))):
        # Most of what decides stands in the first bytes; a TIFF has its directory at the end, too.
        place = data.draw(st.one_of(st.integers(0, 300), st.integers(0, len(damaged) - 1)))
        damaged[place % len(damaged)] = data.draw(st.integers(0, 255))
    for read in (probe, decode):
        try:
            read(bytes(damaged))
        except ImageError as error:
            assert error.reason in (
                "truncated",
                "not_an_image",
                "unsupported_format",
                "too_large",
                "decode_failed",
            )


@pytest.mark.parametrize("name", ["4:4:4", "4:2:0 progressive"])
def test_a_jpeg_filled_up_with_zeros_counts_as_cut_short(
    jpeg_files: dict[str, bytes], name: str
) -> None:
    data = jpeg_files[name]
    half = len(data) * 2 // 3
    assert reason_of(data[:half] + bytes(len(data) - half)) == "truncated"


def test_half_pictures_are_refused_even_where_pillow_was_told_to_take_them(
    jpeg_files: dict[str, bytes], lossless_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (jpeg_files["4:4:4"], lossless_files["png"]):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        assert reason_of(data[: len(data) // 2]) == "truncated"


def test_a_tiff_with_an_empty_strip_is_cut_short(rgb: NDArray[np.uint8]) -> None:
    data = bytearray(tiff(rgb, photometric="rgb", compression="lzw", rowsperstrip=30))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["StripByteCounts"]
        struct.pack_into("<" + "H" * 3, data, tag.valueoffset, tag.value[0], 0, tag.value[2])
    assert reason_of(bytes(data)) in ("truncated", "decode_failed")


def test_png_data_with_a_wrong_checksum_is_refused(lossless_files: dict[str, bytes]) -> None:
    for name in ("png", "png 16"):
        data = bytearray(lossless_files[name])
        data[data.index(b"IDAT") + 200] ^= 0x55
        assert reason_of(bytes(data)) == "decode_failed"


def test_a_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert probe(data).megapixels == 3600
    assert reason_of(data) == "too_large"


def test_a_header_that_promises_more_than_the_file_can_hold_is_told_before_decoding(
    jpeg_files: dict[str, bytes], lossless_files: dict[str, bytes]
) -> None:
    """No decoder would say so: what is missing would be made up in grey, in all the memory that
    takes.
    """
    for name in ("4:4:4", "4:2:0 progressive", "grey"):
        data = bytearray(jpeg_files[name])
        frame = data.index(b"\xff\xc2" if "progressive" in name else b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">2H", 6_000, 6_000)
        assert probe(bytes(data)).megapixels == 36
        assert reason_of(bytes(data)) == "truncated", name
    png = lossless_files["png"]
    header = chunk(b"IHDR", struct.pack(">2I", 6_000, 6_000) + png[24:29])
    assert reason_of(png[:8] + header + png[33:]) == "truncated"


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


def test_a_tiff_that_lies_on_its_side_stays_so(rgb: NDArray[np.uint8]) -> None:
    for orientation in range(1, 9):
        data = tiff(rgb, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
        picture = decode(data)
        assert (picture.facts.height, picture.facts.width) == SIZE
        assert np.array_equal(picture.pixels, rgb)
        assert np.array_equal(decode(encode(picture, changed(picture))).pixels, changed(picture))
        cmyk = np.dstack([rgb, rgb[:, :, :1]])
        looked_at = decode(
            tiff(cmyk, photometric="separated", extratags=[(274, "H", 1, orientation, True)])
        )
        assert (looked_at.obstacle, looked_at.pixels.shape[:2]) == ("mode_not_cleaned", SIZE)


@pytest.mark.timeout(60)
def test_a_chain_of_pages_is_counted_in_no_time_and_a_broken_one_is_not_taken_for_one_page() -> (
    None
):
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for _ in range(3):
            writer.write(np.zeros((20, 30), np.uint8), contiguous=False, metadata=None)
    assert probe(out.getvalue()).pages == 3
    single = bytearray(tiff(np.zeros((20, 30), np.uint8)))
    (first,) = struct.unpack_from("<I", single, 4)
    (count,) = struct.unpack_from("<H", single, first)
    behind = first + 2 + 12 * count
    struct.pack_into("<I", single, behind, 1 << 30)
    assert probe(bytes(single)).pages == 2  # of which one cannot be read: it is not to be cleaned
    chain = bytearray(single)
    struct.pack_into("<I", chain, behind, len(chain))
    for page in range(60_000):
        chain += struct.pack("<HHHIII", 1, 256, 4, 1, 30, len(single) + 18 * (page + 1))
    assert probe(bytes(chain)).pages == 1000


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


def test_the_limit_is_the_callers_and_not_pillows(
    monkeypatch: pytest.MonkeyPatch, rgb: NDArray[np.uint8]
) -> None:
    data = saved(Image.fromarray(rgb), "PNG")
    with pytest.raises(ImageError, match="--max-megapixels"):
        decode(data, max_megapixels=0.01)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(data).facts.width == 130


def test_files_that_are_no_images_are_told_from_those_not_cleaned(rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb)
    assert reason_of(b"<html>not found</html>") == "not_an_image"
    assert reason_of(b"") == "truncated"
    for format in ("GIF", "JPEG2000", "AVIF", "PDF", "PPM", "ICO"):
        assert reason_of(saved(image, format)) == "unsupported_format", format


def test_odd_metadata_is_no_error_even_where_warnings_are(
    rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "odd.tif"
    odd = bytearray(tiff(rgb, photometric="rgb", software="a long name"))
    with tifffile.TiffFile(io.BytesIO(bytes(odd))) as file:
        struct.pack_into("<I", odd, file.pages[0].tags["Software"].offset + 8, 1 << 30)
    path.write_bytes(odd)
    read = (
        "from demoire.imaging.images import decode; "
        "from demoire.imaging.quiet import quiet_decoders; "
        f"quiet_decoders(); decode(open({str(path)!r}, 'rb').read())"
    )
    pillow = f"from PIL import Image; Image.open({str(path)!r})"
    for code, quiet in ((read, True), (pillow, False)):
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True
        )
        assert (done.stderr == "") == quiet, done.stderr


def test_probe_needs_only_the_beginning(
    lossless_files: dict[str, bytes], jpeg_files: dict[str, bytes]
) -> None:
    for data in (
        lossless_files["png"],
        jpeg_files["4:2:2"],
        lossless_files["webp"],
        lossless_files["bmp"],
    ):
        facts = probe(data[:2000])
        assert (facts.height, facts.width) == SIZE


def test_facts_are_those_of_the_header(
    lossless_files: dict[str, bytes], rgb: NDArray[np.uint8]
) -> None:
    facts = probe(lossless_files["png"])
    assert facts.dpi == pytest.approx(300, abs=0.1)
    assert (facts.format, facts.mode, facts.bits, facts.icc, facts.pages) == (
        "PNG",
        "RGB",
        8,
        "sRGB built-in",
        1,
    )
    webp = Image.new("RGBA", (50, 40), (9, 8, 7, 6))
    frames = [Image.new("RGB", (50, 40), (shade, 0, 0)) for shade in (0, 99, 199)]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data, known in (
        (saved(webp, "WEBP", lossless=True), ("RGBA", 1, None)),
        (saved(webp, "WEBP"), ("RGBA", 1, None)),
        (saved(webp.convert("RGB"), "WEBP", icc_profile=profile), ("RGB", 1, "sRGB built-in")),
        (saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]), ("RGB", 3, None)),
    ):
        facts = probe(data)
        assert (facts.width, facts.height, facts.bits) == (50, 40, 8)
        assert (facts.mode, facts.pages, facts.icc) == known
    deep_grey = probe(lossless_files["tiff grey 16 big endian"])
    assert (deep_grey.mode, deep_grey.bits, deep_grey.dpi) == ("L", 16, None)
    broken = probe(saved(Image.fromarray(rgb), "PNG", icc_profile=b"no profile at all"))
    assert broken.icc == "unreadable"
