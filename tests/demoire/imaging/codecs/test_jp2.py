"""JPEG 2000 keeps its structure, its boxes and the bytes of its untouched tiles."""

import io
import struct
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging.codecs.jp2_tiles import tile_coders
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import decode, encode, open_image
from tests.demoire.imaging.files import PROFILE, XMP, changed, deep, reason_of, saved, some_exif

SOC = b"\xff\x4f\xff\x51"
XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes


def jp2(samples: NDArray, **options: object) -> bytes:
    return saved(Image.fromarray(samples), "JPEG2000", **options)


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    split = []
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + length if length else len(data)
        split.append((kind, data[at + 8 : end]))
        at = end
    return split


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(box(kind, payload) for kind, payload in parts)


def main_header(data: bytes) -> bytes:
    start = data.index(SOC)
    return data[start : data.index(b"\xff\x90\x00\x0a", start)]


def tile_parts(data: bytes) -> dict[int, bytes]:
    """The tile-parts by their tile, each of which has one."""
    parts = {}
    at = data.index(b"\xff\x90\x00\x0a", data.index(SOC))
    while data[at : at + 2] == b"\xff\x90":
        tile, length = struct.unpack_from(">HI", data, at + 4)
        parts[tile] = data[at : at + length]
        at += length
    assert data[at : at + 2] == b"\xff\xd9"
    return parts


def with_header_box(data: bytes, kind: bytes, payload: bytes) -> bytes:
    """The file with one box of its header replaced or, if it has none of the kind, added."""
    parts = boxes(data)
    header = [part for part in boxes(dict(parts)[b"jp2h"]) if part[0] != kind]
    header.append((kind, payload))
    return joined([(name, joined(header) if name == b"jp2h" else old) for name, old in parts])


def with_colour_transform(data: bytes) -> bytes:
    """Its flag is the fifth byte of what follows the length of the COD segment."""
    at = data.index(b"\xff\x52") + 8
    return data[:at] + b"\1" + data[at + 1 :]


def obstacle_of(data: bytes) -> str | None:
    return decode(data).obstacle


def shrinks_to_an_odd_sample(start: int, end: int, levels: int) -> bool:
    """What OpenJPEG does not code right: the wavelet of one sample at an odd coordinate."""
    for _ in range(levels):
        if end - start == 1 and start % 2:
            return True
        start = (start + 1) // 2
        end = (end + 1) // 2
    return False


def tile_sides(start: int, length: int, tile: int) -> list[tuple[int, int]]:
    edges = range(start // tile * tile, start + length, tile)
    return [(max(start, edge), min(start + length, edge + tile)) for edge in edges]


@given(
    size=st.tuples(st.integers(1, 100), st.integers(1, 90)),
    samples=st.sampled_from(["L", "LA", "RGB", "RGBA"]),
    levels=st.integers(0, 5),
    tile=st.sampled_from([(32, 32), (64, 48), (200, 200)]),
    offset=st.tuples(st.integers(0, 31), st.integers(0, 31)),
    block=st.sampled_from([(64, 64), (32, 32), (16, 64)]),
    precinct=st.sampled_from([None, (128, 128), (256, 128)]),
    progression=st.sampled_from(["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"]),
    layers=st.sampled_from([None, [20, 8, 0]]),
    seed=st.integers(0, 9),
)
@settings(max_examples=12, deadline=None)
def test_a_lossless_file_has_exactly_the_new_pixels_in_the_old_structure(
    size, samples, levels, tile, offset, block, precinct, progression, layers, seed
) -> None:
    # OpenJPEG has to write the file first, and may crash the tests where it cannot.
    for axis in (0, 1):
        for side in tile_sides(offset[1 - axis], size[axis], tile[1 - axis]):
            assume(not shrinks_to_an_odd_sample(*side, levels))
    shape = (*size, len(samples)) if len(samples) > 1 else size
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    options: dict[str, object] = {} if precinct is None else {"precinct_size": precinct}
    data = jp2(
        pixels,
        num_resolutions=levels + 1,
        tile_size=tile,
        tile_offset=(0, 0),
        offset=offset,
        codeblock_size=block,
        progression=progression,
        quality_layers=layers,
        mct=int(samples.startswith("RGB")),
        **options,
    )
    picture = decode(data)
    if min(tile) < 2**levels:
        assert picture.obstacle == "mode_not_cleaned"
        return
    assert picture.obstacle is None
    new = picture.pixels.copy()
    new[0, 0] ^= 255
    written = encode(picture, new)
    assert np.array_equal(decode(written).pixels, new)
    with Image.open(io.BytesIO(written)) as view:
        expected = new if picture.alpha is None else np.dstack([new, picture.alpha])
        assert np.array_equal(np.atleast_3d(np.asarray(view)), expected)
    assert main_header(written) == main_header(data)
    untouched = tile_parts(data)
    for index, part in tile_parts(written).items():
        if index != 0:
            assert part == untouched[index]
    assert encode(picture, picture.pixels) == data


def test_a_lossy_file_keeps_its_size_and_the_bytes_of_its_untouched_tiles(rgb) -> None:
    large = np.tile(rgb, (2, 2, 1))
    large += np.random.default_rng(2).integers(0, 9, large.shape, dtype=np.uint8)
    data = jp2(large, irreversible=True, mct=1, quality_layers=[40, 20, 10], tile_size=(128, 128))
    picture = decode_guarded(open_image(data))
    new = changed(picture)
    written = encode_verified(picture, new).data
    assert len(written) == pytest.approx(len(data), rel=0.1)
    assert len(tile_parts(written)[0]) == pytest.approx(len(tile_parts(data)[0]), rel=0.1)
    again = decode(written).pixels
    assert np.array_equal(again[128:], picture.pixels[128:])
    error = again[:128, :128].astype(float) - new[:128, :128]
    assert np.sqrt((error**2).mean()) < 8
    assert main_header(written) == main_header(data)


def test_grey_of_16_bits_is_kept_to_the_bit(rgb) -> None:
    for data in (
        jp2(deep(rgb[:, :, 0])),
        jp2(deep(rgb[:, :, 0]), num_resolutions=3, progression="RPCL", precinct_size=(128, 128)),
    ):
        picture = decode(data)
        written = encode(picture, changed(picture))
        assert np.array_equal(decode(written).pixels, changed(picture))
        assert main_header(written) == main_header(data)


def test_another_quantisation_than_that_of_the_main_header_is_told_by_the_tile(rgb) -> None:
    data = jp2(rgb, mct=1, tile_size=(64, 64), num_resolutions=3)
    at = data.index(b"\xff\x5c")
    # Three guard bits instead of two: more room than needed, and other bytes than OpenJPEG's.
    foreign = data[: at + 4] + b"\x60" + data[at + 5 :]
    picture = decode(data)
    donor = encode(picture, changed(picture))
    mixed = encode(_with_source(picture, foreign), changed(picture))
    assert main_header(mixed) == main_header(foreign)
    old_quantisation = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    changed_tiles = 0
    for index, part in tile_parts(mixed).items():
        if part == tile_parts(data)[index]:
            continue
        changed_tiles += 1
        assert part[12:].startswith(old_quantisation)
        assert part[12 + len(old_quantisation) :] == tile_parts(donor)[index][12:]
    assert changed_tiles == 2
    part_of_both = np.s_[:64, :128]
    assert np.array_equal(decode(mixed).pixels[part_of_both], changed(picture)[part_of_both])


def _with_source(picture, data: bytes):
    return replace(picture, source=data)


def test_the_list_of_the_tile_parts_lengths_is_corrected(rgb) -> None:
    data = jp2(rgb, mct=1, tile_size=(64, 64), num_resolutions=3, no_jp2=True)
    lengths = b"".join(
        struct.pack(">HI", index, len(part)) for index, part in tile_parts(data).items()
    )
    segment = b"\xff\x55" + struct.pack(">HBB", 4 + len(lengths), 0, 0x60) + lengths
    at = data.index(b"\xff\x64")
    picture = decode(data[:at] + segment + data[at:])
    written = encode(picture, changed(picture))
    assert np.array_equal(decode(written).pixels, changed(picture))
    at = written.index(b"\xff\x55\x00")
    for number, (index, part) in enumerate(tile_parts(written).items()):
        entry = struct.unpack_from(">HI", written, at + 6 + 6 * number)
        assert entry == (index, len(part))


def test_all_boxes_but_the_codestream_keep_their_bytes(rgb) -> None:
    data = with_header_box(jp2(rgb, mct=1), b"colr", b"\2\0\0" + PROFILE)
    metre = struct.pack(">4H2b", 11811, 1, 11811, 1, 0, 0)
    data = with_header_box(data, b"res ", box(b"resc", metre))
    parts = boxes(data)
    parts.insert(3, (b"uuid", XMP_BOX + XMP))
    parts.append((b"uuid", b"JpgTiffExif->JP2" + some_exif().removeprefix(b"Exif\0\0")))
    parts.append((b"xml ", b"<a/>"))
    data = joined(parts)
    picture = decode(data)
    assert picture.facts.dpi == pytest.approx(300, abs=0.01)
    assert picture.facts.icc == "sRGB built-in"
    written = boxes(encode(picture, changed(picture)))
    assert [kind for kind, _ in written] == [kind for kind, _ in parts]
    for new, old in zip(written, parts, strict=True):
        assert (new == old) == (old[0] != b"jp2c")


def test_a_tile_may_be_far_larger_than_the_picture(rgb) -> None:
    data = bytearray(jp2(rgb, mct=1, no_jp2=True))
    struct.pack_into(">2I", data, 24, 1 << 30, 1 << 30)
    picture = decode(bytes(data))
    written = encode(picture, changed(picture))
    assert np.array_equal(decode(written).pixels, changed(picture))
    assert main_header(written) == main_header(bytes(data))


def test_a_last_box_of_no_stated_length_stays_so(rgb) -> None:
    parts = boxes(jp2(rgb))
    endless = joined(parts[:-1]) + struct.pack(">I4s", 0, b"jp2c") + parts[-1][1]
    picture = decode(endless)
    written = encode(picture, changed(picture))
    assert written.startswith(endless[: endless.index(SOC)])
    assert np.array_equal(decode(written).pixels, changed(picture))


def test_what_cannot_be_kept_is_copied_with_a_reason(rgb) -> None:
    plain = jp2(rgb)
    alpha = np.dstack([rgb, rgb[:, :, 0]])
    kinds = {
        "sYCC": with_header_box(plain, b"colr", b"\1\0\0" + struct.pack(">I", 18)),
        "CMYK": with_header_box(jp2(alpha), b"colr", b"\1\0\0" + struct.pack(">I", 12)),
        "lossy with alpha": jp2(alpha, irreversible=True, quality_layers=[10]),
        "components that nobody names": jp2(alpha, no_jp2=True),
        "a colour transform beside alpha": with_colour_transform(jp2(alpha)),
        "16 bits in tiles": jp2(deep(rgb[:, :, 0]), tile_size=(64, 64)),
        "a composition": plain + box(b"comp", bytes(4)),
    }
    for name, data in kinds.items():
        assert obstacle_of(data) == "mode_not_cleaned", name
    palette = struct.pack(">HB3B", 256, 3, 7, 7, 7) + bytes(768)
    assert obstacle_of(with_header_box(jp2(rgb[:, :, 0]), b"pclr", palette)) == "palette"
    assert obstacle_of(plain + box(b"fidx", bytes(4))) == "stale_data"
    assert obstacle_of(plain + box(b"jumb", bytes(4))) == "signed"
    assert obstacle_of(plain + box(b"jp2c", boxes(plain)[-1][1])) == "multi_page"
    without_stream = joined([part for part in boxes(plain) if part[0] != b"jp2c"])
    assert reason_of(without_stream) == "truncated"
    assert reason_of(without_stream.replace(b"ftypjp2 ", b"ftypjpm ")) == "unsupported_format"


def test_colours_that_a_box_is_too_short_to_name_are_not_named(rgb) -> None:
    plain = jp2(rgb)
    for payload in (b"", b"\1\0\0\0", b"\2\0\0"):
        assert _reason_or_obstacle(with_header_box(plain, b"colr", payload)) == "mode_not_cleaned"


def test_error_resilience_and_other_structures_that_are_not_written_are_copied(rgb) -> None:
    plain = jp2(rgb, num_resolutions=3)
    at = plain.index(b"\xff\x52") + 4
    has_end_of_packets = plain[:at] + b"\4" + plain[at + 1 :]
    assert _reason_or_obstacle(has_end_of_packets) == "mode_not_cleaned"
    bypasses = plain[: at + 8] + b"\1" + plain[at + 9 :]
    assert _reason_or_obstacle(bypasses) == "mode_not_cleaned"


def _reason_or_obstacle(data: bytes) -> str | None:
    try:
        return obstacle_of(data)
    except ImageError as error:
        return error.reason


def test_a_file_with_a_tile_that_openjpeg_does_not_code_right_is_copied() -> None:
    """At the third level its columns 17 and 18 have become one, at the odd coordinate 5."""
    pixels = np.random.default_rng(3).integers(0, 256, (64, 2), dtype=np.uint8)
    data = jp2(pixels, num_resolutions=4, offset=(17, 0), tile_size=(64, 64), tile_offset=(0, 0))
    assert decode(data).obstacle == "mode_not_cleaned"
    even = jp2(pixels, num_resolutions=4, offset=(16, 0), tile_size=(64, 64), tile_offset=(0, 0))
    assert decode(even).obstacle is None


HOOK = """
import sys
if "jp2_tiles" in " ".join(sys.orig_argv):
    import os
    from PIL import Image
    save = Image.Image.save
    def save_or_not(image, *arguments, **options):
        if image.size == (40, 30):
            {what_happens}
        save(image, *arguments, **options)
    Image.Image.save = save_or_not
"""


@pytest.mark.parametrize(
    ("what_happens", "message"),
    [
        ("os.abort()", "the encoder died of a tile"),
        ("bytearray(1 << 30)", "MemoryError"),
        ("image.putpixel((3, 3), 7)", "did not keep every sample"),
    ],
)
def test_an_encoder_that_fails_costs_its_own_file_alone(
    what_happens: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOOK.format(what_happens=what_happens))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tile_coders.end()
    failing = decode(jp2(np.full((30, 40), 90, np.uint8)))
    sound = decode(jp2(np.full((40, 30), 90, np.uint8)))
    try:
        with pytest.raises(ImageError, match=message) as caught:
            encode(failing, 255 - failing.pixels)
        assert caught.value.reason == "encode_failed"
        new = 255 - sound.pixels
        assert np.array_equal(decode(encode(sound, new)).pixels, new)
    finally:
        tile_coders.end()


def test_a_missing_tile_and_a_trap_have_their_reasons(rgb) -> None:
    data = jp2(rgb, tile_size=(64, 64), no_jp2=True)
    parts = tile_parts(data)
    last = len(parts) - 1
    assert reason_of(data.replace(parts[last], b"")) == "truncated"
    assert reason_of(data[:-2][: -len(parts[last]) // 2]) == "truncated"
    trap = bytearray(jp2(rgb, no_jp2=True))
    struct.pack_into(">2I", trap, 8, 20_000, 20_000)
    assert reason_of(bytes(trap)) == "compression_bomb"
