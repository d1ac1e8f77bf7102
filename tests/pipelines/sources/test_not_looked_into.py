"""What looks like work and gets no row is counted, by kind and at a bounded cost."""

from pathlib import Path

import pytest

from pipelines.sources.formats.folder import folder_of
from pipelines.sources.index import index
from pipelines.sources.not_looked_into import count_not_looked_into
from tests.pipelines.sources.archives import JPEG, PNG, tar_of, the_only_source, zip_of

FILES = {
    "IMG_0001": PNG,
    "IMG_0002.": JPEG,
    "README": b"read me",
    "empty": b"",
    "comic.cbr": b"Rar!",
    "box.7z": b"7z",
    "roll.CRW": b"II",
    "notes.txt": b"notes",
    "a.jpg": JPEG,
}
IN_AN_ARCHIVE = {
    "files packed as .7z": 1,
    "files packed as .cbr": 1,
    "image without a suffix": 1,
    "unknown raw file": 1,
}


def counted(path: Path) -> dict[str, int]:
    source = the_only_source(path)
    return dict(count_not_looked_into(source, index(source).members))


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_each_kind_in_an_archive_is_counted(make: object, tmp_path: Path) -> None:
    path = tmp_path / ("a.tar" if make is tar_of else "a.zip")
    path.write_bytes(make(list(FILES.items())))  # type: ignore[operator]
    counts = counted(path)
    assert {kind: counts[kind] for kind in IN_AN_ARCHIVE} == IN_AN_ARCHIVE


def test_an_archive_in_a_folder_is_a_source_and_not_counted(tmp_path: Path) -> None:
    for name in ("IMG_0001", "README", "box.7z"):
        (tmp_path / name).write_bytes(FILES[name])
    assert counted(tmp_path) == {"files packed as .7z": 1, "image without a suffix": 1}


def test_of_many_names_without_a_suffix_few_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        (tmp_path / f"IMG_{number:03}").write_bytes(PNG)
    source = the_only_source(tmp_path)
    place = type(folder_of(source)[0])
    lengths = []
    read = place.read

    def counting(
        self: object, path: str, offset: int = 0, length: int = -1, **options: str
    ) -> bytes:
        lengths.append(length)
        return read(self, path, offset, length, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(place, "read", counting)
    counts = count_not_looked_into(source, index(source).members)
    assert len(lengths) <= 32 and max(lengths) <= 64
    assert counts["image without a suffix"] == len(lengths)
    assert counts.total() == 100
