"""PDF files that are copied as a whole: each is refused with a reason, and harms nothing."""

import os
import signal
import zlib
from pathlib import Path

import pikepdf
import psutil
import pytest
from pikepdf import Array, Dictionary, Name, Stream

from demoire.errors import ImageError
from demoire.imaging.pdf import PdfRefusedError, carve, pictures_of
from demoire.imaging.pdf.passwords import use_passwords
from tests.demoire.imaging.pdf.drawn_pdf import (
    add_page,
    jpeg_picture,
    numbers,
    raw_pdf,
    raw_scan,
    raw_stream,
    scan,
)


def reason_of(path: Path) -> str:
    with pytest.raises(PdfRefusedError) as caught:
        pictures_of(path)
    assert str(caught.value)
    return caught.value.reason.value


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("passwords", [(), (b"Secret", b"secret ")], ids=["none", "others"])
def test_a_file_that_no_password_opens(passwords: tuple[bytes, ...], tmp_path: Path) -> None:
    path = scan(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(owner="o", user="secret"))
    use_passwords(passwords)
    assert reason_of(path) == "encrypted"


def test_a_file_that_anyone_can_open_is_taken_as_it_permits(tmp_path: Path) -> None:
    permits = pikepdf.Encryption(owner="owner", user="")
    assert len(pictures_of(scan(tmp_path / "permits.pdf", encryption=permits))) == 3
    nothing = pikepdf.Permissions(modify_other=False)
    forbids = pikepdf.Encryption(owner="owner", user="", allow=nothing)
    path = scan(tmp_path / "forbids.pdf", encryption=forbids)
    assert reason_of(path) == "encrypted"
    use_passwords([b"else", b"owner"])
    assert len(pictures_of(path)) == 3


def test_a_mistake_of_our_own_is_not_told_as_a_damaged_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = scan(tmp_path / "scan.pdf")
    pictures_of(path)
    with pytest.raises(ImageError) as caught:
        carve(path, "one")  # type: ignore[arg-type]
    assert caught.value.reason == "decode_failed"
    assert "TypeError" in caplog.text and "serving.py" in caplog.text


def sign(pdf: pikepdf.Pdf, how: str) -> None:
    signature = Dictionary(Type=Name.Sig, ByteRange=numbers(0, 1, 2, 3))
    match how:
        case "field":
            field = Dictionary(FT=Name.Sig, V=pdf.make_indirect(signature))
            pdf.Root.AcroForm = Dictionary(Fields=Array([pdf.make_indirect(field)]))
        case "field below a field":
            field = Dictionary(FT=Name.Sig, V=pdf.make_indirect(signature))
            above = Dictionary(Kids=Array([pdf.make_indirect(field)]))
            pdf.Root.AcroForm = Dictionary(Fields=Array([pdf.make_indirect(above)]))
        case "permissions":
            pdf.Root.Perms = Dictionary(DocMDP=pdf.make_indirect(signature))
        case "manifest":
            file = Dictionary(Type=Name.Filespec, AFRelationship=Name.C2PA_Manifest)
            pdf.Root.AF = Array([pdf.make_indirect(file)])


@pytest.mark.parametrize("how", ["field", "field below a field", "permissions", "manifest"])
def test_signed(how: str, tmp_path: Path) -> None:
    path = tmp_path / "signed.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, jpeg_picture(pdf))
        sign(pdf, how)
        pdf.save(path)
    assert reason_of(path) == "signed"


def test_an_empty_field_for_a_signature_is_no_signature(tmp_path: Path) -> None:
    path = tmp_path / "unsigned.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, jpeg_picture(pdf))
        pdf.Root.AcroForm = Dictionary(Fields=Array([Dictionary(FT=Name.Sig)]), SigFlags=1)
        pdf.save(path)
    assert len(pictures_of(path)) == 1


SOUND = raw_pdf(raw_scan())


@pytest.mark.parametrize(
    "data",
    [
        SOUND.replace(b"startxref\n", b"startxref\n1"),
        SOUND.replace(b"%%EOF", b"").replace(b"startxref", b""),
        SOUND[: len(SOUND) // 2],
        SOUND.replace(b"2 0 obj", b"   2 0 obj"),
        b"junk before the header\n" * 50 + SOUND,
        raw_pdf(raw_scan(length=100)),
        raw_pdf(raw_scan(length=10_000_000)),
        raw_pdf(raw_scan() | {1: b"<< /Type /Catalog >>"}),
        raw_pdf(raw_scan() | {1: b"null"}),
        raw_pdf(raw_scan() | {2: b"<< /Type /Pages /Kids [ 2 0 R ] /Count 1 >>"}),
        raw_pdf(raw_scan() | {5: raw_stream(b"", b"/Subtype /Image /Width /Wide /Height 70")}),
        b"%PDF-1.4\n",
        b"",
    ],
    ids=[
        "startxref",
        "no startxref",
        "half",
        "shifted",
        "more junk than readers pass over",
        "short length",
        "long length",
        "no pages",
        "no catalogue",
        "page tree loops",
        "width is no number",
        "nothing but a header",
        "empty",
    ],
)
def test_damaged(data: bytes, tmp_path: Path) -> None:
    assert reason_of(written(tmp_path / "damaged.pdf", data)) == "damaged_document"


def with_object_stream(inside: bytes, entries: bytes, beginning: bytes = b"4 0 ") -> bytes:
    """A file with a cross-reference stream, in which object 4 stands in the object stream 5."""
    out = b"%PDF-1.5\n"
    offsets = {}
    for number, body in {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [ 3 0 R ] /Count 1 >>",
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [ 0 0 9 9 ] /Resources 4 0 R >>",
        5: raw_stream(beginning + inside, b"/Type /ObjStm /First 4 " + entries),
    }.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = offsets[6] = len(out)
    rows = bytes(5)
    for number in range(1, 7):
        if number == 4:
            rows += b"\x02\0\0\x05\0"
        else:
            rows += b"\x01" + offsets[number].to_bytes(3, "big") + b"\0"
    entries = b"/Type /XRef /Size 7 /W [ 1 3 1 ] /Root 1 0 R"
    out += b"6 0 obj\n%s\nendobj\n" % raw_stream(rows, entries)
    return out + b"startxref\n%d\n%%%%EOF\n" % start


@pytest.mark.parametrize(
    ("entries", "is_sound"),
    [(b"/N 1", True), (b"/N 4 0 R", False), (b"/N 1 /Filter 4 0 R", False)],
)
def test_an_object_stream_that_needs_itself(entries: bytes, is_sound: bool, tmp_path: Path) -> None:
    path = written(tmp_path / "loop.pdf", with_object_stream(b"<< >>", entries))
    if is_sound:
        assert pictures_of(path) == []
    else:
        assert reason_of(path) == "damaged_document"


def test_what_is_said_of_a_damaged_file_does_not_name_where_it_lies(tmp_path: Path) -> None:
    with pytest.raises(PdfRefusedError) as caught:
        pictures_of(written(tmp_path / "cut.pdf", SOUND[: len(SOUND) // 2]))
    assert str(tmp_path) not in str(caught.value)


def test_forms_that_draw_each_other_without_end(tmp_path: Path) -> None:
    path = tmp_path / "forms.pdf"
    with pikepdf.new() as pdf:
        form = Stream(pdf, b"/Im0 Do /Im0 Do", Type=Name.XObject, Subtype=Name.Form)
        form["/Resources"] = Dictionary(XObject=Dictionary(Im0=form))
        add_page(pdf, form)
        pdf.save(path)
    assert reason_of(path) == "compression_bomb"


def deflated_blanks(megabytes: int) -> bytes:
    deflater = zlib.compressobj(1)
    blanks = b" " * 1_000_000
    return b"".join([*(deflater.compress(blanks) for _ in range(megabytes)), deflater.flush()])


def test_content_that_unpacks_without_end(tmp_path: Path) -> None:
    content = raw_stream(deflated_blanks(140), b"/Filter /FlateDecode")
    path = written(tmp_path / "bomb.pdf", raw_pdf(raw_scan() | {4: content}))
    assert path.stat().st_size < 2_000_000
    assert reason_of(path) == "compression_bomb"


def test_objects_that_unpack_without_end(tmp_path: Path) -> None:
    deflater = zlib.compressobj(1)
    blanks = b" " * 1_000_000
    parts = [deflater.compress(b"4 0 << >>")]
    parts += [deflater.compress(blanks) for _ in range(140)]
    parts.append(deflater.flush())
    data = with_object_stream(b"".join(parts), b"/N 1 /Filter /FlateDecode", beginning=b"")
    assert reason_of(written(tmp_path / "bomb.pdf", data)) == "compression_bomb"


def test_a_reader_that_dies_costs_the_file_alone(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.pdf")
    assert len(pictures_of(path)) == 3
    mine = psutil.Process().children()
    readers = [one for one in mine if "demoire.imaging.pdf" in " ".join(one.cmdline())]
    for reader in readers:
        os.kill(reader.pid, signal.SIGKILL)
        reader.wait()
    with pytest.raises(ImageError) as caught:
        pictures_of(path)
    assert caught.value.reason == "native_crash"
    assert len(pictures_of(path)) == 3
