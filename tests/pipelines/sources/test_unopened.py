"""Which files are packed in a way that nothing opens."""

import pytest

from pipelines.sources.members import archive_kind
from pipelines.sources.unopened import unopened_suffix


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a/B.RAR", ".rar"),
        ("comic.cbr", ".cbr"),
        ("box.7z", ".7z"),
        ("box.tar.lz4", ".tar.lz4"),
        ("box.tar.Z", ".tar.z"),
        ("letter.docx", ".docx"),
        ("box.tar.zst", None),
        ("comic.cbz", None),
        ("notes.txt", None),
        ("rar", None),
        ("._box.rar", None),
        ("__MACOSX/box.rar", None),
    ],
)
def test_what_is_packed_otherwise_is_known_by_its_name(name: str, suffix: str | None) -> None:
    assert unopened_suffix(name) == suffix


def test_nothing_is_both_opened_and_unopened() -> None:
    for name in ("a.zipx", "a.tar.lzma", "a.tlz", "a.taz", "a.cba"):
        assert unopened_suffix(name) is not None
        assert archive_kind(name) is None
