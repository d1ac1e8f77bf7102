"""The page of an evaluation: all figures are on it, and names from strangers stay names."""

import shutil
from pathlib import Path

import pytest

from demoire.errors import UsageError
from pipelines.evaluation.evaluate import evaluate_pairs
from pipelines.evaluation.page import evaluate_page
from tests.pipelines.evaluation.conftest import MakeCleaner, Ranked


@pytest.fixture
def page(pairs: Path, tmp_path: Path, make_cleaner: MakeCleaner) -> str:
    """The page over four pairs, one of them with a hostile name."""
    for role in ("moire", "clean"):
        shutil.copy(pairs / f"b_{role}.png", pairs / f"<b onclick=x>_{role}.png")
    (pairs / "labels.csv").write_text("name,kind,strength\na,screen,7.99\n")
    cleaner = make_cleaner("always", gate="off")
    evaluation = evaluate_pairs(pairs, cleaner)
    evaluate_page(evaluation, pairs, tmp_path / "out/page.html", cleaner)
    return (tmp_path / "out/page.html").read_text()


def test_it_shows_every_pair_with_its_rival_and_its_truth(page: str) -> None:
    assert page.count("<figure") == 4
    assert page.count("data:image/jpeg;base64,") == 4 * 4
    assert page.count("<span>after 100.0 dB</span>") == 4
    assert page.count("<span>truth</span>") == 4


def test_names_are_text_and_nothing_is_fetched(page: str) -> None:
    assert "<b onclick" not in page and "&lt;b onclick=x&gt;" in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "<script" not in page


def test_it_has_a_roc_curve_a_reliability_diagram_and_a_confusion_table(page: str) -> None:
    assert page.count("<polyline") == 2
    assert "ROC curve" in page and "Reliability diagram" in page and "Confusion by kind" in page


def test_it_says_how_much_was_found_of_which_strength(page: str) -> None:
    table = page.partition("Found, by strength")[2].partition("</table>")[0]
    assert "<td>4</td><td>1</td><td>1</td>" in table


def test_it_shows_the_colour_difference_of_every_pair(page: str) -> None:
    assert page.count("CIEDE2000") == 4 + 1


def test_it_has_a_row_of_means_for_each_kind_and_one_for_all(page: str) -> None:
    table = page.partition("The restorer")[2].partition("</table>")[0]
    assert "<td>screen</td><td>1</td>" in table
    assert "<td>all</td><td>4</td>" in table


def test_detector_only_folders_have_a_page_too(ranked: Ranked, tmp_path: Path) -> None:
    ranked.label_as_moire()
    evaluation = evaluate_pairs(ranked.folder, ranked.cleaner)

    evaluate_page(evaluation, ranked.folder, tmp_path / "page.html", ranked.cleaner)

    assert "all images are of one class" in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_is_one_sentence(ranked: Ranked, tmp_path: Path) -> None:
    ranked.label_as_moire(4, 5, 6, 7)
    (tmp_path / "file").write_text("")
    evaluation = evaluate_pairs(ranked.folder, ranked.cleaner)

    with pytest.raises(UsageError, match="page.html cannot be written .*: choose another file"):
        evaluate_page(evaluation, ranked.folder, tmp_path / "file/page.html", ranked.cleaner)
