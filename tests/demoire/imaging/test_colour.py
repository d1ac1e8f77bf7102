"""Pictures in other spaces than sRGB: seen as sRGB, and changed in nothing but what was cleaned."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import Picture, decode, encode, open_image
from tests.demoire.imaging.files import PROFILE, changed, saved, tiff
from tests.demoire.imaging.profiles import press, separated, wide_rgb

WIDE = wide_rgb()
PRESS = press()
CHANGED = np.s_[20:60, 30:90]  # the part that `changed` makes brighter


def with_profile(profile: bytes) -> dict[str, object]:
    return {"extratags": [(34675, 7, len(profile), profile, True)]}


def inks_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.rint(separated(rgb / 255) * 255).astype(np.uint8)


def outside(samples: NDArray) -> NDArray:
    rest = samples.copy()
    rest[CHANGED] = 0
    return rest


@pytest.fixture(scope="module")
def inks(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return inks_of(rgb)


def photoshop_jpeg(inks: NDArray[np.uint8], **options: object) -> bytes:
    """CMYK as Photoshop writes it: inverted, behind an Adobe segment."""
    return saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=92, **options)


def ycck_jpeg(inks: NDArray[np.uint8]) -> bytes:
    """The same, its first three inks coded as Y, Cb and Cr."""
    ycc = np.asarray(Image.fromarray(inks[:, :, :3]).convert("YCbCr"))
    stored = np.dstack([ycc, 255 - inks[:, :, 3]])
    data = saved(Image.fromarray(255 - stored, "CMYK"), "JPEG", quality=92)
    transform = data.index(b"Adobe") + 11
    return data[:transform] + b"\x02" + data[transform + 1 :]


def test_a_wide_space_is_seen_as_srgb_and_grey_and_srgb_as_they_are(rgb: NDArray) -> None:
    for profile, is_seen_anew in ((WIDE, True), (PROFILE, False), (b"no profile at all", False)):
        picture = decode(saved(Image.fromarray(rgb), "PNG", icc_profile=profile))
        assert np.array_equal(picture.pixels, rgb) != is_seen_anew
        assert np.array_equal(picture.raster.pixels, rgb)
    green = Image.new("RGB", (40, 30), (100, 200, 100))
    seen = decode(saved(green, "PNG", icc_profile=WIDE)).pixels[0, 0]
    assert seen[0] < 70, "the wide space's green is beyond sRGB's"
    grey = saved(green.convert("L"), "PNG", icc_profile=WIDE)
    assert decode(grey).pixels.shape[2] == 1


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["rgb", "cmyk", "cmyk without a profile"])
def test_a_tiff_keeps_the_bits_of_all_samples_that_did_not_change(
    kind: str, depth: int, rgb: NDArray[np.uint8], inks: NDArray[np.uint8]
) -> None:
    # Of colours that sRGB cannot show a part of the change stays unseen: these are paler.
    samples = rgb // 3 + 90 if kind == "rgb" else inks
    if depth == 16:
        samples = samples.astype(np.uint16) * 257
    profile = WIDE if kind == "rgb" else PRESS
    options = {} if "without" in kind else with_profile(profile)
    photometric = "rgb" if kind == "rgb" else "separated"
    data = tiff(samples, photometric=photometric, compression="lzw", rowsperstrip=16, **options)
    picture = decode(data)
    assert picture.obstacle is None and picture.pixels.shape[2] == 3
    assert picture.pixels.dtype == samples.dtype
    written = encode_verified(picture, changed(picture)).data
    theirs = tifffile.imread(io.BytesIO(written))
    assert np.array_equal(outside(theirs), outside(samples))
    again = decode(written).pixels.astype(float)
    step = np.iinfo(samples.dtype).max / 255
    error = np.abs(again - changed(picture))[CHANGED].mean() / step
    before = np.abs(picture.pixels.astype(float) - changed(picture))[CHANGED].mean() / step
    assert error < before / 4, "the change does not come back"
    if "without" not in kind:
        assert profile in written


@pytest.mark.parametrize("profile", [PRESS, None], ids=["profile", "none"])
def test_what_is_printed_in_black_alone_stays_so(rgb: NDArray, profile: bytes | None) -> None:
    black = np.zeros((*rgb.shape[:2], 4), np.uint8)
    black[:, :, 3] = 255 - rgb[:, :, 1]
    options = {} if profile is None else with_profile(profile)
    picture = decode(tiff(black, photometric="separated", **options))
    new = decode(encode(picture, changed(picture))).raster.pixels
    assert not new[:, :, :3].any()
    assert new[CHANGED][:, :, 3].mean() < black[CHANGED][:, :, 3].mean() - 10


@pytest.mark.parametrize("coding", ["cmyk", "progressive", "ycck", "not inverted"])
def test_a_cmyk_jpeg_keeps_its_inks(coding: str, inks: NDArray[np.uint8]) -> None:
    if coding == "ycck":
        data = ycck_jpeg(inks)
    elif coding == "not inverted":
        whole = photoshop_jpeg(255 - inks)
        adobe = whole.index(b"\xff\xee")
        data = whole[:adobe] + whole[adobe + 16 :]
    else:
        data = photoshop_jpeg(inks, progressive=coding == "progressive", icc_profile=PRESS)
    picture = decode(data)
    assert picture.obstacle is None and picture.facts.mode == "CMYK"
    assert np.abs(picture.raster.pixels.astype(int) - inks).mean() < 3
    written = encode_verified(picture, changed(picture)).data
    again = decode(written)
    assert again.facts == picture.facts
    assert (b"Adobe" in written) == (b"Adobe" in data)
    with Image.open(io.BytesIO(data)) as old, Image.open(io.BytesIO(written)) as new:
        before, after = np.asarray(old), np.asarray(new)
    away = np.ones(before.shape[:2], bool)
    away[16:64, 24:96] = False
    assert np.array_equal(before[away], after[away])
    error = np.abs(again.pixels.astype(int) - changed(picture))[CHANGED].mean()
    assert error < np.abs(picture.pixels.astype(int) - changed(picture))[CHANGED].mean() / 3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), kind=st.sampled_from(["rgb", "inks"]))
def test_nothing_changes_where_nothing_was_cleaned(seed: int, kind: str) -> None:
    noise = np.random.default_rng(seed)
    samples = noise.integers(0, 256, (20, 30, 3 if kind == "rgb" else 4), dtype=np.uint8)
    profile, photometric = (WIDE, "rgb") if kind == "rgb" else (PRESS, "separated")
    picture = decode(tiff(samples, photometric=photometric, **with_profile(profile)))
    assert np.array_equal(decode(encode(picture, picture.pixels)).raster.pixels, samples)
    pixels = picture.pixels.copy()
    row, column = noise.integers(0, (20, 30))
    pixels[row, column] = 255 - pixels[row, column]
    moved = decode(encode(picture, pixels)).raster.pixels != samples
    moved[row, column] = False
    assert not moved.any()


def test_colours_that_are_multiplied_by_alpha_stay_below_it(rgb: NDArray[np.uint8]) -> None:
    alpha = np.tile(np.linspace(0, 255, rgb.shape[1]).astype(np.uint8), (rgb.shape[0], 1))
    multiplied = (rgb.astype(int) * alpha[:, :, None] // 255).astype(np.uint8)
    data = tiff(np.dstack([multiplied, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    picture = decode(data)
    assert picture.obstacle is None
    samples = tifffile.imread(io.BytesIO(encode_verified(picture, changed(picture)).data))
    assert np.array_equal(samples[:, :, 3], alpha)
    assert (samples[:, :, :3] <= alpha[:, :, None]).all()
    assert np.array_equal(outside(samples[:, :, :3]), outside(multiplied))


def test_a_child_gives_the_same_view(inks: NDArray[np.uint8]) -> None:
    data = tiff(inks, photometric="separated", **with_profile(PRESS))
    there: Picture = decode_guarded(open_image(data))
    assert np.array_equal(there.pixels, decode(data).pixels)
