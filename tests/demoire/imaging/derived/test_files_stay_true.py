"""Whole files in and out: what hangs on the pixels is true afterwards, what is only odd is no
fault.

Every file is drawn here and wrapped as cameras, editors and operating systems write them. A file is
"cleaned" by putting a plain picture into it, so that whatever still shows stripes was forgotten.
"""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import open_image
from demoire.reasons import Reason
from tests.demoire.imaging.derived.camera_files import (
    exif,
    jpeg,
    picture,
    small,
    with_pictures_behind,
    with_segments,
)

STRIPED = picture(stripes=True)


def cleaned(file: bytes) -> bytes:
    """The file with the plain picture in it."""
    opened = decode_guarded(open_image(file))
    assert opened.obstacle is None
    plain = picture(*opened.pixels.shape[:2])
    if opened.pixels.shape[2] == 1:
        plain = plain[:, :, :1]
    scale = 257 if opened.pixels.dtype == np.uint16 else 1
    return encode_verified(opened, plain.astype(opened.pixels.dtype) * scale).data


def obstacle(file: bytes) -> Reason | None:
    return decode_guarded(open_image(file)).obstacle


def stripes_in(pixels: NDArray[np.generic]) -> float:
    """How much neighbouring columns differ in the dark half: 0 without stripes, 1 with full
    ones.
    """
    grey = pixels.astype(float) / np.iinfo(pixels.dtype).max
    grey = grey if grey.ndim == 2 else grey.mean(axis=2)
    dark = grey[:, 2 : grey.shape[1] // 2 - 2]
    return float(np.abs(np.diff(dark, axis=1)).mean())


# JPEG


def test_a_camera_file_with_previews_is_one_picture_and_its_previews_are_made_anew() -> None:
    previews = [(0x010001, small(STRIPED, 160, 120)), (0x010002, small(STRIPED, 240, 180))]
    file = with_pictures_behind(jpeg(STRIPED), *previews)
    assert open_image(file).facts.pages == 1

    new = Image.open(io.BytesIO(cleaned(file)))

    assert getattr(new, "n_frames", 1) == 3
    for number, size in [(1, (160, 120)), (2, (240, 180))]:
        new.seek(number)
        assert new.size == size
        assert stripes_in(np.asarray(new)) < 0.02


def test_a_stereo_file_holds_two_pictures_and_is_left_alone() -> None:
    file = with_pictures_behind(jpeg(STRIPED), (0x020002, jpeg(STRIPED)))
    assert obstacle(file) == Reason.MULTI_PAGE


def test_what_follows_an_ordinary_file_stays_to_the_byte() -> None:
    video = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 4
    assert cleaned(jpeg(STRIPED) + video).endswith(b"\xff\xd9" + video)


def test_a_signed_jpeg_is_copied_and_says_why() -> None:
    manifest = b"JP\0\x01\0\0\0\x01" + struct.pack(">I", 60) + b"jumb" + b"\0" * 8 + b"jumdc2pa"
    assert obstacle(with_segments(jpeg(STRIPED), (0xEB, manifest))) == Reason.SIGNED
    other_boxes = manifest.replace(b"c2pa", b"JPXT")
    assert obstacle(with_segments(jpeg(STRIPED), (0xEB, other_boxes))) is None


def icc(number: int, count: int, profile: bytes = b"x" * 40) -> tuple[int, bytes]:
    return 0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + profile


def between_segments(file: bytes) -> bytes:
    at = 4 + struct.unpack_from(">H", file, 4)[0]
    return file[:at] + b"\0\0\0\0" + file[at:]


def before_scan(file: bytes) -> bytes:
    at = file.index(b"\xff\xda")
    return file[:at] + b"\0\0\0\0" + file[at:]


def without_spectral_end(file: bytes) -> bytes:
    at = file.index(b"\xff\xda")
    (length,) = struct.unpack_from(">H", file, at + 2)
    end = at + 2 + length
    return file[: end - 2] + b"\0" + file[end - 1 :]


ODD_BUT_SOUND: dict[str, Callable[[bytes], bytes]] = {
    "an empty ICC segment": lambda file: with_segments(file, (0xE2, b"ICC_PROFILE\0")),
    "ICC segments with a wrong count": lambda file: with_segments(file, icc(1, 3), icc(2, 2)),
    "two ICC segments of one number": lambda file: with_segments(file, icc(1, 2), icc(1, 2)),
    "an ICC segment with number 0": lambda file: with_segments(file, icc(0, 1)),
    "JFIF revision 2.01": lambda file: file.replace(b"JFIF\0\x01\x01", b"JFIF\0\x02\x01"),
    "stray bytes between segments": between_segments,
    "stray bytes before the scan": before_scan,
    "a baseline scan without its end of selection": without_spectral_end,
    "an unknown Adobe transform": lambda file: with_segments(
        file, (0xEE, b"Adobe\0\x64\0\0\0\0\x07")
    ),
    "two end markers": lambda file: file + b"\xff\xd9",
    "fill bytes before the end marker": lambda file: file[:-2] + b"\xff" * 9 + file[-2:],
    "zeros behind the end": lambda file: file + bytes(100),
}


@pytest.mark.parametrize("oddity", ODD_BUT_SOUND)
def test_an_odd_file_whose_pixels_are_whole_is_cleaned_like_any_other(oddity: str) -> None:
    plain = jpeg(STRIPED)
    odd = ODD_BUT_SOUND[oddity](plain)
    assert odd != plain
    expected = decode_guarded(open_image(plain)).pixels
    assert np.array_equal(decode_guarded(open_image(odd)).pixels, expected)
    assert stripes_in(decode_guarded(open_image(cleaned(odd))).pixels) < 0.02


def test_damaged_coded_data_is_still_a_fault() -> None:
    file = jpeg(STRIPED)
    middle = len(file) // 2
    with pytest.raises(ImageError) as caught:
        decode_guarded(open_image(file[:middle] + b"\xff\xd9"))
    assert caught.value.reason in (Reason.TRUNCATED, Reason.DECODE_FAILED)


# PNG


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A striped PNG with these chunks before its image data."""
    out = io.BytesIO()
    Image.fromarray(STRIPED).save(out, "PNG")
    file = out.getvalue()
    at = file.index(b"IDAT") - 4
    added = b""
    for kind, data in chunks:
        checksum = zlib.crc32(kind + data)
        added += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return file[:at] + added + file[at:]


def chunk_types(file: bytes) -> list[bytes]:
    types = []
    at = 8
    while at < len(file):
        (length,) = struct.unpack_from(">I", file, at)
        types.append(file[at + 4 : at + 8])
        at += 12 + length
    return types


def test_apples_idot_is_left_out_and_text_stays() -> None:
    new = cleaned(png((b"iDOT", bytes(28)), (b"tEXt", b"Author\0a person")))
    assert b"iDOT" not in chunk_types(new)
    assert b"tEXt" in chunk_types(new)


def test_unknown_chunks_are_kept_where_the_format_says_they_may_be() -> None:
    new = cleaned(png((b"vpAg", b"safe to copy"), (b"prVW", b"not safe"), (b"gAMA", bytes(4))))
    assert b"vpAg" in chunk_types(new)
    assert b"gAMA" in chunk_types(new), "known, and true of any picture"
    assert b"prVW" not in chunk_types(new)


def test_the_exif_thumbnail_of_a_png_is_made_anew_under_a_sound_checksum() -> None:
    new = cleaned(png((b"eXIf", exif(small(STRIPED, 160, 120)))))
    at = new.index(b"eXIf")
    (length,) = struct.unpack_from(">I", new, at - 4)
    payload = new[at + 4 : at + 4 + length]
    assert struct.unpack_from(">I", new, at + 4 + length)[0] == zlib.crc32(b"eXIf" + payload)
    thumbnail = payload[payload.index(b"\xff\xd8") :]
    assert stripes_in(np.asarray(Image.open(io.BytesIO(thumbnail)))) < 0.02


def test_a_signed_png_is_copied_and_says_why() -> None:
    assert obstacle(png((b"caBX", b"jumb"))) == Reason.SIGNED


# TIFF


def pyramid(path: Path, *, sub_directories: bool, compression: str | None) -> bytes:
    """A striped TIFF with two smaller levels, in sub-directories or as pages behind it."""
    levels = [STRIPED[::2, ::2].copy(), STRIPED[::4, ::4].copy()]
    options = {"compression": compression, "photometric": "rgb"}
    with tifffile.TiffWriter(path) as file:
        file.write(STRIPED, subifds=2 if sub_directories else 0, **options)
        for level in levels:
            file.write(level, subfiletype=1, **options)
    return path.read_bytes()


@pytest.mark.parametrize("sub_directories", [True, False])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "jpeg"])
def test_every_level_of_a_pyramid_is_made_anew(
    tmp_path: Path, sub_directories: bool, compression: str | None
) -> None:
    file = pyramid(
        tmp_path / "pyramid.tif", sub_directories=sub_directories, compression=compression
    )
    assert open_image(file).facts.pages == 1

    new = cleaned(file)

    with tifffile.TiffFile(io.BytesIO(new)) as written:
        first = written.pages.first
        smaller = list(first.pages) if sub_directories else list(written.pages)[1:]
        shapes = [page.asarray().shape for page in smaller]
        assert shapes == [(120, 160, 3), (60, 80, 3)]
        for page in [first, *smaller]:
            assert stripes_in(page.asarray()) < 0.02


def test_two_pages_of_full_size_are_two_pages(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(STRIPED, photometric="rgb")
        file.write(STRIPED, photometric="rgb")
    assert open_image(path.read_bytes()).facts.pages == 2


def test_a_raw_file_is_recognised_by_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "raw.dng"
    mosaic = np.zeros((240, 320), np.uint16)
    with tifffile.TiffWriter(path) as file:
        version = [(50706, "B", 4, (1, 4, 0, 0), True)]
        file.write(STRIPED, photometric="rgb", subifds=1, extratags=version)
        file.write(mosaic, photometric=32803)
    with pytest.raises(ImageError) as caught:
        open_image(path.read_bytes())
    assert caught.value.reason == Reason.CAMERA_RAW
    assert caught.value.reason.status == "copied"


def test_photoshops_layers_hold_the_old_pixels_so_the_file_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "layers.tif"
    layers = [(37724, "B", 8, tuple(b"Adobe Ph"), True)]
    tifffile.imwrite(path, STRIPED, photometric="rgb", extratags=layers)
    assert obstacle(path.read_bytes()) == Reason.STALE_DATA


# Signed files


def unsigned(file: bytes) -> bytes:
    """The file cleaned without its signature."""
    opened = decode_guarded(open_image(file)).without_signature()
    assert opened.obstacle is None and opened.gives_up_signature
    return encode_verified(opened, picture(*opened.pixels.shape[:2])).data


def manifest_segments() -> list[tuple[int, bytes]]:
    """A manifest in two APP11 segments, of which the second does not say what it belongs to."""
    begin = struct.pack(">I", 120) + b"jumb" + bytes(8) + b"jumdc2pa"
    return [
        (0xEB, b"JP\0\x07" + struct.pack(">I", 1) + begin),
        (0xEB, b"JP\0\x07" + struct.pack(">I", 2) + begin[:8] + b"the rest of a manifest"),
    ]


def webp_chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)


def signed_webp() -> bytes:
    out = io.BytesIO()
    Image.fromarray(STRIPED).save(out, "WEBP", exif=b"Exif\0\0" + exif(small(STRIPED, 160, 120)))
    body = out.getvalue()[8:] + webp_chunk(b"C2PA", b"a manifest of a picture")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def signed_tiff(**options: object) -> bytes:
    out = io.BytesIO()
    manifest = (52545, 7, 23, b"a manifest of a picture", True)
    tifffile.imwrite(
        out, STRIPED, photometric="rgb", metadata=None, extratags=[manifest], **options
    )
    return out.getvalue()


SIGNED = {
    "jpeg": with_segments(jpeg(STRIPED), *manifest_segments()),
    "png": png((b"caBX", b"a manifest of a picture")),
    "webp": signed_webp(),
    "tiff": signed_tiff(),
    "big-endian tiff": signed_tiff(byteorder=">", compression="lzw"),
    "bigtiff": signed_tiff(bigtiff=True),
}


@pytest.mark.parametrize("file", SIGNED.values(), ids=SIGNED)
def test_a_signed_file_is_cleaned_without_its_manifest_where_that_is_allowed(file: bytes) -> None:
    assert obstacle(file) == Reason.SIGNED
    clean = unsigned(file)
    assert b"a manifest" not in clean and b"c2pa" not in clean
    assert obstacle(clean) is None
    assert stripes_in(decode_guarded(open_image(clean)).pixels) < 0.02


def test_other_boxes_stay_beside_a_manifest_that_goes() -> None:
    other = b"JP\0\x09" + struct.pack(">I", 1) + b"\0\0\0\x20jumb360 degrees"
    file = with_segments(jpeg(STRIPED), (0xEB, other), *manifest_segments())
    assert other in unsigned(file)


# Previews that cameras keep in Exif


def camera_exif(preview: bytes) -> bytes:
    """Exif data with a MakerNote behind all else, in which a preview lies."""
    note = b"Camera\0\1" + struct.pack(">HHII", 0x2001, 4, 1, len(preview)) + preview + b"more tags"
    return exif(small(STRIPED, 160, 120), behind=note)


def test_a_preview_in_a_maker_note_is_made_anew_where_it_is() -> None:
    preview = small(STRIPED, 320, 240)
    old = camera_exif(preview)
    clean = cleaned(with_segments(jpeg(STRIPED), (0xE1, b"Exif\0\0" + old)))
    at = clean.index(b"Camera\0\1")
    assert struct.unpack_from(">I", clean, at + 8 + 8) == (len(preview),)
    kept = clean[at + 8 + 12 :]
    assert kept[len(preview) :].startswith(b"more tags")
    with Image.open(io.BytesIO(kept[: len(preview)])) as new:
        assert new.size == (320, 240)
        assert stripes_in(np.asarray(new)) < 0.02


def test_a_preview_without_room_for_a_new_one_is_an_obstacle() -> None:
    flat = jpeg(np.full((240, 320, 3), 90, np.uint8), quality=20)
    file = with_segments(jpeg(STRIPED), (0xE1, b"Exif\0\0" + camera_exif(flat[:-2] + b"\xff\xd9")))
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    with pytest.raises(ImageError) as caught:
        encode_verified(decode_guarded(open_image(file)), noise)
    assert caught.value.reason == Reason.STALE_DATA


def test_bytes_that_only_begin_like_a_preview_stay() -> None:
    note = b"\xff\xd8\xff\xe0 and then something else"
    file = with_segments(
        jpeg(STRIPED), (0xE1, b"Exif\0\0" + exif(small(STRIPED, 160, 120), behind=note))
    )
    assert note in cleaned(file)


def test_the_thumbnail_in_a_webp_is_made_anew() -> None:
    out = io.BytesIO()
    Image.fromarray(STRIPED).save(out, "WEBP", exif=b"Exif\0\0" + exif(small(STRIPED, 160, 120)))
    clean = cleaned(out.getvalue())
    with Image.open(io.BytesIO(clean)) as image:
        data = image.info["exif"]
    with Image.open(io.BytesIO(data[data.rindex(b"\xff\xd8\xff") :])) as thumbnail:
        assert thumbnail.size == (160, 120)
        assert stripes_in(np.asarray(thumbnail)) < 0.02
