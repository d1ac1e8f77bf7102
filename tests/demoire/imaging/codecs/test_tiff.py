"""TIFF keeps tags, directories and untouched strips, and never turns a picture."""

import io
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from demoire.errors import ImageError
from demoire.imaging import codecs, room
from demoire.imaging.images import decode, encode
from tests.demoire.imaging.files import (
    PROFILE,
    SIZE,
    changed,
    deep,
    mapped,
    reason_of,
    saved,
    tiff,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def test_an_uncompressed_tiff_differs_in_the_changed_samples_alone(rgb: NDArray[np.uint8]) -> None:
    data = tiff(rgb, photometric="rgb", rowsperstrip=10, extratags=[(65000, 7, 5, b"maker", True)])
    picture = decode(data)
    pixels = changed(picture)
    written = encode(picture, pixels)
    assert len(written) == len(data)
    differing = np.frombuffer(written, np.uint8) != np.frombuffer(data, np.uint8)
    assert differing.sum() == (pixels != picture.pixels).sum()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_page_in_one_uncompressed_strip_comes_out_as_one_in_many(
    byteorder: str, depth: int, planes: str, rgb: NDArray[np.uint8]
) -> None:
    samples = rgb if depth == 8 else deep(rgb)
    if planes == "separate":
        samples = samples.transpose(2, 0, 1)
    options = {"photometric": "rgb", "byteorder": byteorder, "planarconfig": planes}
    one, many = (tiff(samples, rowsperstrip=rows, **options) for rows in (SIZE[0], 7))
    in_one, in_many = decode(one), decode(many)
    assert np.array_equal(in_one.pixels, in_many.pixels)
    written = encode(in_one, changed(in_one))
    assert len(written) == len(one)
    assert np.array_equal(decode(written).pixels, changed(in_many))


@pytest.mark.parametrize("packing", [{}, {"compression": "deflate", "predictor": True}])
def test_a_large_strip_is_never_copied_into_memory(packing: dict[str, Any]) -> None:
    page = np.zeros((5900, 5900, 3), np.uint8)
    file = mapped(tiff(page, photometric="rgb", rowsperstrip=len(page), **packing))
    cleaned = page.copy()
    cleaned[3000:] = 1
    tracemalloc.start()
    try:
        picture = decode(file)
        written = encode(picture, cleaned)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < page.nbytes / 4
    assert np.array_equal(decode(written).pixels, cleaned)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd", "packbits"])
@pytest.mark.parametrize("rows", [7, SIZE[0]])
def test_a_large_page_comes_out_as_a_small_one_does(
    compression: str | None, rows: int, rgb: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_differenced = compression not in (None, "packbits")
    options = {"compression": compression, "predictor": is_differenced, "rowsperstrip": rows}
    for samples in (rgb, deep(rgb), rgb[:, :, 0]):
        small = decode(tiff(samples, byteorder=">", **options))
        expected = encode(small, changed(small))
        with monkeypatch.context() as patched:
            patched.setattr(room, "LARGE_BYTES", 0)
            patched.setattr(codecs.tiff, "_CODED", 500)
            large = decode(small.source)
            assert np.array_equal(large.pixels, small.pixels)
            assert encode(large, changed(large)) == expected


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


def test_longer_strips_do_not_leave_the_old_ones_behind(rgb: NDArray[np.uint8]) -> None:
    data = tiff(rgb // 8, photometric="rgb", compression="lzw", rowsperstrip=10)
    picture = decode(data)
    written = encode(picture, rgb)
    assert np.array_equal(tifffile.imread(io.BytesIO(written)), rgb)
    with tifffile.TiffFile(io.BytesIO(written)) as file:
        strips = sum(file.pages[0].databytecounts)
    assert strips > len(data)
    assert len(written) < strips + 0.1 * len(data)


def test_a_level_that_lies_beyond_the_end_of_the_file_is_made_anew(
    rgb: NDArray[np.uint8],
) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(rgb, photometric="rgb", metadata=None)
        writer.write(rgb[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    data = bytearray(out.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        entry_at = file.pages[1].tags["StripOffsets"].offset
    struct.pack_into("<I", data, entry_at + 8, 3_000_000_000)
    picture = decode(bytes(data))
    written = encode(picture, changed(picture))
    assert len(written) < 2 * len(data)
    with tifffile.TiffFile(io.BytesIO(written)) as file:
        assert file.pages[1].asarray().shape == rgb[::2, ::2].shape


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


@pytest.mark.parametrize("photometric", ["ycbcr", "rgb", "minisblack", "tables of their own"])
def test_jpeg_in_tiff_keeps_the_blocks_that_did_not_change(
    rgb: NDArray[np.uint8], photometric: str
) -> None:
    """Blocks are 8 or 16 px, and their neighbours may move where colour is subsampled."""
    if photometric == "tables of their own":
        data = saved(Image.fromarray(rgb), "TIFF", compression="jpeg", quality=80)
    else:
        samples = rgb[:, :, 1] if photometric == "minisblack" else rgb
        data = tiff(samples, photometric=photometric, compression="jpeg", rowsperstrip=96)
    before = tifffile.imread(io.BytesIO(data))
    picture = decode(data)
    written = encode(picture, changed(picture))
    after = tifffile.imread(io.BytesIO(written))
    away = np.ones(SIZE, bool)
    away[:80, 8:112] = False
    assert np.array_equal(after[away], before[away])
    error = np.abs(np.atleast_3d(after).astype(int) - changed(picture))[20:60, 30:90].mean()
    assert error < 3


@pytest.mark.parametrize("writer", ["tifffile", "libtiff"])
def test_inks_in_jpeg_keep_the_blocks_that_did_not_change(
    rgb: NDArray[np.uint8], writer: str
) -> None:
    inks = np.dstack([rgb, rgb[:, :, :1] // 2])
    if writer == "tifffile":
        data = tiff(inks, photometric="separated", compression="jpeg", tile=(48, 64))
    else:
        data = saved(Image.fromarray(inks, "CMYK"), "TIFF", compression="jpeg", quality=85)
    picture = decode(data)
    assert picture.obstacle is None
    written = encode(picture, changed(picture))
    away = np.ones(SIZE, bool)
    away[:80, 8:112] = False
    with Image.open(io.BytesIO(data)) as old, Image.open(io.BytesIO(written)) as new:
        before = np.asarray(old)
        after = np.asarray(new)
    assert np.array_equal(before, picture.raster.pixels)
    assert np.array_equal(after[away], before[away])
    error = np.abs(decode(written).pixels.astype(int) - changed(picture))[20:60, 30:90]
    assert error.mean() < 3


def test_colours_that_are_more_than_their_alpha_stay_where_nothing_changed(
    rgb: NDArray[np.uint8],
) -> None:
    """Some programs write colours that were not multiplied by alpha, and say that they were."""
    alpha = np.full((*SIZE, 1), 9, np.uint8)
    data = tiff(np.dstack([rgb, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    picture = decode(data)
    new = picture.pixels.copy()
    new[20:60, 30:90] //= 2
    assert np.array_equal(decode(encode(picture, new)).pixels, new)


@pytest.mark.parametrize(
    "options", [{"compression": "webp"}, {"compression": "jpeg2000"}, {"byteorder": ">"}]
)
def test_a_sound_tiff_in_a_coding_that_is_not_written_is_copied(
    rgb: NDArray[np.uint8], options: dict[str, str]
) -> None:
    data = tiff(rgb, photometric="rgb", bigtiff="byteorder" in options, **options)
    assert reason_of(data) == "mode_not_cleaned"


def test_a_tiff_that_lies_on_its_side_stays_so(rgb: NDArray[np.uint8]) -> None:
    for orientation in range(1, 9):
        data = tiff(rgb, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
        picture = decode(data)
        assert (picture.facts.height, picture.facts.width) == SIZE
        assert np.array_equal(picture.pixels, rgb)
        assert np.array_equal(decode(encode(picture, changed(picture))).pixels, changed(picture))
        floats = rgb[:, :, 0].astype(np.float32)
        looked_at = decode(
            tiff(floats, photometric="minisblack", extratags=[(274, "H", 1, orientation, True)])
        )
        assert (looked_at.obstacle, looked_at.pixels.shape[:2]) == ("float_samples", SIZE)


def test_a_tiff_with_an_empty_strip_is_cut_short(rgb: NDArray[np.uint8]) -> None:
    data = bytearray(tiff(rgb, photometric="rgb", compression="lzw", rowsperstrip=30))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["StripByteCounts"]
        struct.pack_into("<" + "H" * 3, data, tag.valueoffset, tag.value[0], 0, tag.value[2])
    assert reason_of(bytes(data)) in ("truncated", "decode_failed")


@pytest.mark.parametrize("extra", ["unspecified", "assocalpha", "unassalpha"])
def test_cmyk_with_alpha_is_copied(rgb: NDArray[np.uint8], extra: str) -> None:
    inks = np.dstack([rgb, rgb[:, :, :2]])
    for samples in (inks, deep(inks)):
        data = tiff(samples, photometric="separated", extrasamples=[extra])
        try:
            reason = decode(data).obstacle
        except ImageError as error:
            reason = error.reason
        assert reason == "mode_not_cleaned"
