"""Which images of a unit are read: those that are no larger than a picture can be."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging import limits
from pipelines.clean.reading import read_for_cleaning
from pipelines.sources.index import index
from tests.pipelines.sources.archives import Content, picture, tar_of, the_only_source, zip_of

SMALL = picture(40, 30, "BMP")
LARGE = SMALL + bytes(range(256)) * 400  # of as many pixels, and 100 KB of something else
CONTENT: Content = [("a.bmp", SMALL), ("b.bmp", LARGE)]


@pytest.fixture(autouse=True)
def nothing_beside_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may be of 8 bytes a pixel, and no more."""
    monkeypatch.setattr(limits, "_BYTES_BESIDE_PIXELS", 0)


def folder_of(content: Content, path: Path) -> None:
    path.mkdir()
    for name, data in content:
        (path / name).write_bytes(data)


def outcomes(path: Path, max_megapixels: float) -> dict[str, FileBytes | str]:
    """The images of a source that are read, or why they are not."""
    source = the_only_source(path)
    images = index(source).images
    config = CleanerConfig(max_megapixels=max_megapixels)
    found: dict[str, FileBytes | str] = {}
    for member, data in read_for_cleaning(source, images, config):
        found[member.name] = data.reason.value if isinstance(data, ImageError) else data
    return found


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("box", folder_of),
        ("box.tar", lambda content, path: path.write_bytes(tar_of(content))),
        ("box.tar.gz", lambda content, path: path.write_bytes(gzip.compress(tar_of(content)))),
        ("box.zip", lambda content, path: path.write_bytes(zip_of(content))),
    ],
)
def test_the_largest_file_is_the_largest_picture_uncompressed_wherever_it_is(
    tmp_path: Path, name: str, write: Callable[[Content, Path], None]
) -> None:
    write(CONTENT, tmp_path / name)
    assert outcomes(tmp_path / name, 0.01) == {"a.bmp": SMALL, "b.bmp": "too_large"}
    assert outcomes(tmp_path / name, 0.02) == dict(CONTENT)
