"""Pictures put back into their PDF: the file's own bytes, and one update behind them."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pikepdf
import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

from demoire.errors import ImageError
from demoire.imaging.images import decode, encode
from demoire.imaging.pdf import PdfRefusedError, carve, pictures_of, put_pictures
from demoire.imaging.pdf.passwords import use_passwords
from tests.demoire.imaging.files import PROFILE
from tests.demoire.imaging.pdf.drawn_pdf import (
    HEIGHT,
    LAYOUTS,
    WIDTH,
    add_page,
    jpeg_of,
    jpeg_picture,
    numbers,
    one_picture,
    picture,
    problems_of,
    raw_pdf,
    raw_scan,
    raw_stream,
    rendered,
    samples_of,
    scan,
)

CHANGED = np.s_[8:40, 8:56]


def brighter(data: bytes) -> bytes:
    opened = decode(data)
    pixels = opened.pixels.copy()
    part = pixels[CHANGED]
    part += ((np.iinfo(part.dtype).max - part) // 2).astype(part.dtype)
    return encode(opened, pixels)


def put(
    path: Path,
    numbers: list[int],
    clean: Callable[[bytes], bytes] = brighter,
    *,
    name: str = "out.pdf",
    rewrite: bool = False,
) -> Path:
    out = path.with_name(name)
    with out.open("w+b") as file:
        put_pictures(
            path, file, numbers, lambda number: clean(carve(path, number)), rewrite=rewrite
        )
    return out


def check(path: Path, out: Path) -> None:
    """What holds of every result."""
    assert out.read_bytes().startswith(path.read_bytes())
    assert problems_of(out) == []


def same_pages(before: list[NDArray], after: list[NDArray]) -> list[bool]:
    return [np.array_equal(old, new) for old, new in zip(before, after, strict=True)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_changed_page_looks_different(layout: str, tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf", layout=layout)
    out = put(path, [2])
    check(path, out)
    assert same_pages(rendered(path), rendered(out)) == [True, False, True]
    (before, after) = rendered(path)[1], rendered(out)[1]
    assert before.shape == after.shape
    outside = np.ones(before.shape[:2], bool)
    outside[0:56, 0:72] = False  # the part that changed, and what decoders smooth
    assert np.array_equal(before[outside], after[outside])


def other_objects(path: Path, left_out: set[tuple[int, int]]) -> dict[tuple[int, int], Any]:
    """All objects of a file but some, as they are written, with their streams."""
    objects = {}
    with pikepdf.open(path) as pdf:
        for one in pdf.objects:
            if one.objgen in left_out:
                continue
            if isinstance(one, Stream):
                if one.get("/Type") not in (Name.XRef, Name.ObjStm):
                    objects[one.objgen] = (one.stream_dict.unparse(), one.read_raw_bytes())
            elif one.is_indirect:
                objects[one.objgen] = one.unparse(resolved=True)
    return objects


def archival_scan(path: Path, layout: str) -> Path:
    """With text over the picture, a link, an outline, metadata, tags and a part of PDF/A."""
    with pikepdf.new() as pdf:
        font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
        for number in range(2):
            text = b"BT 3 Tr /F1 12 Tf 10 20 Td (Words of page %d) Tj ET" % number
            drawn = b"q 96 0 0 72 0 0 cm /Im0 Do Q " + text
            page = add_page(pdf, jpeg_picture(pdf, number), content=drawn)
            page.obj.Resources.Font = Dictionary(F1=pdf.make_indirect(font))
            link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([0, 0, 9, 9]))
            page.obj.Annots = Array([pdf.make_indirect(link)])
        with pdf.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("The second page", 1))
        with pdf.open_metadata() as metadata:
            metadata["dc:title"] = "A scan"
            metadata["pdfaid:part"] = "2"
            metadata["pdfaid:conformance"] = "B"
        pdf.Root.StructTreeRoot = pdf.make_indirect(Dictionary(Type=Name.StructTreeRoot))
        pdf.Root.MarkInfo = Dictionary(Marked=True)
        pdf.docinfo["/Title"] = "A scan"
        pdf.save(path, **LAYOUTS[layout])
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_object_but_the_picture_stays(layout: str, tmp_path: Path) -> None:
    path = archival_scan(tmp_path / "scan.pdf", layout)
    out = put(path, [1])
    check(path, out)
    with pikepdf.open(path) as before, pikepdf.open(out) as after:
        old = before.pages[0].Resources.XObject.Im0
        new = after.pages[0].Resources.XObject.Im0
        assert old.objgen == new.objgen
        changed = {old.objgen}
        entries = {"/Root", "/Info", "/ID"}
        for key in entries:
            assert before.trailer[key].unparse() == after.trailer[key].unparse()
        assert old.stream_dict.keys() == new.stream_dict.keys()
        for key in set(old.stream_dict.keys()) - {"/Length"}:
            assert old[key] == new[key]
        with after.open_metadata() as metadata:
            assert metadata.pdfa_status == "2B"
    assert other_objects(path, changed) == other_objects(out, changed)
    with pypdfium2.PdfDocument(out) as pdf:
        assert pdf[1].get_textpage().get_text_range() == "Words of page 1"
        assert [item.get_title() for item in pdf.get_toc()] == ["The second page"]


ENCRYPTIONS = {
    "rc4 of 40 bits": {"R": 2, "aes": False, "metadata": False},
    "rc4 of 128 bits": {"R": 3, "aes": False, "metadata": False},
    "rc4 by a filter": {"R": 4, "aes": False, "metadata": False},
    "aes of 128 bits": {"R": 4},
    "aes of 256 bits": {"R": 6},
}


@pytest.mark.parametrize("layout", ["table", "stream"])
@pytest.mark.parametrize("how", ENCRYPTIONS)
def test_an_encrypted_file_stays_encrypted(how: str, layout: str, tmp_path: Path) -> None:
    if layout == "stream" and "40" in how:
        layout = "linearized"
    encryption = pikepdf.Encryption(owner="owner", user="us\xe9r", **ENCRYPTIONS[how])
    marked = {"Marks": Array([pikepdf.String("hush"), Dictionary(More=pikepdf.String("hush"))])}
    path = scan(tmp_path / "scan.pdf", layout=layout, encryption=encryption, **marked)
    use_passwords([b"wrong", "us\xe9r".encode()])
    out = put(path, [1, 3])
    assert out.read_bytes().startswith(path.read_bytes())
    tail = tail_of(path, out)
    assert b"/Encrypt" in tail and b"hush" not in tail and b"JFIF" not in tail
    assert problems_of(out, password="owner") == []
    before = rendered(path, password="owner")
    after = rendered(out, password="owner")
    assert same_pages(before, after) == [False, True, False]
    with pikepdf.open(out, password="owner") as pdf:
        marks = pdf.pages[0].Resources.XObject.Im0.Marks
        assert (str(marks[0]), str(marks[1].More)) == ("hush", "hush")
    assert reason_without_password(out) == "encrypted"
    assert put(path, [1, 3], name="again.pdf").read_bytes() == out.read_bytes()
    anew = put(path, [1, 3], name="anew.pdf", rewrite=True)
    assert same_pages(after, rendered(anew, password="owner")) == [True] * 3
    with pikepdf.open(path, password="owner") as was, pikepdf.open(anew, password="owner") as pdf:
        assert pdf.is_encrypted and pdf.encryption.R == was.encryption.R
        assert pdf.allow == was.allow and pdf.is_linearized == was.is_linearized
    assert reason_without_password(anew) == "encrypted"


def reason_without_password(path: Path) -> str:
    use_passwords(())
    with pytest.raises(PdfRefusedError) as caught:
        pictures_of(path)
    use_passwords([b"owner"])
    return caught.value.reason.value


def tree_of(thing: Any, seen: dict[tuple[int, int], int]) -> Any:
    """An object with all that it leads to, whatever the numbers of objects."""
    if getattr(thing, "is_indirect", False):
        if thing.objgen in seen:
            return seen[thing.objgen]
        seen[thing.objgen] = len(seen)
    if isinstance(thing, Stream):
        entries = tree_of(thing.stream_dict, seen)
        return entries, thing.read_raw_bytes()
    if isinstance(thing, Dictionary):
        return [(key, tree_of(thing[key], seen)) for key in sorted(thing.keys())]
    if isinstance(thing, Array):
        return [tree_of(inner, seen) for inner in thing]
    return repr(thing)


def trees_of(path: Path) -> dict[str, Any]:
    """What a file's trailer leads to, with the first page's picture by itself."""
    with pikepdf.open(path) as pdf:
        picture = pdf.pages[0].Resources.XObject.Im0
        seen = {picture.objgen: -1}
        trees = {key: tree_of(pdf.trailer[key], seen) for key in ("/Root", "/Info")}
        trees["picture"] = picture.read_raw_bytes()
        trees["is linearized"] = pdf.is_linearized
        return trees


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_is_written_anew_has_the_same_objects_and_no_old_picture(
    layout: str, tmp_path: Path
) -> None:
    path = archival_scan(tmp_path / "scan.pdf", layout)
    updated = put(path, [1])
    out = put(path, [1], name="anew.pdf", rewrite=True)
    assert problems_of(out) == []
    with pikepdf.open(out) as pdf:
        assert pdf.is_linearized == (layout == "linearized")
        assert not pdf.is_linearized or pdf.check_linearization()
    before, after = trees_of(path), trees_of(out)
    old = before.pop("picture")
    assert old in updated.read_bytes() and old not in out.read_bytes()
    assert out.stat().st_size < updated.stat().st_size - len(old) // 2
    assert after.pop("picture") != old
    assert before == after
    assert same_pages(rendered(updated), rendered(out)) == [True, True]
    with pikepdf.open(out) as pdf, pdf.open_metadata() as metadata:
        assert metadata.pdfa_status == "2B"
    with pypdfium2.PdfDocument(out) as pdf:
        assert pdf[1].get_textpage().get_text_range() == "Words of page 1"
        assert [item.get_title() for item in pdf.get_toc()] == ["The second page"]
    again = put(path, [1], name="again.pdf", rewrite=True)
    assert again.read_bytes() == out.read_bytes()
    assert put(path, [], rewrite=True).read_bytes() == path.read_bytes()


def tail_of(path: Path, out: Path) -> bytes:
    return out.read_bytes()[path.stat().st_size :]


def test_the_update_is_of_the_kind_that_the_file_is(tmp_path: Path) -> None:
    for layout, has_table in {"table": True, "stream": False, "linearized": False}.items():
        path = scan(tmp_path / f"{layout}.pdf", layout=layout)
        tail = tail_of(path, put(path, [1, 3]))
        assert (b"\nxref\n" in tail, b"/XRef" in tail) == (has_table, not has_table)
        assert tail.count(b" obj\n") == (2 if has_table else 3)


def test_an_update_can_follow_an_update(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        path = scan(tmp_path / f"{layout}.pdf", layout=layout)
        once = put(path, [2]).rename(tmp_path / f"{layout}_once.pdf")
        twice = put(once, [1, 2])
        check(once, twice)
        assert same_pages(rendered(once), rendered(twice)) == [False, False, True]


@pytest.mark.parametrize("layout", ["table", "stream"])
def test_what_stands_before_the_header_stays_there(layout: str, tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf", layout=layout)
    sound = path.read_bytes()
    path.write_bytes(b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n" + sound)
    out = put(path, [2])
    check(path, out)
    assert same_pages(rendered(path), rendered(out)) == [True, False, True]
    anew = put(path, [2], name="anew.pdf", rewrite=True)
    assert same_pages(rendered(out), rendered(anew)) == [True] * 3


def test_the_generation_of_an_object_stays(tmp_path: Path) -> None:
    path = tmp_path / "generation.pdf"
    path.write_bytes(raw_pdf(raw_scan(generation=3), generation=3))
    out = put(path, [1])
    check(path, out)
    assert b"\n5 3 obj\n" in tail_of(path, out) and b" 00003 n \n" in tail_of(path, out)


def test_a_trailer_that_counts_too_few_objects_does_not_cost_one(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf")
    data = path.read_bytes()
    with pikepdf.open(path) as pdf:
        objects = int(pdf.trailer.Size)
    path.write_bytes(data.replace(b"/Size %d" % objects, b"/Size %d" % (objects - 1)))
    out = put(path, [1])
    with pikepdf.open(path) as before, pikepdf.open(out) as after:
        assert len(after.objects) == len(before.objects)
        assert int(after.trailer.Size) == objects
    assert same_pages(rendered(path), rendered(out)) == [False, True, True]


def hybrid() -> bytes:
    """A file whose table is for old readers; newer ones find object 7 in an object stream."""
    objects = raw_scan()
    objects[1] = b"<< /Type /Catalog /Pages 2 0 R /PieceInfo 7 0 R >>"
    objects[6] = raw_stream(b"7 0 << /Hidden true >>", b"/Type /ObjStm /N 1 /First 4")
    plain = raw_pdf(objects)
    start = int(plain.rpartition(b"startxref\n")[2].split()[0])
    entries = b"/Type /XRef /Size 9 /Root 1 0 R /W [ 1 2 1 ] /Index [ 7 2 ]"
    rows = b"\x02\0\x06\0\x01" + start.to_bytes(2, "big") + b"\0"
    section = b"8 0 obj\n%s\nendobj\n" % raw_stream(rows, entries)
    table = plain[start:].replace(b"/Size 7", b"/Size 9 /XRefStm %d" % start)
    table = table.replace(b"%d" % start + b"\n%%EOF", b"%d\n%%%%EOF" % (start + len(section)))
    return plain[:start] + section + table


def test_a_hybrid_file_keeps_what_only_newer_readers_find(tmp_path: Path) -> None:
    path = tmp_path / "hybrid.pdf"
    path.write_bytes(hybrid())
    with pikepdf.open(path) as pdf:
        assert pdf.Root.PieceInfo.Hidden
    out = put(path, [1])
    check(path, out)
    assert b"\nxref\n" in tail_of(path, out)
    with pikepdf.open(out) as pdf:
        assert pdf.Root.PieceInfo.Hidden


def test_a_shared_picture_changes_wherever_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "shared.pdf"
    with pikepdf.new() as pdf:
        shared = jpeg_picture(pdf, 0)
        add_page(pdf, shared)
        add_page(pdf, jpeg_picture(pdf, 1))
        add_page(pdf, shared)
        pdf.save(path)
    out = put(path, [1])
    assert same_pages(rendered(path), rendered(out)) == [False, True, False]


def test_soft_mask_profile_and_intent_stay(tmp_path: Path) -> None:
    path = tmp_path / "entries.pdf"
    with pikepdf.new() as pdf:
        ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
        soft = picture(pdf, ramp.tobytes(), ColorSpace=Name.DeviceGray)
        profile = pdf.make_indirect(Stream(pdf, PROFILE, N=3))
        entries = {
            "ColorSpace": Array([Name.ICCBased, profile]),
            "SMask": pdf.make_indirect(soft),
            "Intent": Name.Perceptual,
            "Interpolate": True,
        }
        add_page(pdf, jpeg_picture(pdf, 0, **entries))
        pdf.save(path)
    out = put(path, [1])
    check(path, out)
    assert PROFILE not in tail_of(path, out)  # only the carved file has it
    tail = tail_of(path, out)
    for key in (b"/Intent /Perceptual", b"/Interpolate true", b"/SMask", b"/ICCBased"):
        assert key in tail


KINDS = st.fixed_dictionaries(
    {
        "form": st.sampled_from(
            ["jpeg", "jpeg 4:4:4", "deflate", "png", "none", "deflated jpeg", "jpeg 2000"]
        ),
        "channels": st.sampled_from([1, 3]),
        "is_inverted": st.booleans(),
        "bits": st.sampled_from([8, 16]),
        "seed": st.integers(0, 1000),
        "is_changed": st.booleans(),
    }
)
SPACES = {1: Name.DeviceGray, 3: Name.DeviceRGB}


def drawn(pdf: pikepdf.Pdf, kind: dict[str, Any]) -> Stream:
    form = kind["form"]
    bits = kind["bits"] if form in ("deflate", "png", "none", "jpeg 2000") else 8
    samples = samples_of(kind["seed"], kind["channels"], bits)
    entries: dict[str, Any] = {"ColorSpace": SPACES[kind["channels"]], "BitsPerComponent": bits}
    raw = samples.astype(samples.dtype.newbyteorder(">")).tobytes()
    if kind["is_inverted"]:
        entries["Decode"] = numbers(*[1, 0] * kind["channels"])
    match form:
        case "none":
            return picture(pdf, raw, **entries)
        case "deflate":
            return picture(pdf, zlib.compress(raw), Filter=Name.FlateDecode, **entries)
        case "png":
            row = len(raw) // HEIGHT
            rows = b"".join(b"\0" + raw[row * i : row * (i + 1)] for i in range(HEIGHT))
            entries["DecodeParms"] = Dictionary(
                Predictor=15, Colors=kind["channels"], BitsPerComponent=bits, Columns=WIDTH
            )
            return picture(pdf, zlib.compress(rows), Filter=Name.FlateDecode, **entries)
        case "jpeg 2000":
            data = imagecodecs.jpeg2k_encode(samples, codecformat="jp2", level=0, reversible=True)
            return picture(pdf, data, Filter=Name.JPXDecode, **entries)
        case "deflated jpeg":
            filters = Array([Name.FlateDecode, Name.DCTDecode])
            return picture(pdf, zlib.compress(jpeg_of(samples)), Filter=filters, **entries)
    data = jpeg_of(samples, subsampling=0 if form == "jpeg 4:4:4" else 2)
    return picture(pdf, data, Filter=Name.DCTDecode, **entries)


@given(
    kinds=st.lists(KINDS, min_size=1, max_size=4),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_what_is_put_in_is_carved_out(
    kinds: list[dict[str, Any]], layout: str, tmp_path: Path
) -> None:
    path = tmp_path / "kinds.pdf"
    with pikepdf.new() as pdf:
        for kind in kinds:
            add_page(pdf, drawn(pdf, kind))
        pdf.save(path, **LAYOUTS[layout])
    changed = [i for i, kind in enumerate(kinds, start=1) if kind["is_changed"]]
    out = put(path, changed)
    check(path, out)
    assert len(pictures_of(out)) == len(kinds)
    for number in range(1, len(kinds) + 1):
        was, became = carve(path, number), carve(out, number)
        meant = brighter(was) if number in changed else was
        assert np.array_equal(decode(became).pixels, decode(meant).pixels)
        assert decode(became).facts.bits == decode(was).facts.bits


@pytest.mark.parametrize(
    "cleaned",
    [
        b"not even a picture",
        jpeg_of(samples_of(1)[:64]),
    ],
    ids=["no picture", "another size"],
)
def test_what_is_no_cleaned_picture_of_this_file_is_refused(cleaned: bytes, tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf")
    with pytest.raises(PdfRefusedError) as caught:
        put(path, [1], lambda _: cleaned)
    assert caught.value.reason == "encode_failed"


def test_a_grey_file_for_a_picture_in_colour_is_refused(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf")
    with pytest.raises(PdfRefusedError):
        put(path, [1], lambda _: jpeg_of(samples_of(1, 1)))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_inks_that_are_no_jpeg_change_where_they_were_changed(
    bits: int, is_inverted: bool, tmp_path: Path
) -> None:
    samples = samples_of(5, 4, bits) // 2
    stored = np.iinfo(samples.dtype).max - samples if is_inverted else samples
    raw = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    entries: dict[str, Any] = {"ColorSpace": Name.DeviceCMYK, "BitsPerComponent": bits}
    if is_inverted:
        entries["Decode"] = numbers(*[1, 0] * 4)
    path = tmp_path / "inks.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, picture(pdf, zlib.compress(raw), Filter=Name.FlateDecode, **entries))
        pdf.save(path)
    opened = decode(carve(path, 1))
    assert np.array_equal(opened.raster.pixels, samples)
    out = put(path, [1])
    check(path, out)
    after = decode(carve(out, 1))
    assert np.array_equal(after.raster.pixels, decode(brighter(carve(path, 1))).raster.pixels)
    (was,), (became,) = rendered(path), rendered(out)
    assert np.array_equal(was[56:], became[56:]) and not np.array_equal(was[:40], became[:40])
    assert became[8:40, 8:56].mean() > was[8:40, 8:56].mean() + 5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}], ids=str
)
def test_a_jpeg_that_is_a_negative_is_cleaned_as_what_it_shows(
    channels: int, options: dict[str, Any], tmp_path: Path
) -> None:
    stored = jpeg_of(samples_of(5, channels), **options)
    inverted = numbers(*[1, 0] * channels)
    entries = {"ColorSpace": SPACES[channels], "Filter": Name.DCTDecode, "Decode": inverted}
    path = one_picture(tmp_path / "negative.pdf", stored, **entries)
    shown = 255 - decode(stored).pixels.astype(int)
    carved_pixels = decode(carve(path, 1)).pixels
    assert np.abs(carved_pixels - shown).max() <= 3, "one level for the middle, two of rounding"
    (before,) = rendered(path)
    assert np.abs(before[..., ::-1][..., :channels] - shown).max() <= 3

    out = put(path, [1])
    check(path, out)
    (after,) = rendered(out)
    assert np.array_equal(after[56:], before[56:])
    assert after[8:40, 8:56].mean() > before[8:40, 8:56].mean() + 20, "brighter, not darker"
    with pikepdf.open(out) as pdf:
        new = pdf.pages[0].Resources.XObject.Im0
        assert list(new.Decode) == [1, 0] * channels
        was, became = decode(stored).pixels, decode(new.read_raw_bytes()).pixels
    assert np.array_equal(became[56:], was[56:])
    same = put(path, [1], lambda data: data, name="same.pdf")
    with pikepdf.open(same) as pdf:
        coded = decode(pdf.pages[0].Resources.XObject.Im0.read_raw_bytes())
        assert np.array_equal(coded.pixels, was), "twice a negative is the same again"


def test_a_negative_that_is_cut_short_is_told_as_such(tmp_path: Path) -> None:
    data = jpeg_of(samples_of(5))[:-400]
    entries = {"Filter": Name.DCTDecode, "Decode": numbers(1, 0, 1, 0, 1, 0)}
    path = one_picture(tmp_path / "cut.pdf", data, **entries)
    with pytest.raises(ImageError) as caught:
        decode(carve(path, 1))
    assert caught.value.reason == "truncated"


def grey_of(samples: NDArray) -> bytes:
    return Image.fromarray(samples).convert("L").tobytes()


THUMBNAILS: dict[str, Callable[[NDArray], tuple[bytes, dict[str, Any]]]] = {
    "plain": lambda small: (small.tobytes(), {}),
    "deflated": lambda small: (zlib.compress(small.tobytes()), {"Filter": Name.FlateDecode}),
    "jpeg": lambda small: (jpeg_of(small, subsampling=0), {"Filter": Name.DCTDecode}),
    "grey": lambda small: (grey_of(small), {"ColorSpace": Name.DeviceGray}),
}


def with_thumbnails(path: Path, layout: str, form: str, shown: list[int]) -> Path:
    """A scan with a picture and a thumbnail on each page; the thumbnail shows the given one."""
    with pikepdf.new() as pdf:
        for number, other in enumerate(shown):
            page = add_page(pdf, jpeg_picture(pdf, number))
            data, entries = THUMBNAILS[form](samples_of(other)[1::2, 1::2])
            small = picture(pdf, data, Width=WIDTH // 2, Height=HEIGHT // 2, **entries)
            page.obj.Thumb = pdf.make_indirect(small)
        pdf.save(path, **LAYOUTS[layout])
    return path


@pytest.mark.parametrize("form", THUMBNAILS)
@pytest.mark.parametrize("layout", ["table", "stream"])
def test_a_thumbnail_that_shows_a_changed_picture_is_made_anew(
    layout: str, form: str, tmp_path: Path
) -> None:
    path = with_thumbnails(tmp_path / "scan.pdf", layout, form, [0, 1, 5])
    out = put(path, [2, 3])
    check(path, out)
    with pikepdf.open(path) as before, pikepdf.open(out) as after:
        old = [page.get("/Thumb") for page in before.pages]
        new = [page.get("/Thumb") for page in after.pages]
        assert new[2] is None, "it shows something else"
        assert new[0].read_raw_bytes() == old[0].read_raw_bytes()
        assert new[1].read_raw_bytes() != old[1].read_raw_bytes()
        was, became = np.asarray(picture_in(old[1])), np.asarray(picture_in(new[1]))
        assert was.shape == became.shape
        for key in ("/ColorSpace", "/Width", "/Height", "/BitsPerComponent"):
            assert old[1].get(key) == new[1].get(key)
        assert (old[1].get("/Filter") == Name.DCTDecode) == (form == "jpeg")
    assert became[4:20, 4:28].mean() > was[4:20, 4:28].mean() + 20
    assert np.abs(became[28:].astype(int) - was[28:]).mean() < 10
    assert same_pages(rendered(path), rendered(out)) == [True, False, False]


def picture_in(stream: Any) -> Any:
    return pikepdf.PdfImage(stream).as_pil_image()


def test_a_thumbnail_of_a_page_with_several_pictures_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    with pikepdf.new() as pdf:
        shared = pdf.make_indirect(jpeg_picture(pdf, 0))
        small = pdf.make_indirect(picture(pdf, samples_of(0).tobytes()))
        for more in ([], [jpeg_picture(pdf, 1)]):
            page = add_page(pdf, shared, *more)
            page.obj.Thumb = small
        pdf.save(path)
    out = put(path, [1])
    check(path, out)
    with pikepdf.open(out) as pdf:
        assert ["/Thumb" in page.obj for page in pdf.pages] == [False, False]
        assert all("/Resources" in page.obj for page in pdf.pages)


def test_nothing_to_put_in_is_a_copy(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf")
    assert put(path, []).read_bytes() == path.read_bytes()


def test_a_result_that_is_not_as_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scan(tmp_path / "scan.pdf")
    out = io.FileIO(tmp_path / "out.pdf", "w+")

    class Spoilt(io.BufferedRandom):
        """Writes a picture wrong by one byte."""

        def write(self, data: Any) -> int:
            spoilt = bytes(data)
            if spoilt.startswith(b"\xff\xd8\xff"):
                spoilt = spoilt[:-300] + b"\0" + spoilt[-299:]
            return super().write(spoilt)

    with Spoilt(out) as file, pytest.raises(PdfRefusedError) as caught:
        put_pictures(path, file, [2], lambda number: brighter(carve(path, number)))
    assert caught.value.reason == "encode_failed"
