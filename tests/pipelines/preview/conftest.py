"""An archive of which half would be cleaned, and what a preview says of it."""

from pathlib import Path

import pytest

from demoire.cleaning.config import CleanerConfig
from pipelines.preview.figures import PreviewFigures
from pipelines.preview.page import write_preview
from pipelines.preview.preview import preview
from tests.pipelines.conftest import draw, write_tar

HOSTILE = "<img src=x onerror=\"document.title='pwned'\"></script><script>alert(1)</script>.jpg"


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tar: five striped pictures, five plain ones, one that was cut short."""
    members = {}
    for number in range(10):
        members[f"img_{number:03}.jpg"] = draw(number % 2 == 0, number, side=300)
    members[HOSTILE] = members["img_000.jpg"]
    members["torn.jpg"] = members["img_001.jpg"][:2000]
    folder = tmp_path_factory.mktemp("archive")
    write_tar(folder / "box.tar", members)
    return folder


@pytest.fixture(scope="session")
def figures(archive: Path, tiny_config: CleanerConfig) -> PreviewFigures:
    return preview(str(archive), tiny_config, 200)


@pytest.fixture(scope="session")
def page(figures: PreviewFigures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "preview.html"
    write_preview(figures, "/archive/of 1890", "demoire clean '/archive/of 1890' DST", out)
    return out
