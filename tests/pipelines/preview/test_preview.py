"""What a preview says is what cleaning would do, and nothing is written but the page."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import UsageError
from pipelines.preview.figures import PreviewFigures, preview_figures
from pipelines.preview.page import preview_page, write_preview
from pipelines.preview.preview import preview
from tests.pipelines.conftest import read_tar, tree


def test_each_image_comes_out_as_the_cleaner_would_have_it(
    figures: PreviewFigures, archive: Path, tiny_config: CleanerConfig
) -> None:
    cleaner = Cleaner(tiny_config)
    members = read_tar(archive / "box.tar")

    assert [look.member for look in figures.looks.images] == list(members)
    for look in figures.looks.images:
        cleaned = cleaner.clean(members[look.member])
        assert (look.status, look.reason) == (cleaned.status, cleaned.reason)
        assert look.score == pytest.approx(cleaned.moire_before)
        assert look.source == "box.tar"


def test_the_counts_are_those_of_the_sample(figures: PreviewFigures) -> None:
    assert figures.seen == figures.sample.all_images == 12
    assert figures.changed.count == 6
    assert figures.copied.count == 5
    assert figures.quarantined.count == 1
    assert sum(part.count for part in figures.kinds) == 6
    assert [(part.name, part.count) for part in figures.reasons] == [("truncated", 1)]


def test_a_share_of_the_sample_has_bounds_for_all(figures: PreviewFigures) -> None:
    larger = replace(figures.sample, all_images=40)
    changed = preview_figures(larger, figures.looks).changed

    assert changed.share == 0.5
    # Wilson's interval for 6 of 12.
    assert changed.lowest_share == pytest.approx(0.254, abs=0.001)
    assert changed.highest_share == pytest.approx(0.746, abs=0.001)


def test_where_every_image_was_looked_at_nothing_is_estimated(
    figures: PreviewFigures, page: Path
) -> None:
    changed = figures.changed

    assert changed.lowest_share == changed.highest_share == 0.5
    assert "of all (95 %)" not in page.read_text()
    assert "All 12 images went through the cleaner" in page.read_text()


def test_images_just_below_the_threshold_are_restored_for_the_page_alone(
    archive: Path, tiny_config: CleanerConfig
) -> None:
    """With a threshold above all scores nothing would be changed, and all of it is in doubt."""
    figures = preview(str(archive), replace(tiny_config, threshold=1.0), 200)

    assert figures.changed.count == 0
    restored = [look for look in figures.looks.images if look.crops is not None]
    assert len(restored) >= 6
    assert {look.status for look in restored} == {"copied"}


def test_what_was_taken_away_is_the_difference_four_times_as_strong(
    figures: PreviewFigures,
) -> None:
    crops = next(look.crops for look in figures.looks.images if look.crops is not None)

    before, after, taken_away = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
        for data in (crops.before, crops.after, crops.taken_away)
    )

    assert before.shape == (264, 264, 3)
    expected = np.clip(128 + 4 * (before - after), 0, 255)
    assert np.abs(expected - 128).mean() > 60
    # JPEG blurs all three pictures a little.
    assert np.abs(taken_away - expected).mean() < 12


def test_with_the_gate_off_every_image_that_can_be_read_would_be_changed(
    archive: Path, tiny_config: CleanerConfig
) -> None:
    figures = preview(str(archive), replace(tiny_config, gate="off"), 200)

    assert (figures.changed.count, figures.quarantined.count) == (11, 1)


def test_the_threshold_decides_nothing_about_what_is_copied_for_a_reason(
    figures: PreviewFigures,
) -> None:
    """However high its score is, which is in the histogram with all others."""
    images = list(figures.looks.images)
    number = next(number for number, look in enumerate(images) if look.is_changed)
    images[number] = replace(images[number], status="copied", reason="no_gain", crops=None)
    looks = replace(figures.looks, images=tuple(images))
    page = preview_page(preview_figures(figures.sample, looks), "SRC", "command").decode()
    told = re.search(r'data-scores="(.*?)"', page)
    assert told is not None
    reached = [score for score in json.loads(told[1]) if score >= looks.threshold]
    assert len(reached) == figures.changed.count - 1
    assert '<b id="would-change">5</b>' in page


def test_nothing_is_written_beside_the_archive(
    archive: Path, figures: PreviewFigures, page: Path
) -> None:
    assert list(tree(archive, bookkeeping=True)) == ["box.tar"]
    assert [path.name for path in page.parent.iterdir()] == ["preview.html"]


def test_progress_goes_over_archives_and_then_over_images(
    archive: Path, tiny_config: CleanerConfig
) -> None:
    told: list[tuple[str, float, float]] = []

    all_in_doubt = replace(tiny_config, threshold=1.0)
    preview(str(archive), all_in_doubt, 4, lambda *call: told.append(call))

    assert told[0] == ("looking into archives", 1, 1)
    assert told[1:5] == [("cleaning the sample", done, 4) for done in range(1, 5)]
    doubtful = len(told) - 5
    assert doubtful > 0
    assert told[5:] == [
        ("restoring those below the threshold", done, doubtful) for done in range(1, doubtful + 1)
    ]


class TestThePage:
    def test_it_is_one_file_that_fetches_nothing(self, page: Path) -> None:
        text = page.read_text()

        assert not re.search(r"(src|href)=\"(?!data:)", text)
        assert "http" not in text.replace("http-equiv", "")
        assert "default-src 'none'" in text

    def test_its_policy_allows_its_own_script_alone(self, page: Path) -> None:
        text = page.read_text()
        script = text.partition("<script>")[2].partition("</script>")[0]

        allowed = re.search(r"script-src 'sha256-([^']+)'", text)
        assert allowed is not None
        digest = hashlib.sha256(script.encode()).digest()
        assert base64.b64decode(allowed[1]) == digest
        assert text.count("<script") == 1

    def test_it_has_the_command_to_run(self, page: Path) -> None:
        assert "demoire clean &#39;/archive/of 1890&#39; DST</code>" in page.read_text()

    def test_it_says_of_each_reason_what_it_means_and_what_to_do(self, page: Path) -> None:
        text = page.read_text()

        assert "<b>truncated</b>, 1 image: the file ends before its picture does" in text
        assert "What to do: fetch it again." in text

    def test_a_page_that_cannot_be_written_is_one_sentence(
        self, figures: PreviewFigures, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("in the way")

        with pytest.raises(UsageError, match="cannot be written .*: choose another file"):
            write_preview(figures, "SRC", "demoire clean", tmp_path / "file/preview.html")
