"""The hostile input itself: the same by the same seed, of all kinds, and meant as it says; and a
first bite of it.
"""

import hashlib
import os
import struct
import zlib
from pathlib import Path

import pytest

from demoire.errors import ImageError
from demoire.imaging.formats import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES
from demoire.imaging.guard import decode_guarded
from demoire.imaging.images import open_image, probe
from tests.chaos.mutated_images import MUTATIONS, mutated_images
from tests.chaos.mutations.register import SIZES
from tests.chaos.parents import good_pictures
from tests.chaos.traps.hostile import hostile_archives

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return hostile_archives(tmp_path_factory.mktemp("hostile") / "box", seed=1)


def test_the_same_seed_gives_the_same_files_however_many() -> None:
    some = list(mutated_images(200, seed=5))
    assert some == list(mutated_images(400, seed=5))[:200]
    assert [data for *_, data in some] != [data for *_, data in mutated_images(200, seed=6)]


def test_all_kinds_occur_under_names_of_their_own() -> None:
    files = list(mutated_images(400, seed=1))
    assert {kind for _, kind, _ in files} == set(MUTATIONS)
    assert len({name for name, *_ in files}) == len(files)
    assert all(
        Path(name).suffix.lower() in IMAGE_SUFFIXES | UNSUPPORTED_SUFFIXES for name, *_ in files
    )


def test_files_from_elsewhere_are_mutated_too(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "An odd one.xyz").write_bytes(good_pictures(1)["good-0.jpg"])
    (tmp_path / "nothing.jpg").write_bytes(b"")
    for number, (_, _, data) in enumerate(mutated_images(60, seed=2)):  # broken ones, too
        (tmp_path / f"{number}.png").write_bytes(data)
    names = [name for name, *_ in mutated_images(1000, seed=1, extra_parents=tmp_path)]
    assert any(name.endswith("An-odd-one.jpg") for name in names)


def test_sizes_in_png_headers_are_forged_with_a_right_checksum() -> None:
    forged = [data for _, kind, data in mutated_images(800, seed=1) if kind == "png_sizes"]
    assert len(forged) > 5
    for data in forged:
        assert struct.unpack_from(">2I", data, 16) in SIZES
        assert struct.unpack_from(">I", data, 29)[0] == zlib.crc32(data[12:29])


def test_a_bomb_is_small_and_seldom() -> None:
    bombs = [data for _, kind, data in mutated_images(3000, seed=1) if kind == "png_bomb"]
    assert 1 <= len(bombs) <= 2
    for data in bombs:
        width, height = struct.unpack_from(">2I", data, 16)
        assert width * height >= 100_000_000 and len(data) < 500_000


def test_the_same_seed_gives_the_same_archives(archives: dict[str, Path], tmp_path: Path) -> None:
    again = hostile_archives(tmp_path / "again", seed=1)
    assert again.keys() == archives.keys()
    digests = [
        {
            kind: hashlib.sha256(path.read_bytes()).digest()
            for kind, path in made.items()
            if path.is_file()
        }
        for made in (archives, again)
    ]
    assert digests[0] == digests[1]


def test_there_are_archives_of_every_kind_and_folders(archives: dict[str, Path]) -> None:
    assert all(os.path.lexists(path) for path in archives.values())
    beginnings = ("tar-", "tar.gz-", "zip-", "no-archive-", "folder-")
    counts = {start: sum(kind.startswith(start) for kind in archives) for start in beginnings}
    assert sum(counts.values()) == len(archives) == len(set(archives.values()))
    assert all(count >= 8 for count in counts.values()), counts


def decode_as_the_pipeline_does(data: bytes) -> None:
    decode_guarded(open_image(data))


def test_nothing_but_image_errors_comes_of_hostile_images() -> None:
    """An exception in the child that decodes would come as native_crash."""
    for name, _, data in mutated_images(300, seed=3):
        for read in (probe, decode_as_the_pipeline_does):
            try:
                read(data)
            except ImageError as error:
                assert error.reason != "native_crash", name
            except Exception as error:
                pytest.fail(f"{name}: {error!r} is no ImageError")
