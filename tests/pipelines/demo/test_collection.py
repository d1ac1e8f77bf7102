"""The drawn samples: what they are, that a seed names them, and how a cleaned collection is set
against the truth.
"""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demoire.errors import ImageError, UsageError
from demoire.imaging.images import decode
from pipelines.demo.collection import Collection, draw_collection
from pipelines.demo.comparison import compare_with_truth, read_pictures
from tests.pipelines.conftest import read_tar, tree

PICTURES = (".jpg", ".png", ".tif", ".webp", ".bmp")
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WEBP", ".bmp": "BMP"}


PICTURES_EACH = 2  # instead of sixteen: half a minute less


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return draw_collection(tmp_path_factory.mktemp("small"), seed=3, pictures_each=PICTURES_EACH)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return draw_collection(tmp_path_factory.mktemp("whole"), seed=1)


def members(collection: Collection) -> dict[str, dict[str, bytes]]:
    """Every file of the collection: container -> name -> content."""
    root = collection.folder
    with zipfile.ZipFile(root / "scans.zip") as archive:
        scans = {name: archive.read(name) for name in archive.namelist()}
    boxes = {name: read_tar(root / name) for name in ("box-1.tar", "box-2.tar")}
    return {**boxes, "scans.zip": scans, "loose": tree(root / "loose")}


@pytest.mark.slow
def test_the_collection_is_what_a_cellar_holds(whole: Collection) -> None:
    found = members(whole)
    assert sorted(path.name for path in whole.folder.iterdir()) == sorted(found)
    broken = {
        ("box-1.tar", "1900s/torn.jpg"): "truncated",
        ("box-2.tar", "1900s/letter.jpg"): "not_an_image",
    }
    pictures = {}
    for box, files in found.items():
        for name, data in files.items():
            if name.endswith(PICTURES):
                pictures[box, name] = data
    assert (len(pictures), whole.images, whole.with_moire) == (66, 66, 32)
    for (box, name), data in pictures.items():
        if (box, name) in broken:
            with pytest.raises(ImageError) as caught:
                decode(data)
            assert caught.value.reason == broken[box, name]
            continue
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == FORMATS[Path(name).suffix]
            assert "dpi" in image.info or image.format == "WEBP"
    assert {Path(name).suffix for _, name in pictures} == set(PICTURES)
    for files in found.values():
        assert {"README.txt", "catalogue.xml"} <= set(files)
    comparisons = compare_with_truth(whole, whole.folder)
    assert {one.kind for one in comparisons} == {"screen", "halftone", "texture"}


@pytest.mark.slow
def test_the_type_of_a_printed_page_is_solid(whole: Collection) -> None:
    twins = [twin for twin in whole.twins() if twin.kind == "halftone"]
    pages = [twin for twin in twins if "page" in twin.member]
    assert 0 < len(pages) < len(twins)
    for page in pages:
        pictures = read_pictures(whole, whole.folder, page)
        lightness = pictures.clean.mean(axis=2)
        change = np.abs(pictures.before.astype(float) - pictures.clean).mean(axis=2)
        is_type = lightness < np.quantile(lightness, 0.01)
        assert change[is_type].mean() < 0.7 * change.mean(), page.member


def test_every_byte_depends_on_the_seed_alone(small: Collection, tmp_path: Path) -> None:
    again = draw_collection(tmp_path / "again", seed=3, pictures_each=PICTURES_EACH)

    assert tree(again.folder) == tree(small.folder)
    assert tree(again.truth) == tree(small.truth)
    for path in (small.folder / "loose").rglob("*.*"):
        twin = again.folder / path.relative_to(small.folder)
        assert twin.stat().st_mtime_ns == path.stat().st_mtime_ns, (
            "of loose files too: it is part of their version"
        )


def test_another_seed_draws_other_pictures(small: Collection, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []

    other = draw_collection(
        tmp_path / "other",
        seed=4,
        pictures_each=PICTURES_EACH,
        progress=lambda what, done, total: told.append((done, total)),
    )

    assert told == [(done, 18) for done in range(1, 19)]
    assert (other.images, other.with_moire) == (small.images, small.with_moire)
    assert not set(tree(other.truth).values()) & set(tree(small.truth).values())


def test_tar_entries_keep_their_date_and_mode(small: Collection) -> None:
    with tarfile.open(small.folder / "box-1.tar") as archive:
        entries = archive.getmembers()
    assert entries[0].name == "README.txt"
    assert {(entry.mtime, entry.mode) for entry in entries} == {(1_136_073_600, 0o640)}


def test_half_of_the_pictures_have_moire_and_each_of_these_a_twin_of_its_size(
    small: Collection,
) -> None:
    found = members(small)
    comparisons = compare_with_truth(small, small.folder)

    assert (small.images, small.with_moire, len(comparisons)) == (10, 4, 4)
    for comparison in comparisons:
        assert comparison.twin.member in found[comparison.twin.source]
        assert comparison.psnr_before < 40, "the pattern is plain to see"
        assert comparison.psnr_after == comparison.psnr_before, "nothing was cleaned"


def test_a_picture_that_became_its_twin_is_seen_to_have_gained(
    small: Collection, tmp_path: Path
) -> None:
    cleaned = tmp_path / "cleaned"
    shutil.copytree(small.folder, cleaned)
    (chosen,) = (
        one for one in compare_with_truth(small, small.folder) if one.twin.source == "loose"
    )
    loose = small.truth / chosen.twin.clean
    with Image.open(loose) as twin:
        pixels = np.asarray(twin)
    off_by_one = np.where(pixels < 255, pixels + 1, pixels - 1).astype(np.uint8)
    Image.fromarray(off_by_one).save(cleaned / "loose" / chosen.twin.member, "PNG")

    (after,) = (one for one in compare_with_truth(small, cleaned) if one.twin.source == "loose")

    assert after.psnr_before == chosen.psnr_before
    assert after.psnr_after == pytest.approx(48.13, abs=0.01), "one level in 255, in dB"


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
    told: list[float] = []
    before = {path: path.stat().st_mtime_ns for path in small.folder.rglob("*")}

    again = draw_collection(
        small.folder.parents[1], seed=3, progress=lambda what, done, total: told.append(done)
    )

    assert again == small
    assert not told
    assert {path: path.stat().st_mtime_ns for path in small.folder.rglob("*")} == before


def test_what_an_interrupted_drawing_left_is_drawn_anew(small: Collection, tmp_path: Path) -> None:
    (tmp_path / "drawing" / "collection").mkdir(parents=True)
    (tmp_path / "drawing" / "collection" / "half.tar").write_bytes(b"half")

    collection = draw_collection(tmp_path, seed=3, pictures_each=PICTURES_EACH)

    assert tree(collection.folder) == tree(small.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_a_folder_that_holds_something_else_is_left_alone(
    small: Collection, tmp_path: Path
) -> None:
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
