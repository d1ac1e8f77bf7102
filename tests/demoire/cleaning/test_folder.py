"""`demoire fix` and `demoire detect` on small real files, with weights that are drawn by chance and
saved as files.
"""

import json
from pathlib import Path

import numpy as np
import pikepdf
import pytest
import torch
from PIL import Image

from demoire.imaging import limits
from demoire.models.detector import Detector
from demoire.models.external import import_spandrel
from demoire.models.networks import save_detector, save_restorer
from demoire.models.unet import UNet
from flows.cli import main
from tests.demoire.imaging.pdf.drawn_pdf import scan


@pytest.fixture(scope="module")
def chance_weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that name untrained weights: what is tested here is files and names, not what the
    networks see.
    """
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_detector(Detector(), folder / "detector.safetensors", {})
    save_restorer(UNet(), folder / "restorer.safetensors", {})
    return [
        "--detector",
        str(folder / "detector.safetensors"),
        "--restorer",
        str(folder / "restorer.safetensors"),
    ]


@pytest.fixture
def shoebox(tmp_path: Path) -> Path:
    """A folder with two pictures, one of them in a folder below, a truncated one, and a text."""
    folder = tmp_path / "shoebox"
    (folder / "1999").mkdir(parents=True)
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)
    picture = Image.fromarray(np.stack([np.tile(ramp, (280, 1))] * 3, axis=-1))
    picture.save(folder / "beach.png")
    picture.save(folder / "1999" / "beach.jpg", quality=90)
    (folder / "torn.jpg").write_bytes((folder / "1999" / "beach.jpg").read_bytes()[:600])
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_file_that_is_larger_than_its_picture_can_be_is_left_alone(
    shoebox: Path,
    tmp_path: Path,
    chance_weights: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Such as a sparse one, of which the disk holds nothing."""
    monkeypatch.setattr(limits, "_BYTES_BESIDE_PIXELS", 0)
    hole = shoebox / "hole.tif"
    with hole.open("wb") as file:
        file.truncate(900_000)
    images = [str(hole), str(shoebox / "beach.png")]
    out = tmp_path / "out"
    limit = ["--max-megapixels", "0.1"]
    assert main(["fix", *images, "-o", str(out), *limit, *chance_weights]) == 0
    told = capsys.readouterr().out
    assert f"{hole}: quarantined, too_large" in told and f"{images[1]}: quarantined" not in told
    assert (out / "hole.tif").read_bytes() == bytes(900_000)
    assert main(["detect", *images, *limit, *chance_weights[:2]]) == 0
    assert f"{hole}: too_large" in capsys.readouterr().out


def test_fix_of_a_folder_keeps_names_and_folders(
    shoebox: Path, tmp_path: Path, chance_weights: list[str]
) -> None:
    out = tmp_path / "out"
    assert main(["fix", str(shoebox), "-o", str(out), "--gate", "off", *chance_weights]) == 0
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert written == ["1999/beach.jpg", "beach.png", "torn.jpg"]
    with Image.open(out / "beach.png") as fixed:
        assert (fixed.size, fixed.mode, fixed.format) == ((300, 280), "RGB", "PNG")


def test_fix_says_nothing_of_scores_that_there_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The detector does not look at icons."""
    icon = tmp_path / "icon.png"
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(icon)
    assert main(["fix", str(icon), "-o", str(tmp_path / "out"), "--gate", "off"]) == 0
    assert f"{icon}: cleaned\n" in capsys.readouterr().out


@pytest.fixture
def foreign_weights(tmp_path: Path, chance_weights: list[str]) -> list[str]:
    """A small restoration model of spandrel's, as torch.save writes it, stands in for the restorer.
    Unlike an untrained one of our own it changes every picture.
    """
    import_spandrel()
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    torch.save(
        {"params": Compact(num_feat=8, num_conv=2, upscale=1).state_dict()},
        tmp_path / "compact.pth",
    )
    return [*chance_weights[:2], "--restorer", str(tmp_path / "compact.pth")]


def test_fix_with_a_checkpoint_of_another_program(
    shoebox: Path, tmp_path: Path, foreign_weights: list[str]
) -> None:
    out = tmp_path / "out"
    beach = str(shoebox / "beach.png")
    assert main(["fix", beach, "-o", str(out), "--gate", "off", *foreign_weights]) == 0
    with Image.open(out / "beach.png") as fixed, Image.open(shoebox / "beach.png") as before:
        assert fixed.size == before.size
        assert fixed.tobytes() != before.tobytes()


def test_fix_copies_what_it_cannot_clean_byte_for_byte(
    shoebox: Path, tmp_path: Path, chance_weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    status = main(["fix", str(shoebox / "torn.jpg"), "-o", str(out), "--strict", *chance_weights])
    assert status == 1
    assert (out / "torn.jpg").read_bytes() == (shoebox / "torn.jpg").read_bytes()
    assert "quarantined, truncated" in capsys.readouterr().out


def test_fix_never_writes_over_its_own_input(
    shoebox: Path, chance_weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (shoebox / "beach.png").read_bytes()
    assert main(["fix", str(shoebox / "beach.png"), "-o", str(shoebox), *chance_weights]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert (shoebox / "beach.png").read_bytes() == before


def test_fix_refuses_two_inputs_of_one_name_before_it_writes(
    shoebox: Path, tmp_path: Path, chance_weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "beach.png"
    twin.write_bytes((shoebox / "beach.png").read_bytes())
    out = tmp_path / "out"
    assert (
        main(["fix", str(shoebox / "beach.png"), str(twin), "-o", str(out), *chance_weights]) == 2
    )
    assert "would both become" in capsys.readouterr().err
    assert not out.exists()


def test_detect_gives_one_json_line_an_image_and_names_what_it_cannot_read(
    shoebox: Path, chance_weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(shoebox), "--json", *chance_weights[:2]]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["path"]).name for line in lines] == ["beach.jpg", "beach.png", "torn.jpg"]
    for line in lines[:2]:
        assert set(line) == {"path", "moire", "kind", "tiles"}
        assert 0 <= line["moire"] <= 1 and line["tiles"] == 1
    assert set(lines[2]) == {"path", "error"} and lines[2]["error"].startswith("truncated")


def test_archives_beside_the_pictures_are_counted_and_a_name_stays_on_its_line(
    shoebox: Path, tmp_path: Path, chance_weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "two\nlines.png").write_bytes((shoebox / "beach.png").read_bytes())
    (folder / "box.tar.zst").write_bytes(b"")
    (folder / "book.epub").write_bytes(b"")

    (tmp_path / "alone.zip").write_bytes(b"")
    named = [str(folder), str(tmp_path / "alone.zip")]

    assert main(["detect", *named, *chance_weights[:2]]) == 0

    printed = capsys.readouterr()
    assert printed.out.startswith(f"{folder}/two\\nlines.png: ")
    assert printed.out.count("\n") == 1
    assert "3 archives were not opened; `demoire preview`" in printed.err


@pytest.mark.parametrize("command", [["fix", "-o", "out"], ["detect"]])
def test_an_archive_alone_is_no_image(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "box.tar").write_bytes(b"")
    assert main([*command, str(tmp_path / "box.tar")]) == 2
    assert "box.tar is an archive; `demoire preview`" in capsys.readouterr().err


def test_detect_with_strict_ends_with_status_1_where_an_image_cannot_be_read(
    shoebox: Path, chance_weights: list[str]
) -> None:
    assert main(["detect", str(shoebox / "torn.jpg"), "--strict", *chance_weights[:2]]) == 1


@pytest.mark.parametrize("command", [["fix", "-o", "out"], ["detect"]])
def test_a_path_that_is_not_there_is_one_sentence(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "no/such/picture.jpg"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "demoire: no/such/picture.jpg does not exist; check the path."
    ]


def test_a_folder_without_images_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    assert main(["detect", str(tmp_path)]) == 2
    assert "There is no image in" in capsys.readouterr().err


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A TIFF of three pages, of which the second is black and white, and two PDFs: a scan, and one
    that is torn.
    """
    folder = tmp_path / "album"
    folder.mkdir()
    ramp = np.tile(np.linspace(0, 255, 300, dtype=np.uint8), (280, 1))
    pages = [Image.fromarray(ramp), Image.fromarray(ramp).convert("1"), Image.fromarray(255 - ramp)]
    pages[0].save(folder / "album.tif", save_all=True, append_images=pages[1:])
    scan(folder / "scan.pdf", pages=2)
    locked = pikepdf.Encryption(owner="owner", user="user")
    scan(folder / "locked.pdf", pages=1, encryption=locked)
    (folder / "torn.pdf").write_bytes((folder / "scan.pdf").read_bytes()[:-99])
    return folder


def test_fix_cleans_each_page_of_a_file_and_detect_judges_it(
    album: Path, tmp_path: Path, foreign_weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    passwords = tmp_path / "passwords.txt"
    passwords.write_text("wrong\n\nuser\n")
    unlocked = ["--pdf-password-file", str(passwords)]
    command = ["fix", str(album), "-o", str(out), "--gate", "off", "--strict", *foreign_weights]
    command += unlocked
    assert main(command) == 1
    lines = capsys.readouterr().out.splitlines()
    told = sorted(line.removeprefix(f"{album}/").split(",")[0] for line in lines)
    assert told == [
        "album.tif!/page-0001: cleaned",
        "album.tif!/page-0002: copied",
        "album.tif!/page-0003: cleaned",
        "locked.pdf!/page-0001: cleaned",
        "scan.pdf!/page-0001: cleaned",
        "scan.pdf!/page-0002: cleaned",
        "torn.pdf: quarantined",
    ]
    original = (album / "scan.pdf").read_bytes()
    fixed = (out / "scan.pdf").read_bytes()
    assert fixed.startswith(original) and len(fixed) > len(original)
    assert (out / "torn.pdf").read_bytes() == (album / "torn.pdf").read_bytes()
    with Image.open(album / "album.tif") as before, Image.open(out / "album.tif") as after:
        assert before.n_frames == after.n_frames
        for page, is_same in enumerate((False, True, False)):
            before.seek(page)
            after.seek(page)
            assert (before.tobytes() == after.tobytes()) == is_same
    assert main(["detect", str(album), "--json", *foreign_weights[:2]]) == 0
    judged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [line["path"].removeprefix(f"{album}/") for line in judged]
    assert names == [
        *(f"album.tif!/page-000{number}" for number in (1, 2, 3)),
        "locked.pdf",
        "scan.pdf!/page-0001",
        "scan.pdf!/page-0002",
        "torn.pdf",
    ]
    assert judged[-1]["error"].startswith("damaged_document")
    assert judged[3]["error"].startswith("encrypted")
    missing = ["--pdf-password-file", str(tmp_path / "missing.txt")]
    assert main(["detect", str(album), *missing, *foreign_weights[:2]]) == 2
    assert "check the path given to --pdf-password-file" in capsys.readouterr().err
