"""The demo's mirror, as far as it is the same on every machine.

Cleaned pixels are not, and neither are the drawn ones: both depend on the CPU's instruction set. To
compare two commits to the byte, run the demo with each on one machine: see `mirror`.
"""

import json
from pathlib import Path

import pytest

from tests.golden.mirror import COLLECTION, MIRROR, Content, contents
from tests.golden.pinned import assert_pinned

pytestmark = pytest.mark.slow

CONTAINERS = (".tar", ".zip")
LETTER = "box-2.tar!1900s/letter.jpg"  # a text that calls itself a picture
IMAGES = (".jpg", ".png", ".tif", ".webp", ".bmp")


def is_other(content: Content) -> bool:
    """Whether it is a member that nobody takes for a picture."""
    return not content.name.endswith((*CONTAINERS, *IMAGES))


def test_the_mirror_holds_the_names_it_always_held_in_their_order(finished_demo: Path) -> None:
    mirrored = list(contents(finished_demo / MIRROR))
    names = [content.name for content in mirrored]
    untouched = {}
    for content in mirrored:
        if is_other(content) or content.name == LETTER:
            untouched[content.name] = content.digest

    assert names == [content.name for content in contents(finished_demo / COLLECTION)]
    assert_pinned("demo_mirror.json", {"names": names, "untouched": untouched})


def test_only_the_pictures_that_the_summary_calls_cleaned_have_other_bytes(
    finished_demo: Path,
) -> None:
    before = {content.name: content.digest for content in contents(finished_demo / COLLECTION)}
    after = {content.name: content.digest for content in contents(finished_demo / MIRROR)}
    summary_file = finished_demo / MIRROR / "_demoire" / "page" / "summary.json"
    summary = json.loads(summary_file.read_text(encoding="utf-8"))

    changed = [name for name in before if before[name] != after[name]]
    pictures = [name for name in changed if not name.endswith(CONTAINERS)]
    assert len(pictures) == summary["cleaned"] > 0
    assert summary["images"] == summary["cleaned"] + summary["copied"] + summary["quarantined"]
