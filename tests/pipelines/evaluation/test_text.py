"""How text is read before and after cleaning, by the real tesseract."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from demoire.errors import UsageError
from pipelines.evaluation.tesseract import as_plain_text
from pipelines.evaluation.text import evaluate_text
from tests.pipelines.evaluation.conftest import MakeCleaner, write

needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="tesseract is not installed"
)
READINGS = 2  # as few as there may be: tesseract takes its time
TEXT = "The quick brown fox jumps over the lazy dog"


def _page(*lines: str) -> np.ndarray:
    """A white page with these lines in black."""
    page = np.full((60 + 60 * len(lines), 900, 3), 235, np.uint8)
    for number, line in enumerate(lines):
        position = (20, 60 + 60 * number)
        cv2.putText(page, line, position, cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 20), 2)
    return page


@needs_tesseract
def test_a_page_whose_text_is_spoilt_is_read_worse(
    tmp_path: Path, make_cleaner: MakeCleaner
) -> None:
    whole = _page(TEXT, "and the dog sleeps on")
    half = _page(TEXT)
    half = cv2.copyMakeBorder(half, 0, 60, 0, 0, cv2.BORDER_REPLICATE)
    write(tmp_path / "same_clean.png", whole)
    write(tmp_path / "same_moire.png", whole)
    write(tmp_path / "spoilt_clean.png", whole)
    write(tmp_path / "spoilt_moire.png", half)
    write(tmp_path / "white_clean.png", np.full((200, 300, 3), 250, np.uint8))
    write(tmp_path / "white_moire.png", np.full((200, 300, 3), 250, np.uint8))
    evaluation = evaluate_text(tmp_path, make_cleaner("never"), "eng", READINGS)
    same, spoilt = evaluation.pages
    assert (same.name, same.characters, same.errors.before[0]) == ("same", 65, 0.0)
    assert spoilt.errors.before[0] == pytest.approx(22 / 65), "a line and the space before it"
    assert (same.status, spoilt.errors.after) == ("copied", spoilt.errors.before)
    assert evaluation.without_text == ("white",)
    assert (evaluation.no_worse, evaluation.error_after) == (1.0, spoilt.errors.before[0] / 2)
    assert evaluation.not_surely_worse == 1.0


@needs_tesseract
def test_the_text_that_lies_beside_a_page_is_the_truth(
    tmp_path: Path, make_cleaner: MakeCleaner
) -> None:
    for role in ("clean", "moire"):
        write(tmp_path / f"a_{role}.png", _page(TEXT))
    (tmp_path / "a_text.txt").write_text(TEXT.replace("quick", "slow") + "\n")
    cleaner = make_cleaner("always", gate="off")
    (page,) = evaluate_text(tmp_path, cleaner, "eng", READINGS).pages
    assert (page.status, page.characters) == ("cleaned", len(TEXT) - 1)
    assert page.errors.before[0] == page.errors.after[0] == pytest.approx(5 / 42)
    assert len(page.errors.before) == len(page.errors.after) == READINGS


def test_letters_that_look_alike_are_the_same_letter() -> None:
    assert as_plain_text("\u00b5\u03b9\u03b1  \ufb01n\n") == "\u03bc\u03b9\u03b1 fin"


@needs_tesseract
def test_a_language_that_is_not_there_is_named(tmp_path: Path, make_cleaner: MakeCleaner) -> None:
    with pytest.raises(UsageError, match=r"no language 'tlh', only .*eng"):
        evaluate_text(tmp_path, make_cleaner("never"), "eng+tlh", READINGS)


@needs_tesseract
@pytest.mark.parametrize(
    ("name", "says"),
    [("a_only_clean.png", "holds no pairs"), ("a_{role}.png", "No text can be read")],
)
def test_a_folder_without_pages_is_one_sentence(
    tmp_path: Path, make_cleaner: MakeCleaner, name: str, says: str
) -> None:
    for role in ("clean", "moire"):
        write(tmp_path / name.format(role=role), np.full((200, 300, 3), 250, np.uint8))
    with pytest.raises(UsageError, match=says):
        evaluate_text(tmp_path, make_cleaner("never"), "eng", READINGS)


def test_without_tesseract_the_command_says_what_to_install(
    tmp_path: Path, make_cleaner: MakeCleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"not installed \(Debian: tesseract-ocr\)"):
        evaluate_text(tmp_path, make_cleaner("never"), "eng", READINGS)
