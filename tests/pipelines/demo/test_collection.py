"""The drawn samples: what they are, that a seed names them, and how a cleaned collection is set
against the truth.
"""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demoire.errors import ImageError, UsageError
from demoire.imaging.images import decode
from demoire.measure.likeness import psnr
from pipelines.demo import collection
from pipelines.demo.collection import Collection, compare_with_truth, draw_collection
from tests.pipelines.conftest import read_tar, tree

PICTURES = (".jpg", ".png", ".tif", ".webp", ".bmp")
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WEBP", ".bmp": "BMP"}


@pytest.fixture(scope="module")
def few_pictures() -> Iterator[None]:
    """Two pictures a container instead of sixteen: half a minute less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collection, "_IMAGES_EACH", 2)
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, few_pictures: None) -> Collection:
    return draw_collection(tmp_path_factory.mktemp("small"), seed=3)


def members(collection: Collection) -> dict[str, dict[str, bytes]]:
    """Every file of the collection: container -> name -> content."""
    root = collection.folder
    with zipfile.ZipFile(root / "scans.zip") as archive:
        scans = {name: archive.read(name) for name in archive.namelist()}
    boxes = {name: read_tar(root / name) for name in ("box-1.tar", "box-2.tar")}
    return {**boxes, "scans.zip": scans, "loose": tree(root / "loose")}


@pytest.mark.slow
def test_the_collection_is_what_a_cellar_holds(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    collection = draw_collection(tmp_path, on_progress=lambda done, total: told.append((done, total)))

    found = members(collection)
    assert sorted(path.name for path in collection.folder.iterdir()) == sorted(found)
    pictures = {(box, name): data for box in found for name, data in found[box].items() if name.endswith(PICTURES)}
    broken = {("box-1.tar", "1900s/torn.jpg"): "truncated", ("box-2.tar", "1900s/letter.jpg"): "not_an_image"}
    assert (len(pictures), collection.images, collection.with_moire) == (66, 66, 32)
    for place, data in pictures.items():
        if place in broken:
            with pytest.raises(ImageError) as caught:
                decode(data)
            assert caught.value.reason == broken[place]
            continue
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == FORMATS[Path(place[1]).suffix]
            assert "dpi" in image.info or image.format == "WEBP"
    assert {Path(name).suffix for _, name in pictures} == set(PICTURES)
    for files in found.values():
        assert {"README.txt", "catalogue.xml"} <= set(files)
    assert {comparison.kind for comparison in compare_with_truth(collection, collection.folder)} == {
        *("screen", "halftone", "texture")
    }
    assert told == [(done, 74) for done in range(1, 75)]


def test_every_byte_depends_on_the_seed_alone(small: Collection, few_pictures: None, tmp_path: Path) -> None:
    again = draw_collection(tmp_path / "again", seed=3)

    assert tree(again.folder) == tree(small.folder)
    assert tree(again.truth) == tree(small.truth)
    for path in (small.folder / "loose").rglob("*.*"):
        twin = again.folder / path.relative_to(small.folder)
        assert twin.stat().st_mtime_ns == path.stat().st_mtime_ns, "of loose files too: it is part of their version"


def test_another_seed_draws_other_pictures(small: Collection, few_pictures: None, tmp_path: Path) -> None:
    other = draw_collection(tmp_path / "other", seed=4)

    assert (other.images, other.with_moire) == (small.images, small.with_moire)
    assert not set(tree(other.truth).values()) & set(tree(small.truth).values())


def test_tar_entries_keep_their_date_and_mode(small: Collection) -> None:
    with tarfile.open(small.folder / "box-1.tar") as archive:
        entries = archive.getmembers()
    assert entries[0].name == "README.txt"
    assert {(entry.mtime, entry.mode) for entry in entries} == {(1_136_073_600, 0o640)}


def test_half_of_the_pictures_have_moire_and_each_of_these_a_twin_of_its_size(small: Collection) -> None:
    found = members(small)
    comparisons = compare_with_truth(small, small.folder)

    assert (small.images, small.with_moire, len(comparisons)) == (10, 4, 4)
    for comparison in comparisons:
        assert comparison.member in found[comparison.source]
        assert comparison.psnr_before < 40, "the pattern is plain to see"
        assert comparison.psnr_after == comparison.psnr_before, "nothing was cleaned"


def test_a_picture_that_became_its_twin_is_seen_to_have_gained(small: Collection, tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    shutil.copytree(small.folder, cleaned)
    loose = next(path for path in (small.truth).glob("loose-*.png"))
    chosen = next(c for c in compare_with_truth(small, small.folder) if c.source == "loose")
    with Image.open(loose) as twin:
        pixels = np.asarray(twin)
    off_by_one = np.where(pixels < 255, pixels + 1, pixels - 1).astype(np.uint8)
    Image.fromarray(off_by_one).save(cleaned / "loose" / chosen.member, "PNG")

    (after,) = (c for c in compare_with_truth(small, cleaned) if c.source == "loose")

    assert after.psnr_before == chosen.psnr_before
    assert after.psnr_after == pytest.approx(psnr(off_by_one, pixels)) == pytest.approx(48.13, abs=0.01)


@pytest.mark.parametrize("source", ["loose", "scans.zip", "box-1.tar"])
def test_a_mirror_in_which_a_picture_is_missing_cannot_be_compared(
    small: Collection, tmp_path: Path, source: str
) -> None:
    cleaned = tmp_path / "cleaned"
    shutil.copytree(small.folder, cleaned)
    if source == "loose":
        shutil.rmtree(cleaned / source)
    elif source == "scans.zip":
        zipfile.ZipFile(cleaned / source, "w").close()
    else:
        tarfile.open(cleaned / source, "w").close()

    with pytest.raises(UsageError, match=f"of {source} is not in .*clean the collection first"):
        compare_with_truth(small, cleaned)


def test_a_collection_that_is_there_is_found_and_not_drawn_again(small: Collection) -> None:
    told: list[int] = []
    before = {path: path.stat().st_mtime_ns for path in small.folder.rglob("*")}

    again = draw_collection(small.folder.parents[1], seed=3, on_progress=lambda done, total: told.append(done))

    assert again == small
    assert not told
    assert {path: path.stat().st_mtime_ns for path in small.folder.rglob("*")} == before


def test_what_an_interrupted_drawing_left_is_drawn_anew(small: Collection, few_pictures: None, tmp_path: Path) -> None:
    (tmp_path / "drawing" / "collection").mkdir(parents=True)
    (tmp_path / "drawing" / "collection" / "half.tar").write_bytes(b"half")

    collection = draw_collection(tmp_path, seed=3)

    assert tree(collection.folder) == tree(small.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_a_folder_that_holds_something_else_is_left_alone(small: Collection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="samples of another seed; choose another folder"):
        draw_collection(small.folder.parents[1], seed=99)

    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match="did not draw; choose another folder"):
        draw_collection(tmp_path)
    assert tree(tmp_path) == {"sample/mine.jpg": b"mine"}


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        draw_collection(tmp_path / "file" / "out")
