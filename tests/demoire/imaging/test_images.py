"""What goes into a file and comes out again, and the facts in its header."""

import io
from datetime import date
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from demoire.errors import MachineError
from demoire.file_bytes import MappedFile
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import decode, encode, open_image, probe
from demoire.imaging.provenance import Provenance
from tests.demoire.imaging.files import (
    SIZE,
    changed,
    mapped,
    reason_of,
    saved,
    tiff,
)

NOTE = Provenance("demoire", 64 * "0", date(2026, 11, 30))

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


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


def test_modes_that_cannot_carry_changes_say_so(rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb)
    grey = image.convert("L")
    floats = np.asarray(grey, np.float32) / 7
    float_rgb = np.asarray(rgb, np.float32) / 255
    files = {
        "palette": {
            "png": saved(image.quantize(40), "PNG"),
            "two-bit png": saved(grey.quantize(4), "PNG", bits=2),
            "bmp": saved(image.quantize(40), "BMP"),
            "tiff": saved(image.quantize(40), "TIFF"),
        },
        "bilevel": {
            "png": saved(image.convert("1"), "PNG"),
            "fax tiff": saved(image.convert("1"), "TIFF", compression="group4"),
        },
        "float_samples": {
            "tiff": saved(Image.fromarray(floats), "TIFF"),
            "32-bit tiff": tiff(np.asarray(grey, np.uint32) * 9999, photometric="minisblack"),
        },
        "mode_not_cleaned": {"lab tiff": saved(image.convert("LAB"), "TIFF")},
    }
    for reason, of_reason in files.items():
        for name, data in of_reason.items():
            picture = decode(data)
            assert picture.obstacle == reason, name
            channels = 1 if reason in ("bilevel", "float_samples") else 3
            assert picture.pixels.shape == (*SIZE, channels), name
            assert picture.pixels.dtype == np.uint8, name
            with pytest.raises(ValueError, match="do not go into"):
                encode(picture, picture.pixels)
    for samples in (float_rgb, rgb.astype(np.uint32)):
        assert reason_of(tiff(samples, photometric="rgb")) == "float_samples"


def test_several_pages_or_frames_are_not_cleaned(rgb: NDArray[np.uint8]) -> None:
    image, other = Image.fromarray(rgb), Image.fromarray(rgb[::-1].copy())
    for format, reason in (("TIFF", "multi_page"), ("WEBP", "animated"), ("PNG", "animated")):
        picture = decode(saved(image, format, save_all=True, append_images=[other], lossless=True))
        assert picture.facts.pages == 2 and picture.obstacle == reason, format
        assert np.array_equal(picture.pixels, rgb), format


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


def test_a_header_is_parsed_once_on_the_way_to_the_pixels(
    rgb: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(Image.fromarray(rgb), "PNG")
    parsed = []

    class CountedPng(PngImagePlugin.PngImageFile):
        def __init__(self, *arguments: object) -> None:
            parsed.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(PngImagePlugin, "PngImageFile", CountedPng)
    opened = open_image(data)
    decode_guarded(opened)
    assert opened.facts.width == rgb.shape[1]
    assert len(parsed) == 1


def test_large_files_come_out_as_small_ones_do(
    lossless_files: dict[str, bytes], jpeg_files: dict[str, bytes], rgb: NDArray[np.uint8]
) -> None:
    others = {
        "avif": imagecodecs.avif_encode(rgb),
        "jxl": imagecodecs.jpegxl_encode(rgb, lossless=True, usecontainer=True),
        "bare jxl": imagecodecs.jpegxl_encode(rgb, lossless=True, usecontainer=False),
    }
    for name, data in (lossless_files | jpeg_files | others).items():
        small = decode_guarded(open_image(data))
        large = decode_guarded(open_image(mapped(data)))
        assert large.facts == small.facts, name
        assert np.array_equal(large.pixels, small.pixels), name
        expected = encode_verified(small, changed(small), NOTE)
        written = encode_verified(large, changed(large), NOTE)
        assert bytes(written.data) == expected.data, name
        assert np.array_equal(written.pixels, expected.pixels), name


@pytest.mark.parametrize("suffix", ["tiff", "png", "bmp", "jpeg"])
def test_a_large_file_is_written_into_a_file(suffix: str, rgb: NDArray[np.uint8]) -> None:
    large = decode(mapped(saved(Image.fromarray(rgb), suffix)))
    assert isinstance(encode(large, changed(large), NOTE), MappedFile)


def test_a_signed_file_is_given_up_alike(rgb: NDArray[np.uint8]) -> None:
    data = tiff(rgb, photometric="rgb", extratags=[(52545, 7, 40, bytes(range(40)), True)])
    small, large = (decode(each).without_signature() for each in (data, mapped(data)))
    assert bytes(encode(large, changed(large))) == encode(small, changed(small))


def test_a_full_disk_is_the_machines_fault_and_not_the_images(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (400, 600, 3), dtype=np.uint8)
    files = {form: mapped(saved(Image.fromarray(noise), form)) for form in ("TIFF", "PNG", "BMP")}
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", None)
    for data in files.values():
        picture = decode(data)
        with pytest.raises(MachineError, match="no room left for temporary files .* set TMPDIR"):
            encode(picture, changed(picture), NOTE)
