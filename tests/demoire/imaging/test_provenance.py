"""A cleaned file says what changed it, where every reader of XMP looks, and nothing else moves."""

import io
import json
import shutil
import struct
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from demoire.errors import UsageError
from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import open_image
from demoire.imaging.provenance import Provenance, fixed_day
from tests.demoire.imaging.derived.camera_files import (
    exif,
    exiftool,
    jpeg,
    picture,
    small,
    with_pictures_behind,
    with_segments,
)

NOTE = Provenance("demoire 0.2.0", "ab" * 32, date(2026, 11, 28))
XMP = b"http://ns.adobe.com/xap/1.0/\0"
PADDING = b" " * 2000

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is missing")


def packet(inside: str, padding: bytes = b"") -> bytes:
    rdf = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF '
        'xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<r:Description r:about="uuid:7" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'dc:format="image/jpeg" xmlns:mm="http://ns.adobe.com/xap/1.0/mm/" '
        f'xmlns:ev="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#">{inside}'
        "</r:Description></r:RDF></x:xmpmeta>"
    )
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    return begin.encode() + rdf.encode() + padding + b'<?xpacket end="w"?>'


HISTORY = packet(
    '<mm:History><r:Seq><r:li ev:action="saved" ev:softwareAgent="An editor"/></r:Seq></mm:History>'
)


def saved(form: str, *, grey: bool = False, **options: Any) -> bytes:
    image = Image.fromarray(picture()).convert("L" if grey else "RGB")
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def tiff(**options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, picture(), photometric="rgb", metadata=None, **options)
    return out.getvalue()


def cleaned(file: bytes, note: Provenance | None) -> bytes:
    opened = decode_guarded(open_image(file))
    return encode_verified(opened, picture(*opened.pixels.shape[:2], stripes=True), note).data


def xmp_of(file: bytes) -> bytes:
    with Image.open(io.BytesIO(file)) as image:
        found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        if image.format == "TIFF":
            found = image.tag_v2.get(700, b"")
    return found.encode() if isinstance(found, str) else bytes(found)


def box_of_xmp(packet: bytes) -> bytes:
    """A UUID box of JPEG 2000, see part 3 of Adobe's specification, 1.1.4."""
    identifier = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    return struct.pack(">I4s", 24 + len(packet), b"uuid") + identifier + packet


WITHOUT_XMP = {
    "jpeg": (".jpg", jpeg(picture())),
    "jpeg of a camera": (
        ".jpg",
        with_segments(jpeg(picture()), (0xE1, b"Exif\0\0" + exif(small(picture(), 160, 120)))),
    ),
    "png": (".png", saved("PNG")),
    "tiff": (".tif", tiff(compression="lzw", software="A scanner")),
    "big-endian tiff": (".tif", tiff(byteorder=">")),
    "bigtiff": (".tif", tiff(bigtiff=True)),
    "lossy webp": (".webp", saved("WEBP")),
    "lossless webp": (".webp", saved("WEBP", lossless=True)),
    "jpeg 2000": (".jp2", saved("JPEG2000", mct=1)),
}
WITH_XMP = {
    "jpeg": (".jpg", with_segments(jpeg(picture()), (0xE1, XMP + HISTORY))),
    "tiff": (".tif", tiff(extratags=[(700, 1, len(HISTORY), HISTORY, True)])),
    "webp": (".webp", saved("WEBP", xmp=HISTORY)),
    "jpeg 2000": (".jp2", saved("JPEG2000", mct=1) + box_of_xmp(HISTORY)),
}


@needs_exiftool
@pytest.mark.parametrize(("suffix", "file"), WITHOUT_XMP.values(), ids=WITHOUT_XMP)
def test_exiftool_reads_what_changed_a_file_and_when(
    suffix: str, file: bytes, tmp_path: Path
) -> None:
    noted = cleaned(file, NOTE)
    said = exiftool(noted, "-json", "-a", "-XMP-xmpMM:all", suffix=suffix, folder=tmp_path)
    (tags,) = json.loads(said)
    assert tags["HistoryAction"] == "edited"
    assert tags["HistorySoftwareAgent"] == "demoire 0.2.0"
    assert tags["HistoryWhen"] == "2026:11:28"
    assert tags["HistoryParameters"] == f"moiré removed; weights sha256 {'ab' * 32}"
    complaints = ("-validate", "-warning", "-error", "-a")
    before = exiftool(cleaned(file, None), *complaints, suffix=suffix, folder=tmp_path)
    assert exiftool(noted, *complaints, suffix=suffix, folder=tmp_path) == before


@pytest.mark.parametrize(
    ("seconds", "day"),
    [("0", date(1970, 1, 1)), ("1764633599", date(2025, 12, 1)), ("", None)],
)
def test_the_environment_may_say_the_day(
    seconds: str, day: date | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)
    assert fixed_day() == day


@pytest.mark.parametrize("wrong", ["yesterday", "1e9", "9" * 30])
def test_a_day_that_is_no_number_of_seconds_is_named(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
    with pytest.raises(UsageError, match=f"SOURCE_DATE_EPOCH is '{wrong}'"):
        fixed_day()


@needs_exiftool
@pytest.mark.parametrize(("suffix", "file"), WITH_XMP.values(), ids=WITH_XMP)
def test_a_history_goes_on_and_the_rest_of_the_packet_stays(
    suffix: str, file: bytes, tmp_path: Path
) -> None:
    said = exiftool(cleaned(file, NOTE), "-json", "-a", "-XMP:all", suffix=suffix, folder=tmp_path)
    (tags,) = json.loads(said)
    assert tags["HistoryAction"] == ["saved", "edited"]
    assert tags["HistorySoftwareAgent"] == ["An editor", "demoire 0.2.0"]
    assert (tags["About"], tags["Format"]) == ("uuid:7", "image/jpeg")


@pytest.mark.parametrize("name", ["png", "tiff", "lossless webp", "jpeg 2000"])
def test_the_pixels_and_everything_else_are_those_of_a_file_without_a_note(name: str) -> None:
    file = WITHOUT_XMP[name][1]
    noted = cleaned(file, NOTE)
    bare = cleaned(file, None)
    assert noted != bare
    assert np.array_equal(
        decode_guarded(open_image(noted)).pixels, decode_guarded(open_image(bare)).pixels
    )
    assert cleaned(file, NOTE) == noted


def test_a_packet_with_room_keeps_its_length() -> None:
    roomy = packet("", PADDING)
    changed = NOTE.written_into(roomy)
    assert changed is not None and b"demoire 0.2.0" in changed
    assert len(changed) == len(roomy)
    file = tiff(extratags=[(700, 1, len(roomy), roomy, True)])
    assert len(cleaned(file, NOTE)) == len(cleaned(file, None))


@pytest.mark.parametrize(
    "odd",
    [
        b"no XML at all",
        packet("").decode().encode("utf-16"),
        packet("<mm:History/>"),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + HISTORY,
        HISTORY[:-60],
    ],
    ids=["text", "UTF-16", "empty history", "document type", "cut short"],
)
def test_a_packet_that_cannot_be_added_to_safely_stays_as_it_is(odd: bytes) -> None:
    assert NOTE.written_into(odd) is None
    file = with_segments(jpeg(picture()), (0xE1, XMP + odd))
    assert cleaned(file, NOTE) == cleaned(file, None)


@pytest.mark.parametrize("behind_index", [False, True])
def test_an_index_of_pictures_still_finds_them(behind_index: bool) -> None:
    gain_map = jpeg(np.full((40, 60, 3), 90, np.uint8))
    file = with_pictures_behind(jpeg(picture()), (0, gain_map))
    if behind_index:
        at = file.index(b"\xff\xdb")
        segment = b"\xff\xe1" + struct.pack(">H", 2 + len(XMP + HISTORY)) + XMP + HISTORY
        grown = file[:at] + segment + file[at:]
        base = grown.index(b"MPF\0") + 4
        entries = base + 8 + 2 + 36 + 4
        size, offset = struct.unpack_from(">I", grown, entries + 4)[0], grown.index(gain_map) - base
        file = bytearray(grown)
        struct.pack_into(">I", file, entries + 4, size + len(segment))
        struct.pack_into(">I", file, entries + 16 + 8, offset)
        file = bytes(file)
    noted = cleaned(file, NOTE)
    base = noted.index(b"MPF\0") + 4
    entries = base + 8 + 2 + 36 + 4
    (picture_size,) = struct.unpack_from(">I", noted, entries + 4)
    (map_size, map_offset) = struct.unpack_from(">2I", noted, entries + 16 + 4)
    assert noted[base + map_offset :][:map_size] == gain_map
    assert noted[picture_size - 2 : picture_size] == b"\xff\xd9"
    assert b"demoire 0.2.0" in xmp_of(noted)
