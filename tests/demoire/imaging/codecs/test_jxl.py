"""JPEG XL keeps its header, its boxes and, if it is lossless, every sample."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from demoire.imaging.codecs.iso_boxes import read_boxes
from demoire.imaging.codecs.jxl import read_header
from demoire.imaging.codecs.jxl_header import read_metadata
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import decode, encode, open_image, probe
from demoire.reasons import Reason
from tests.demoire.imaging.files import XMP, changed, reason_of, saved, some_exif

SHAPES = {"grey": (), "grey alpha": (2,), "rgb": (3,), "rgb alpha": (4,)}


def jxl(samples: NDArray, *, boxes: bool = False, **options: object) -> bytes:
    data = imagecodecs.jpegxl_encode(samples, usecontainer=boxes, effort=3, **options)
    return bytes(data)


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def with_boxes(data: bytes, *added: bytes) -> bytes:
    """A file of boxes with more of them, before the codestream and behind it."""
    before, behind, stream = b"", b"", b""
    for one in read_boxes(data):
        if one.type == b"jxlc":
            stream = one.whole
        else:
            before += one.whole
    for number, whole in enumerate(added):
        if number % 2:
            behind += whole
        else:
            before += whole
    return before + stream + behind


def header_of(data: bytes) -> bytes:
    """The bytes of a bare codestream before its frames."""
    return data[: read_metadata(data).frames_start]


@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    kind=st.sampled_from(list(SHAPES)),
    bits=st.sampled_from([8, 10, 12, 16]),
    seed=st.integers(0, 9),
)
@settings(max_examples=15, deadline=None)
def test_a_lossless_file_has_exactly_the_new_pixels(size, kind, bits, seed) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    shape = (*size, *SHAPES[kind])
    samples = np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype)
    picture = decode(jxl(samples, lossless=True, bitspersample=bits))
    assert picture.obstacle is None and picture.facts.bits == bits
    pixels = picture.pixels[::-1].copy()  # values that 10 and 12 bits have
    again = decode(encode(picture, pixels))
    assert np.array_equal(again.pixels, pixels)
    assert again.facts == picture.facts
    assert (picture.alpha is not None) == kind.endswith("alpha")
    if picture.alpha is not None:
        assert np.array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("kind", ["grey", "rgb", "rgb alpha"])
def test_a_lossy_file_keeps_its_header_and_about_its_size(
    kind: str, rgb: NDArray[np.uint8]
) -> None:
    samples = {
        "grey": rgb[:, :, 1],
        "rgb": rgb,
        "rgb alpha": np.dstack([rgb, rgb[:, :, 0]]),
    }[kind]
    data = jxl(samples, distance=1.0)
    picture = decode(data)
    pixels = changed(picture)
    written = encode(picture, pixels)
    again = decode(written)
    assert again.facts == picture.facts
    assert header_of(written) == header_of(data)
    assert np.abs(again.pixels.astype(int) - pixels).mean() < 4
    assert 0.95 * len(data) < len(written) < 1.6 * len(data)
    if picture.alpha is not None:
        assert np.array_equal(again.alpha, picture.alpha)


def test_all_boxes_but_the_codestream_keep_their_bytes(rgb: NDArray[np.uint8]) -> None:
    exif = box(b"Exif", bytes(4) + some_exif(6).removeprefix(b"Exif\0\0"))
    other = box(b"abcd", b"what somebody put there")
    data = with_boxes(jxl(rgb, boxes=True, lossless=True), exif, other, box(b"xml ", XMP))
    picture = decode_guarded(open_image(data))
    written = encode_verified(picture, changed(picture)).data
    before = [one.whole for one in read_boxes(data) if one.type != b"jxlc"]
    after = [one.whole for one in read_boxes(written) if one.type != b"jxlc"]
    assert before == after
    assert np.array_equal(decode(written).pixels, changed(picture))


def test_a_codestream_in_parts_is_read_and_written_as_one(rgb: NDArray[np.uint8]) -> None:
    whole = jxl(rgb, boxes=True, lossless=True)
    parts = b""
    for one in read_boxes(whole):
        if one.type == b"jxlc":
            parts += box(b"jxlp", struct.pack(">I", 0) + one.payload[:99])
            parts += box(b"jxlp", struct.pack(">I", 0x80000001) + one.payload[99:])
        else:
            parts += one.whole
    picture = decode(parts)
    assert np.array_equal(picture.pixels, rgb)
    assert np.array_equal(decode(encode(picture, changed(picture))).pixels, changed(picture))


def test_a_thumbnail_in_exif_is_made_anew_packed_or_not(rgb: NDArray[np.uint8]) -> None:
    small = saved(Image.fromarray(np.zeros((30, 43, 3), np.uint8)), "JPEG")
    tiff = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<HI", 0, 14)
    entries = struct.pack("<H2HII2HII", 2, 0x0201, 4, 1, 44, 0x0202, 4, 1, len(small))
    tiff += entries + bytes(4) + small
    exif = bytes(4) + tiff
    assert tiff[44:] == small
    packed = box(b"brob", b"Exif" + imagecodecs.brotli_encode(exif))
    for held in (box(b"Exif", exif), packed):
        picture = decode(with_boxes(jxl(rgb, boxes=True, lossless=True), held))
        written = encode(picture, changed(picture))
        (renewed,) = [one.payload for one in read_boxes(written) if one.type == b"Exif"]
        with Image.open(io.BytesIO(renewed[4 + 44 :])) as thumbnail:
            assert thumbnail.size == (43, 30)
            assert np.asarray(thumbnail).mean() > 40


def test_what_cannot_be_written_as_it_was_is_copied(rgb: NDArray[np.uint8]) -> None:
    deep = jxl(rgb.astype(np.uint16) * 257, distance=1.0)
    assert decode(deep).obstacle is Reason.MODE_NOT_CLEANED
    plain = jxl(rgb, boxes=True, lossless=True)
    of_jpeg = with_boxes(plain, box(b"jbrd", b"\0"))
    for data, reason in (
        (of_jpeg, Reason.MODE_NOT_CLEANED),
        (with_boxes(plain, box(b"jhgm", b"\0")), Reason.STALE_DATA),
        (with_boxes(plain, box(b"jxli", b"\0")), Reason.STALE_DATA),
        (with_boxes(plain, box(b"jumb", b"\0")), Reason.SIGNED),
    ):
        assert decode(data).obstacle is reason
    assert reason_of(jxl(rgb.astype(np.float32) / 255, lossless=True)) == "mode_not_cleaned"


def test_a_file_that_is_cut_short_or_damaged_is_said_to_be(rgb: NDArray[np.uint8]) -> None:
    data = jxl(rgb, boxes=True, lossless=True)
    for length in (20, 45, len(data) // 2, len(data) - 1):
        assert reason_of(data[:length]) == "truncated", length
    assert reason_of(jxl(rgb, lossless=True)[:400]) in ("truncated", "decode_failed")


@pytest.mark.parametrize(
    ("primaries", "transfer", "is_wide"),
    [(11, 13, True), (9, 1, True), (1, 13, False), (11, 8, False)],
)
def test_a_wide_space_that_is_stated_by_numbers_has_a_profile(
    primaries: int, transfer: int, is_wide: bool
) -> None:
    """The header of an RGB picture of 8 x 8 px and 8 bits, with white D65, field by field."""

    def enum(value: int) -> str:
        return "10" if value == 1 else "01" + f"{value - 2:04b}"[::-1]

    fields = ["1", "00000", "100", "00", "0", "00", "1", "00", "0", "00", "00", enum(1)]
    fields += [enum(primaries), "0", enum(transfer), enum(1), "00", "1"]
    bits = "".join(fields)
    number = int(bits[::-1], 2)
    header = b"\xff\x0a" + number.to_bytes(-(-len(bits) // 8), "little")
    read = read_header(header)
    assert (read.facts.width, read.facts.height, read.facts.icc) == (8, 8, None)
    assert read.metadata.colours.transfer == transfer
    assert (read.profile is not None) == is_wide


def test_the_header_is_enough_for_the_facts(rgb: NDArray[np.uint8]) -> None:
    facts = probe(jxl(rgb, boxes=True, lossless=True)[:300])
    assert (facts.height, facts.width) == rgb.shape[:2]
    assert (facts.format, facts.mode, facts.bits, facts.icc) == ("JXL", "RGB", 8, None)
