"""Grey pictures of black and white ones: greys where there were dots, and text as it was."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pikepdf import Name
from PIL import Image, ImageDraw

from demoire.cleaning.cleaner import Cleaner, Models, load_models
from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError
from demoire.measure.likeness import psnr
from flows.cli import main
from tests.demoire.conftest import LESS_RED
from tests.demoire.imaging.pdf.test_bilevel import bilevel_pdf

Grey = NDArray[np.uint8]


CONFIG = CleanerConfig(device="cpu", bilevel="grey")


@pytest.fixture(scope="module")
def models() -> Models:
    """The shipped networks."""
    return load_models(CONFIG, torch.device("cpu"))


@pytest.fixture(scope="module")
def shipped(models: Models) -> Cleaner:
    return Cleaner(CONFIG, models)


def tiff(bits: NDArray[np.bool_], **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(bits).save(out, "TIFF", compression="group4", **options)
    return out.getvalue()


def grey_of(cleaner: Cleaner, data: bytes) -> bytes | None:
    """The grey picture that comes with the copy of a black and white one."""
    cleaned = cleaner.clean(data)
    assert (cleaned.status, cleaned.reason, cleaned.data) == ("copied", "bilevel", data)
    assert not isinstance(cleaned.grey, ImageError)
    return cleaned.grey


def pixels_of(data: bytes | None) -> Grey:
    assert data is not None
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.asarray(image)


def photograph(side: int) -> Grey:
    y, x = np.mgrid[:side, :side] / side
    picture = 0.5 + 0.3 * np.sin(7 * x + 3 * y) * np.cos(5 * y) + 0.15 * (np.hypot(x, y) < 0.6)
    return (255 * np.clip(picture, 0.02, 0.98)).astype(np.uint8)


def screened(picture: Grey, period: float) -> NDArray[np.bool_]:
    """Printed with a screen of round dots at 45 degrees, and scanned in black and white."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] / (period * 2**0.5)
    spot = np.cos(2 * np.pi * (x + y)) + np.cos(2 * np.pi * (x - y))
    levels = np.argsort(np.argsort(spot, axis=None)).reshape(spot.shape) / spot.size
    return picture / 255 > levels


def test_printed_dots_become_the_greys_that_they_stand_for(shipped: Cleaner) -> None:
    picture = photograph(401)
    grey = pixels_of(grey_of(shipped, tiff(screened(picture, 6))))
    assert psnr(grey[8:-8, 8:-8, None], picture[8:-8, 8:-8, None]) > 29


def test_dots_of_single_pixels_are_restored_at_their_own_size(models: Models) -> None:
    picture = photograph(401)
    every_cell = Cleaner(replace(CONFIG, gate="off"), models)
    dithered = np.asarray(Image.fromarray(picture).convert("1"))
    grey = pixels_of(grey_of(every_cell, tiff(dithered)))
    assert psnr(grey[8:-8, 8:-8, None], picture[8:-8, 8:-8, None]) > 33


def test_text_has_nothing_to_descreen(shipped: Cleaner) -> None:
    page = Image.new("1", (600, 500), 1)
    draw = ImageDraw.Draw(page)
    for line in range(20):
        draw.text((20, 10 + 24 * line), f"{line}. On keeping parish records", font_size=20)
    assert grey_of(shipped, tiff(np.asarray(page))) is None


def test_only_cells_with_dots_are_changed(make_cleaner: Callable[..., Cleaner]) -> None:
    bits = np.zeros((515, 1025), bool)
    bits[::3, :512] = True  # a third is white, which the toy detector lets pass
    bits[:, 512:] = np.arange(513) % 4 != 0
    grey = pixels_of(grey_of(make_cleaner(bilevel="grey"), tiff(bits)))
    before = 255 * bits.astype(np.uint8)
    assert np.array_equal(grey[:, :512], before[:, :512])
    inside = grey[100:400, 650:900].astype(float)
    assert inside.std() < 0.2 * before[100:400, 650:900].std()
    assert inside.mean() == pytest.approx(255 * (0.75 - LESS_RED / 3), abs=2)


def test_resolution_and_orientation_are_told(make_cleaner: Callable[..., Cleaner]) -> None:
    fax = tiff(np.arange(300 * 200).reshape(200, 300) % 4 != 0, dpi=(204, 98), tiffinfo={274: 6})
    cleaner = make_cleaner(gate="off", provenance=False, bilevel="grey")
    made = grey_of(cleaner, fax)
    assert made is not None and made == grey_of(cleaner, fax)
    with Image.open(io.BytesIO(made)) as image:
        assert image.size == (300, 200)
        assert image.info["dpi"] == pytest.approx((204, 98), abs=0.1)
        assert image.getexif()[274] == 6


@pytest.fixture
def faxes(tmp_path: Path) -> Path:
    """A halftone, its twin of another format and in a PDF, and a fax of two pages of which one is
    a halftone.
    """
    folder = tmp_path / "faxes"
    folder.mkdir()
    dots = Image.fromarray(screened(photograph(300), 6))
    dots.save(folder / "scan.tif", compression="group4")
    dots.save(folder / "scan.png")
    dots.save(folder / "book.pdf", resolution=150)
    blank = Image.new("1", (300, 300), 1)
    blank.save(folder / "fax.tif", save_all=True, append_images=[dots.copy()])
    Image.new("L", (300, 300), 200).save(folder / "grey.png")
    return folder


def test_fix_puts_grey_pictures_beside_the_copies(
    faxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["fix", str(faxes), "-o", str(out), "--device", "cpu"]
    assert main([*command, "--bilevel", "grey"]) == 0
    printed = capsys.readouterr().out
    assert f"scan.tif: copied, bilevel, in grey as {out}/scan.tif.grey.png\n" in printed
    assert "book.pdf!/page-0001: copied, bilevel, in grey as" in printed
    copies = ["book.pdf", "fax.tif", "grey.png", "scan.png", "scan.tif"]
    greys = ["book.page-0001.grey.png", "fax.page-0002.grey.png"]
    greys += ["scan.png.grey.png", "scan.tif.grey.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*copies, *greys])
    for name in copies:
        assert (out / name).read_bytes() == (faxes / name).read_bytes()
    grey = pixels_of((out / "scan.tif.grey.png").read_bytes())
    assert psnr(grey[8:-8, 8:-8, None], photograph(300)[8:-8, 8:-8, None]) > 27


def test_a_grey_picture_never_takes_the_name_of_an_image(faxes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (faxes / "grey.png").rename(faxes / "scan.grey.png")
    named = [str(faxes / "scan.tif"), str(faxes / "scan.grey.png")]
    assert main(["fix", *named, "-o", str(out), "--device", "cpu", "--bilevel", "grey"]) == 0
    assert (out / "scan.grey.png").read_bytes() == (faxes / "scan.grey.png").read_bytes()
    assert (out / "scan.tif.grey.png").exists()


def test_fix_names_a_black_and_white_picture_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scan = bilevel_pdf(tmp_path / "scan.pdf", b"", Filter=Name.JBIG2Decode)
    out = tmp_path / "out"
    assert main(["fix", str(scan), "-o", str(out), "--device", "cpu", "--bilevel", "grey"]) == 0
    assert (out / "scan.pdf").read_bytes() == scan.read_bytes()
    assert "No grey picture of" in caplog.text
    assert "scan.pdf!/page-0001" in caplog.text
