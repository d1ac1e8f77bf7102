"""Whole runs over one of each container, and over what is wrong with them."""

import bz2
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pikepdf
import pytest
import tifffile
from backports import zstd
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.job import CleanJob
from pipelines.run import run_job
from tests.demoire.imaging.pdf.drawn_pdf import add_page, jpeg_picture_of, problems_of, rendered
from tests.pipelines.conftest import SIDE, half_moire, tree, write_tar, write_zip
from tests.pipelines.job_box import outcomes
from tests.pipelines.publish.job import cleaned_job
from tests.pipelines.sources.formats.streams import COMPRESS, DECOMPRESS

pytestmark = pytest.mark.slow

NOTES = {"notes.txt": b"notes " * 200}
PICTURES = half_moire(4)
STRIPED = ("img_000.jpg", "img_002.jpg")


def tar_of(folder: Path, members: dict[str, bytes]) -> bytes:
    return write_tar(folder / "made.tar", members).read_bytes()


def zip_of(folder: Path, members: dict[str, bytes]) -> bytes:
    return write_zip(folder / "made.zip", members).read_bytes()


def tar_facts(data: bytes) -> list[tuple[dict[str, object], bytes]]:
    """All that tells of each member but its size and checksum, and its content."""
    facts = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            told = {**info.get_info(), "pax": info.pax_headers}
            del told["size"], told["chksum"]
            facts.append((told, archive.extractfile(info).read()))  # type: ignore[union-attr]
    return facts


def zip_contents(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def run(box: Path, config: CleanerConfig, dst: Path) -> Path:
    run_job(CleanJob(str(box), str(dst), config, workers=1))
    return dst


def assert_striped_ones_changed(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    assert list(after) == list(before)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == set(STRIPED)


def test_one_of_each_container_is_cleaned_and_all_else_in_it_is_kept(
    tmp_path: Path, tiny_config: CleanerConfig, local_ray: None
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    members = {**NOTES, **PICTURES}
    tar, zipped = tar_of(tmp_path, members), zip_of(tmp_path, members)
    for kind, compress in COMPRESS.items():
        (box / f"a.{kind}").write_bytes(compress(tar))
    (box / "b.cbt").write_bytes(tar)
    (box / "c.cbz").write_bytes(zipped)
    (box / "d.epub").write_bytes(zipped)
    (box / "e.tar").write_bytes(tar_of(tmp_path, {"in.zip": zipped, "z.txt": b"z"}))
    (box / "f.zip").write_bytes(zip_of(tmp_path, {"in.tar": tar, "z.txt": b"z"}))
    (box / "g").mkdir()
    with tifffile.TiffWriter(box / "g" / "g.tif") as writer:
        for picture in PICTURES.values():
            writer.write(np.asarray(Image.open(io.BytesIO(picture))), metadata=None)
    with pikepdf.new() as pdf:
        for data in PICTURES.values():
            add_page(pdf, jpeg_picture_of(pdf, data, side=SIDE))
        pdf.save(box / "g" / "h.pdf")
    mirror = tree(run(box, tiny_config, tmp_path / "out"))
    assert mirror.keys() == tree(box).keys()

    tars = {f"a.{kind}": DECOMPRESS[kind](mirror[f"a.{kind}"]) for kind in COMPRESS}
    tars["b.cbt"] = mirror["b.cbt"]
    tars["in.tar"] = dict(zip_contents(mirror["f.zip"]))["in.tar"]
    for data in tars.values():
        facts = tar_facts(data)
        assert [told for told, _ in facts] == [told for told, _ in tar_facts(tar)]
        contents = {str(told["name"]): content for told, content in facts}
        assert_striped_ones_changed(members, contents)
    zips = [mirror["c.cbz"], mirror["d.epub"], tar_facts(mirror["e.tar"])[0][1]]
    for data in zips:
        assert_striped_ones_changed(members, dict(zip_contents(data)))

    with (
        tifffile.TiffFile(box / "g/g.tif") as old,
        tifffile.TiffFile(tmp_path / "out/g/g.tif") as new,
    ):
        for number in range(len(PICTURES)):
            is_same = np.array_equal(old.pages[number].asarray(), new.pages[number].asarray())
            assert is_same == (number % 2 == 1)

    assert problems_of(tmp_path / "out/g/h.pdf") == []
    rendered_before = rendered(box / "g/h.pdf")
    rendered_after = rendered(tmp_path / "out/g/h.pdf")
    for number, before in enumerate(rendered_before):
        assert np.array_equal(before, rendered_after[number]) == (number % 2 == 1)

    told = outcomes(tmp_path / "out")
    assert told["g/h.pdf!/page-0003"] == ("cleaned", None)
    assert told["g/g.tif!/page-0001"] == ("cleaned", None)
    assert len(told) == len(PICTURES) * len(tree(box))
    assert told["e.tar/in.zip!/img_000.jpg"] == ("cleaned", None)
    assert told["f.zip/in.tar!/img_002.jpg"] == ("cleaned", None)


def test_whatever_is_wrong_has_a_row_with_a_reason_and_goes_through_as_it_is(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    tar = tar_of(tmp_path, {f"{number}.bin": os.urandom(9000) for number in range(20)})
    for kind, compress in COMPRESS.items():
        packed = compress(tar)
        (box / f"cut.{kind}").write_bytes(packed[: len(packed) // 2])
    (box / "behind.tar.zst").write_bytes(zstd.compress(tar) + b"what is this")
    samples = [b"%d moire %d" % (number, number * number) for number in range(500)]
    dictionary = zstd.train_dict(samples, 2000)
    (box / "dictionary.tar.zst").write_bytes(zstd.compress(tar, zstd_dict=dictionary))
    (box / "names.tar.xz").write_bytes(bz2.compress(tar))
    (box / "names.cbz").write_bytes(lzma.compress(tar))
    (box / "names.epub").write_bytes(b"Rar!\x1a\x07\x01\x00" + os.urandom(500))
    bad = dict.fromkeys((path.name for path in box.iterdir()), ("quarantined", "unreadable"))
    write_tar(box / "good.tar", PICTURES)
    job = cleaned_job(box, tmp_path / "out", Cleaner(tiny_config))
    job.publish_all()
    mirror = tree(job.dst)
    for name in bad:
        assert mirror[name] == (box / name).read_bytes()
    told = outcomes(job.dst)
    assert {name: told[f"{name}/"] for name in bad} == bad
    assert [told[f"good.tar/{name}"] for name in STRIPED] == [("cleaned", None)] * 2
