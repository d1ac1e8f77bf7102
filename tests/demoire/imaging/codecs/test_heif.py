"""AVIF and HEIC keep their coding and all that stands around the picture."""

import io
import json
import shutil
import struct
import subprocess
import sys
from datetime import date
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from demoire.imaging.codecs.heif_boxes import Association, Item
from demoire.imaging.codecs.heif_coders import HEVC
from demoire.imaging.codecs.heif_meta import written_associations
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import decode, encode, open_image, probe
from demoire.imaging.provenance import Provenance
from demoire.reasons import Reason
from tests.demoire.imaging.files import PROFILE, XMP, changed, reason_of, saved, some_exif

SUBSAMPLED = ("420", "422", "444")


def avif(samples: NDArray, **options: object) -> bytes:
    return bytes(imagecodecs.avif_encode(samples, speed=9, **options))


def heic(samples: NDArray, mode: str = "RGB", **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width = samples.shape[:2]
    out = io.BytesIO()
    preset = {"preset": "ultrafast"}
    pillow_heif.encode(mode, (width, height), samples.tobytes(), out, enc_params=preset, **options)
    return out.getvalue()


def metadata(data: bytes, folder: Path) -> dict[str, object]:
    """All that exiftool sees, but for the file's times, size and where in it the bytes are."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is missing")
    path = folder / "picture"
    path.write_bytes(data)
    command = ["exiftool", "-json", "-a", "-G1", "-n", "-b", path]
    (told,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    kept = {}
    for key, value in told.items():
        if not key.startswith(("System:", "ExifTool:")) and "MediaData" not in key:
            kept[key] = value
    assert not any("Warning" in key or "Error" in key for key in told)
    return kept


@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    kind=st.sampled_from(["grey", "rgb", "rgba"]),
    bits=st.sampled_from([8, 10, 12]),
    seed=st.integers(0, 9),
)
@settings(max_examples=12, deadline=None)
def test_a_lossless_avif_has_exactly_the_new_pixels(size, kind, bits, seed) -> None:
    shape = {"grey": size, "rgb": (*size, 3), "rgba": (*size, 4)}[kind]
    dtype = np.uint8 if bits == 8 else np.uint16
    samples = np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype)
    picture = decode(avif(samples, bitspersample=bits))
    assert picture.obstacle is None and picture.facts.bits == bits
    pixels = picture.pixels[::-1].copy()  # values that 10 and 12 bits have
    again = decode(encode(picture, pixels))
    assert np.array_equal(again.pixels, pixels)
    assert again.facts == picture.facts
    if kind == "rgba":
        assert np.array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("chroma", SUBSAMPLED)
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_a_lossy_avif_keeps_its_depth_subsampling_and_size(
    rgb: NDArray[np.uint8], chroma: str, bits: int
) -> None:
    samples = rgb if bits == 8 else rgb.astype(np.uint16) << (bits - 8)
    colours = {"primaries": 1, "transfer": 13, "matrix": 1}
    data = avif(samples, level=80, pixelformat=chroma, bitspersample=bits, **colours)
    picture = decode(data)
    pixels = changed(picture)
    written = encode(picture, pixels)
    again = decode(written)
    assert again.facts == picture.facts and again.facts.bits == bits
    full = np.iinfo(pixels.dtype).max
    assert np.abs(again.pixels.astype(float) - pixels).mean() < 0.02 * full
    assert 0.95 * len(data) < len(written) < 1.7 * len(data)
    configuration, colour = data.index(b"av1C"), data.index(b"nclx")
    assert data[configuration + 4 : configuration + 8] in written  # depth and subsampling
    assert data[colour : colour + 11] in written


@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (9, 1), (12, 4)])
def test_a_wide_space_that_is_stated_by_numbers_is_looked_at_as_srgb(
    rgb: NDArray[np.uint8], primaries: int, transfer: int
) -> None:
    narrow = decode(avif(rgb, level=90, primaries=1, transfer=13, matrix=1))
    wide = decode(avif(rgb, level=90, primaries=primaries, transfer=transfer, matrix=1))
    assert narrow.view is None and wide.view is not None and wide.facts.icc is None
    assert np.array_equal(wide.raster.pixels, narrow.pixels)
    spread = np.ptp(wide.pixels.astype(int), axis=2).mean()
    assert spread > 1.05 * np.ptp(narrow.pixels.astype(int), axis=2).mean(), "paler than it is"
    again = decode(encode_verified(wide, changed(wide)).data)
    assert again.view is not None and again.facts == wide.facts


def test_all_that_is_told_of_an_avif_stays(rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([rgb, rgb[:, :, 0]]))
    data = saved(
        image, "AVIF", quality=70, exif=some_exif(6), xmp=XMP, icc_profile=PROFILE, speed=9
    )
    picture = decode_guarded(open_image(data))
    written = encode_verified(picture, changed(picture)).data
    assert metadata(written, tmp_path) == metadata(data, tmp_path)
    assert np.array_equal(decode(written).alpha, picture.alpha)
    with Image.open(io.BytesIO(written)) as new:
        assert new.info["icc_profile"] == PROFILE
        assert new.getexif()[0x0112] == 6


def test_an_untouched_avif_is_put_together_from_the_same_bytes(rgb: NDArray[np.uint8]) -> None:
    data = saved(Image.fromarray(rgb), "AVIF", exif=some_exif(1), speed=9)
    picture = decode(data)
    written = encode(picture, picture.pixels)
    assert data.partition(b"mdat")[2] == written.partition(b"mdat")[2]


def test_a_note_of_what_changed_it_goes_into_either(rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    note = Provenance("demoire 0.2.0", "ab" * 32, date(2026, 11, 28))
    for data in (avif(rgb, level=80), saved(Image.fromarray(rgb), "AVIF", xmp=XMP, speed=9)):
        picture = decode(data)
        noted = encode(picture, changed(picture), note)
        told = metadata(noted, tmp_path)
        plain = metadata(encode(picture, changed(picture)), tmp_path)
        assert plain.items() <= told.items()
        if XMP not in data:
            assert told["XMP-xmpMM:HistorySoftwareAgent"] == "demoire 0.2.0"


def test_what_cannot_be_written_as_it_was_is_copied(rgb: NDArray[np.uint8]) -> None:
    colours = {"primaries": 9, "transfer": 16, "matrix": 9}
    bright = avif(rgb.astype(np.uint16) * 4, level=80, bitspersample=10, **colours)
    assert decode(bright).obstacle is Reason.MODE_NOT_CLEANED  # HDR
    limited = bytearray(avif(rgb, level=80, primaries=1, transfer=13, matrix=1))
    limited[limited.index(b"nclx") + 10] = 0
    assert decode(bytes(limited)).obstacle is Reason.MODE_NOT_CLEANED
    image = Image.fromarray(rgb)
    moving = saved(image, "AVIF", save_all=True, append_images=[Image.fromarray(rgb[::-1])])
    assert decode(moving).obstacle is Reason.ANIMATED


def test_a_gain_map_or_depth_image_would_be_stale(rgb: NDArray[np.uint8]) -> None:
    rgba = avif(np.dstack([rgb, rgb[:, :, 0]]), level=80)
    alpha = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
    assert decode(rgba).obstacle is None
    depth = b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0"
    assert decode(rgba.replace(alpha, depth)).obstacle is Reason.STALE_DATA


def test_an_avif_that_is_cut_short_is_said_to_be(rgb: NDArray[np.uint8]) -> None:
    data = avif(rgb, level=80)
    for length in (40, len(data) // 2, len(data) - 1):
        assert reason_of(data[:length]) == "truncated", length


@pytest.mark.parametrize(("bits", "chroma"), [(8, 420), (10, 422)])
def test_a_lossy_heic_keeps_its_depth_and_subsampling(
    rgb: NDArray[np.uint8], chroma: int, bits: int
) -> None:
    if bits == 8:
        data = heic(rgb, quality=60, chroma=chroma)
    else:
        deep = rgb.astype(np.uint16) << 2
        data = heic(deep, "RGB;10", quality=60, chroma=chroma, bit_depth=10)
    picture = decode(data)
    assert picture.obstacle is None
    pixels = changed(picture)
    written = encode(picture, pixels)
    again = decode(written)
    assert again.facts == picture.facts and again.facts.bits == bits
    full = np.iinfo(pixels.dtype).max
    assert np.abs(again.pixels.astype(float) - pixels).mean() < 0.02 * full
    configuration = data.index(b"hvcC") + 4
    told = data[configuration + 16 : configuration + 19]  # subsampling and depths
    assert written[written.index(b"hvcC") + 20 :].startswith(told)


def test_a_lossless_heic_has_exactly_the_new_pixels(rgb: NDArray[np.uint8]) -> None:
    files = [
        heic(rgb, quality=-1, chroma=444, matrix_coefficients=0),
        heic(rgb[:, :, 1].copy(), "L", quality=-1),
    ]
    for data in files:
        picture = decode(data)
        pixels = changed(picture)
        assert np.array_equal(decode(encode(picture, pixels)).pixels, pixels)


def test_of_a_heic_of_tiles_only_the_changed_ones_are_coded_anew(
    rgb: NDArray[np.uint8],
) -> None:
    data = heic(rgb, quality=60, chroma=420, tile_size=64, exif=some_exif(6))
    picture = decode(data)
    pixels = picture.pixels.copy()
    pixels[:30, :40] //= 2  # in the first tile of six
    again = decode(encode(picture, pixels)).pixels
    differs = (again != picture.pixels).any(axis=2)
    assert differs[:30, :40].any()
    assert not differs[66:].any() and not differs[:, 66:].any()
    assert again.shape == rgb.shape  # as it is stored, whatever the orientation says


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("tile", [(0, 0), (1, 2)])
def test_new_tiles_of_a_heic_with_a_profile_have_the_colours_of_the_old_ones(
    matrix: int, tile: tuple[int, int], rgb: NDArray[np.uint8]
) -> None:
    """Phones write a profile, and the matrix in the coded tiles alone."""
    data = profiled_tiles(rgb, matrix, full_range=True)
    picture = decode(data)
    top, left = 64 * tile[0], 64 * tile[1]
    pixels = picture.pixels.copy()
    pixels[top : top + 64, left : left + 64] //= 2
    again = decode(encode(picture, pixels)).pixels.astype(int)
    changed_tile = np.zeros(pixels.shape[:2], bool)
    changed_tile[top : top + 64, left : left + 64] = True
    assert np.array_equal(again[~changed_tile], pixels[~changed_tile])
    assert np.abs(again[changed_tile] - pixels[changed_tile]).mean() < 2


def test_a_heic_with_a_profile_whose_tiles_are_of_limited_range_is_copied(
    rgb: NDArray[np.uint8],
) -> None:
    data = profiled_tiles(rgb, 6, full_range=False)
    assert decode(data).obstacle == Reason.MODE_NOT_CLEANED


def profiled_tiles(rgb: NDArray[np.uint8], matrix: int, *, full_range: bool) -> bytes:
    """A HEIC of tiles with an ICC profile, which keeps the writer from stating numbers beside."""
    data = heic(
        rgb,
        quality=95,
        chroma=444,
        tile_size=64,
        icc_profile=PROFILE,
        icc_profile_type="prof",
        color_primaries=1,
        transfer_characteristics=13,
        matrix_coefficients=matrix,
        full_range_flag=int(full_range),
    )
    assert b"nclx" not in data
    return data


def test_the_thumbnail_of_a_heic_is_made_anew_and_all_else_told_stays(
    rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    options = {"quality": 60, "exif": some_exif(6), "xmp": XMP, "icc_profile": PROFILE}
    data = heic(rgb, thumbnails=[64], **options)
    picture = decode(data)
    assert picture.obstacle is None
    written = encode(picture, picture.pixels // 2)
    means = []
    for file in (data, written):
        (thumbnail,) = pillow_heif.open_heif(file, convert_hdr_to_8bit=False).info["thumbnails"]
        assert thumbnail == 64
        shown = pillow_heif.open_heif(file)[0].get_thumbnail(0)
        means.append(np.asarray(shown).mean())
    assert means[1] == pytest.approx(means[0] / 2, rel=0.1)
    assert metadata(written, tmp_path) == metadata(data, tmp_path)


def test_properties_are_told_in_the_order_of_ids_whatever_that_of_the_items() -> None:
    items = []
    for item_id in (7, 3, 5):
        property = Association(index=item_id, is_essential=item_id == 3)
        items.append(Item(item_id, b"av01", b"", False, 0, (), (property,)))
    told = struct.unpack(">I" + 3 * "HBH", written_associations(items)[12:])
    assert told == (3, 3, 1, 0x8003, 5, 1, 5, 7, 1, 7)


def test_hevc_whose_luminance_and_chrominance_differ_in_depth_is_not_written() -> None:
    configuration = bytearray(23)
    configuration[16:19] = (0xFD, 0xF8, 0xFA)
    assert HEVC.bits_and_chroma(bytes(configuration)) == (8, "unknown")
    configuration[18] = 0xF8
    assert HEVC.bits_and_chroma(bytes(configuration)) == (8, "420")


def test_without_the_extra_a_heic_is_copied_and_the_extra_named(
    rgb: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = heic(rgb, quality=60)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert reason_of(data) == "unsupported_format"
    assert "demoire[heif]" in Reason.UNSUPPORTED_FORMAT.remedy


def test_the_header_is_enough_for_the_facts(rgb: NDArray[np.uint8]) -> None:
    facts = probe(saved(Image.fromarray(rgb), "AVIF", icc_profile=PROFILE, speed=9)[:3000])
    assert (facts.height, facts.width) == rgb.shape[:2]
    assert (facts.format, facts.mode, facts.bits, facts.icc) == ("AVIF", "RGB", 8, "sRGB built-in")


def _opened(data: bytes):
    from demoire.imaging.images import open_image

    return open_image(data)
