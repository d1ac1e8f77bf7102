"""Pages of a TIFF file: carved out, cleaned by the codec, and put back; all else stays."""

import io
import shutil
import struct
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from demoire.imaging.codecs.tiff_pages import carve, pages_of
from demoire.imaging.codecs.tiff_patch import PageRefusedError
from demoire.imaging.codecs.tiff_splice import put_pages
from demoire.imaging.images import decode, encode
from demoire.imaging.provenance import Provenance
from tests.demoire.imaging.derived.camera_files import exiftool

SIDE = 40
NOTE = Provenance("demoire 0", "0" * 64, date(2026, 1, 1))
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description rdf:about=""></rdf:Description></rdf:RDF></x:xmpmeta>'
)


def samples_of(kind: str, seed: int) -> NDArray:
    rng = np.random.default_rng(seed)
    channels = {"grey": (), "rgb": (3,), "cmyk": (4,), "bilevel": ()}[kind.removesuffix("16")]
    top = 65535 if kind.endswith("16") else 255
    samples = rng.integers(0, top, (SIDE, SIDE + seed % 5, *channels))
    if kind == "bilevel":
        return samples > 128
    return samples.astype(np.uint16 if kind.endswith("16") else np.uint8)


PHOTOMETRIC = {"grey": "minisblack", "rgb": "rgb", "cmyk": "separated", "bilevel": "minisblack"}
KINDS = ("grey", "grey16", "rgb", "rgb16", "cmyk", "bilevel")

PAGES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "compression": st.sampled_from([None, "lzw", "deflate", "zstd", "packbits", "jpeg"]),
        "layout": st.sampled_from([{}, {"rowsperstrip": 16}, {"tile": (16, 32)}]),
        "planar": st.booleans(),
        "has_xmp": st.booleans(),
        "levels": st.sampled_from([0, 0, 1]),
    }
)
Page = dict[str, object]


def tiff_of(pages: list[Page], *, order: str = "<", is_big: bool = False) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out, byteorder=order, bigtiff=is_big) as writer:  # type: ignore[arg-type]
        for number, page in enumerate(pages):
            kind = str(page["kind"])
            compression = page["compression"]
            if kind == "bilevel" or (compression == "jpeg" and kind not in ("grey", "rgb")):
                compression = None
            samples = samples_of(kind, number)
            is_planar = bool(page["planar"]) and samples.ndim == 3 and compression != "jpeg"
            if is_planar:
                samples = np.ascontiguousarray(np.moveaxis(samples, 2, 0))
            layout = {} if kind == "bilevel" else page["layout"]
            options = {
                "photometric": PHOTOMETRIC[kind.removesuffix("16")],
                "planarconfig": "separate" if is_planar else None,
                "compression": compression,
                "metadata": None,
                "subfiletype": 2,
                **layout,  # type: ignore[dict-item]
            }
            if samples.ndim == 2:
                del options["planarconfig"]
            tags = [(315, "s", 0, f"artist {number}", True)]
            if page["has_xmp"]:
                tags.append((700, 1, len(XMP), XMP, True))
            has_level = bool(page["levels"]) and not is_planar and kind != "bilevel"
            writer.write(samples, extratags=tags, subifds=int(has_level), **options)
            if has_level:
                writer.write(
                    np.ascontiguousarray(samples[::2, ::2]), **{**options, "subfiletype": 1}
                )
    return out.getvalue()


def cleaned(page: bytes) -> bytes:
    """A carved page as the program writes it: brighter in a part, and with a note."""
    picture = decode(page)
    pixels = picture.pixels.copy()
    part = pixels[4:20, 4:20]
    part += ((np.iinfo(part.dtype).max - part) // 4).astype(part.dtype)
    return encode(picture, pixels, NOTE)


def spliced(data: bytes, numbers: list[int]) -> bytes:
    offsets = [page.offset for page in pages_of(io.BytesIO(data))]
    out = io.BytesIO(data)
    put_pages(out, numbers, lambda n: cleaned(carve(io.BytesIO(data), offsets[n - 1])))
    return out.getvalue()


def strips_of(data: bytes, page: tifffile.TiffPage) -> list[tuple[int, bytes]]:
    spans = zip(page.dataoffsets, page.databytecounts, strict=True)
    return [(start, data[start : start + size]) for start, size in spans]


def tags_of(page: tifffile.TiffPage) -> dict[str, object]:
    """All tags but those of strips, of levels and of the history."""
    moving = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts", "SubIFDs", "XMP"}
    return {tag.name: tag.value for tag in page.tags if tag.name not in moving}


@settings(max_examples=25)
@given(
    st.lists(PAGES, min_size=2, max_size=5),
    st.sampled_from(["<", ">"]),
    st.booleans(),
    st.data(),
)
def test_changed_pages_are_cleaned_in_their_place_and_all_others_keep_their_bytes(
    pages: list[Page], order: str, is_big: bool, choice: st.DataObject
) -> None:
    is_big = is_big and order == "<"  # Pillow opens no other
    data = tiff_of(pages, order=order, is_big=is_big)
    numbers = list(range(1, len(pages) + 1))
    colour = [number for number in numbers if pages[number - 1]["kind"] != "bilevel"]
    chosen = choice.draw(st.lists(st.sampled_from(colour), unique=True)) if colour else []
    result = spliced(data, chosen)
    if not chosen:
        assert result == data
    with (
        tifffile.TiffFile(io.BytesIO(data)) as old_file,
        tifffile.TiffFile(io.BytesIO(result)) as new_file,
    ):
        assert len(new_file.pages) == len(old_file.pages)
        for number, old, new in zip(numbers, old_file.pages, new_file.pages, strict=True):
            assert tags_of(new) == tags_of(old)
            if number in chosen:
                page = carve(io.BytesIO(data), old.offset)
                with tifffile.TiffFile(io.BytesIO(cleaned(page))) as one:
                    assert np.array_equal(new.asarray(), one.pages[0].asarray())
                assert not np.array_equal(new.asarray(), old.asarray())
                assert b"demoire 0" in bytes(new.tags["XMP"].value)
            else:
                assert new.offset == old.offset
                assert strips_of(result, new) == strips_of(data, old)
                assert (
                    data[old.offset : old.offset + 2 + 12 * len(old.tags)]
                    == (result[old.offset : old.offset + 2 + 12 * len(old.tags)])
                )


def plain(count: int, **options: object) -> bytes:
    page = {"kind": "rgb", "compression": None, "layout": {}, "planar": False}
    return tiff_of([{**page, "has_xmp": False, "levels": 0, **options}] * count)


def test_an_uncompressed_page_is_written_over_the_old_one() -> None:
    data = plain(3)
    offsets = [page.offset for page in pages_of(io.BytesIO(data))]
    picture = decode(carve(io.BytesIO(data), offsets[1]))
    out = io.BytesIO(data)
    put_pages(out, [2], lambda _: encode(picture, picture.pixels // 2))
    assert len(out.getvalue()) == len(data)
    assert out.getvalue() != data


def spans_of(data: bytes) -> list[tuple[int, int]]:
    """Where each directory, value and strip of a file begins and ends, as tifffile sees it."""
    spans = []
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        inline = 8 if file.is_bigtiff else 4
        frame = 16 if file.is_bigtiff else 6  # the count of entries, and the next offset
        pages = list(file.pages)
        for page in file.pages:
            pages += list(page.pages or ())
        for page in pages:
            spans.append((page.offset, page.offset + frame + len(page.tags) * (4 + 2 * inline)))
            for tag in page.tags:
                if tag.valuebytecount > inline:
                    spans.append((tag.valueoffset, tag.valueoffset + tag.valuebytecount))
            for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                spans.append((start, start + size))
    return sorted(spans)


def with_noise(page: bytes, most: int, seed: int) -> bytes:
    """A carved page with noise all over, so that its strips are packed less well."""
    picture = decode(page)
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, most, picture.pixels.shape).astype(picture.pixels.dtype)
    return encode(picture, picture.pixels + noise, NOTE)


@settings(max_examples=25)
@given(
    st.lists(st.integers(8, 60), min_size=2, max_size=8),
    st.sampled_from(["lzw", "deflate", "packbits"]),
    st.sampled_from([{"rowsperstrip": 4}, {"tile": (16, 16)}]),
    st.booleans(),
)
def test_longer_strips_use_the_room_of_those_that_moved(
    noise: list[int], compression: str, layout: dict[str, object], is_big: bool
) -> None:
    out = io.BytesIO()
    flat = np.full((64, 64, 3), 90, np.uint8)
    with tifffile.TiffWriter(out, bigtiff=is_big) as writer:
        for number, _ in enumerate(noise):
            options = {"compression": compression, "metadata": None, **layout}
            rough = flat + np.random.default_rng(number).integers(0, 3, flat.shape, np.uint8)
            writer.write(rough, photometric="rgb", **options)  # type: ignore[arg-type]
    data = out.getvalue()
    offsets = [page.offset for page in pages_of(io.BytesIO(data))]
    new = {}
    for number, most in enumerate(noise, start=1):
        new[number] = with_noise(carve(io.BytesIO(data), offsets[number - 1]), most, number)
    put_pages(out, new, new.__getitem__)
    result = out.getvalue()
    with tifffile.TiffFile(io.BytesIO(result)) as file:
        for number, page in enumerate(file.pages, start=1):
            assert np.array_equal(page.asarray(), tifffile.imread(io.BytesIO(new[number])))
    spans = spans_of(result)
    for (_, end), (start, _) in pairwise(spans):
        assert end <= start
    used = sum(end - start for start, end in spans)
    longest = max(end - start for start, end in spans)
    left_over = longest + 64  # of a page: room too small for one more strip, and old values
    assert len(result) - used < len(noise) * left_over


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is missing")
@pytest.mark.parametrize("is_big", [False, True])
def test_exiftool_has_nothing_against_pages_whose_strips_moved(
    is_big: bool, tmp_path: Path
) -> None:
    page = {"kind": "rgb", "compression": "lzw", "layout": {"rowsperstrip": 16}, "planar": False}
    data = tiff_of([{**page, "has_xmp": True, "levels": 0}] * 3, is_big=is_big)
    result = spliced(data, [1, 2])
    assert len(result) != len(data)
    said = exiftool(result, "-validate", "-warning", "-a", suffix=".tif", folder=tmp_path)
    before = exiftool(data, "-validate", "-warning", "-a", suffix=".tif", folder=tmp_path)
    assert said == before


def test_strips_that_two_pages_share_are_not_written_over() -> None:
    data = bytearray(plain(2))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        first, second = (page.tags["StripOffsets"] for page in file.pages)
        entry_at = second.offset
        data[entry_at + 8 : entry_at + 12] = struct.pack("<I", first.value[0])
    shared = bytes(data)
    offsets = [page.offset for page in pages_of(io.BytesIO(shared))]
    before = carve(io.BytesIO(shared), offsets[1])
    result = spliced(shared, [1])
    assert carve(io.BytesIO(result), offsets[1]) == before


def test_a_pyramid_and_a_file_of_one_page_are_one_picture() -> None:
    assert pages_of(io.BytesIO(plain(1))) == []
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for number in range(3):
            small = samples_of("rgb", 0)[:: 2**number, :: 2**number]
            writer.write(small, photometric="rgb", subfiletype=int(number > 0), metadata=None)
    assert pages_of(out) == []


@pytest.mark.parametrize(("order", "is_taken"), [("pppr", False), ("prpr", True), ("prpp", True)])
def test_smaller_versions_belong_to_the_page_before_them_if_that_is_certain(
    order: str, is_taken: bool
) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for letter in order:
            step = 2 if letter == "r" else 1
            small = np.ascontiguousarray(samples_of("rgb", 0)[::step, ::step])
            subfile = int(letter == "r")
            writer.write(small, photometric="rgb", subfiletype=subfile, metadata=None)
    pages = pages_of(out)
    assert len(pages) == (order.count("p") if is_taken else 0)
    for page in pages[:1]:
        assert decode(carve(out, page.offset)).obstacle is None


def with_pointer(data: bytes, page: int, target: int) -> bytes:
    """The file with the pointer behind a page leading elsewhere."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[page].offset
    (count,) = struct.unpack_from("<H", data, at)
    broken = bytearray(data)
    struct.pack_into("<I", broken, at + 2 + 12 * count, target)
    return bytes(broken)


def test_chains_that_loop_or_leave_the_file_are_not_taken_apart() -> None:
    data = plain(3)
    first = pages_of(io.BytesIO(data))[0].offset
    for broken in (
        with_pointer(data, 2, first),
        with_pointer(data, 2, len(data) + 100),
        with_pointer(data, 1, len(data) - 1),
        data[:-10],
        b"II*\0",
        b"",
    ):
        assert pages_of(io.BytesIO(broken)) == [] or broken == data[:-10]


def test_a_page_that_is_cut_short_says_so() -> None:
    data = bytearray(plain(2))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        entry_at = file.pages[1].tags["StripOffsets"].offset
    struct.pack_into("<I", data, entry_at + 8, len(data) - 50)
    page = pages_of(io.BytesIO(bytes(data)))[1]
    with pytest.raises(Exception, match="ends before its picture does"):
        decode(carve(io.BytesIO(bytes(data)), page.offset))


def test_a_page_that_is_not_there_is_refused() -> None:
    with pytest.raises(PageRefusedError, match="only 2 pages"):
        put_pages(io.BytesIO(plain(2)), [3], lambda _: b"")
