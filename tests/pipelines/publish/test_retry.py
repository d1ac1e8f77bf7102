"""Taking what a retry made into mirrors and reports that are there."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import DemoireError
from pipelines.publish.publish import publish_source
from tests.pipelines.conftest import draw, read_tar
from tests.pipelines.publish.job import cleaned_job, rows_of, tried_again


def test_a_retry_replaces_rows_and_previews_and_nothing_else(
    box: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    small = Cleaner(replace(tiny_config, max_megapixels=0.001))  # lets nothing in
    job = cleaned_job(box, tmp_path / "out", small)
    job.publish_all()
    before = rows_of(job, "a.tar")
    assert Counter(row["reason"] for row in before.values())["too_large"] == 4
    cleaner = Cleaner(tiny_config)
    again = tried_again(job, "a.tar", ["img_000.jpg", "img_001.jpg"], cleaner)
    for _ in range(2):  # the second time as after a death
        marker = again.publish(again.planned("a.tar"))
        assert (marker.cleaned, marker.copied, marker.quarantined) == (1, 1, 4)
        assert marker.generation == 1
        after = rows_of(job, "a.tar")
        assert list(after) == list(before)
        assert [name for name in after if after[name] != before[name]] == [
            "img_000.jpg",
            "img_001.jpg",
        ]
        mirrored = read_tar(tmp_path / "out" / "a.tar")
        assert mirrored == {
            **read_tar(box / "a.tar"),
            "img_000.jpg": cleaner.clean(draw(True, 0)).data,
        }
    assert job.prove().cleaned == 1


def test_a_retry_of_what_was_never_published_is_refused(
    box: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    job = cleaned_job(box / "a.tar", tmp_path / "out", cleaner)
    with pytest.raises(DemoireError, match="a.tar is not published yet"):
        retried = replace(job.plan.scope, generation=1)
        publish_source(job.destination, job.plan.sources[0], job.units, retried)
