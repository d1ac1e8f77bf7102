"""Whose an object of the mirror is: nothing is replaced that this program did not write."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from pipelines import layout
from pipelines.destination.claims import MirrorClaims
from pipelines.destination.differences import differences
from pipelines.storage.open import open_place
from pipelines.storage.place import Place
from tests.pipelines.conftest import draw, half_moire, tree, write_tar
from tests.pipelines.publish.job import Job, cleaned_job, published_job, rows_of, tried_again
from tests.pipelines.storage.stores import KEY, SECRET, moto_bucket, point_at
from tests.s3_server import serve_moto, serve_s3

THEIRS = b"somebody else's"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of them striped, and a text."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "striped.jpg").write_bytes(draw(True, 1))
    (folder / "plain.jpg").write_bytes(draw(False, 1))
    (folder / "notes.txt").write_bytes(b"notes")
    return folder


def foreign_of(job: Job) -> tuple[str, ...]:
    return differences(job.destination, job.plan).foreign.first


def left_of(job: Job) -> tuple[str, ...]:
    return differences(job.destination, job.plan).left.first


def publish_over_an_edit(folder: Path, dst: Path, cleaner: Cleaner) -> Job:
    """Publish, change both pictures, edit one of them in the mirror, and publish again."""
    published_job(folder, dst, cleaner)
    (dst / "striped.jpg").write_bytes(THEIRS)
    (folder / "striped.jpg").write_bytes(draw(True, 2))
    (folder / "plain.jpg").write_bytes(draw(False, 2))
    return published_job(folder, dst, cleaner)


def test_what_somebody_edited_in_the_mirror_stays_and_all_else_is_published(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"

    job = publish_over_an_edit(folder, dst, cleaner)

    assert tree(dst) == {
        "striped.jpg": THEIRS,
        "plain.jpg": draw(False, 2),
        "notes.txt": b"notes",
    }
    assert foreign_of(job) == ("striped.jpg",)
    row = rows_of(job, "")["striped.jpg"]
    assert (row["status"], row["reason"]) == ("withheld", "foreign_object")
    assert (row["bytes_out"], row["sha256_out"], row["psnr_vs_input"]) == (0, None, None)
    assert rows_of(job, "")["plain.jpg"]["status"] == "copied"
    proof = job.prove()
    assert (proof.cleaned, proof.copied, proof.quarantined, proof.files) == (0, 1, 0, 2)
    assert proof.withheld == 1
    assert proof.names == ("striped.jpg (foreign_object)",)


def test_a_file_that_came_to_both_sides_under_one_name_stays(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    published_job(folder, dst, cleaner)
    for place, data in ((folder, b"the archive's"), (dst, THEIRS)):
        (place / "index.txt").write_bytes(data)

    job = published_job(folder, dst, cleaner)

    assert (dst / "index.txt").read_bytes() == THEIRS
    assert foreign_of(job) == ("index.txt",)
    assert job.prove().quarantined == 0, "it is no picture, and has no row"


def test_once_it_is_moved_away_the_same_job_finishes(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    job = publish_over_an_edit(folder, dst, cleaner)
    assert job.destination.markers.done(job.plan) == job.plan.source_ids, "nothing to be done"

    (dst / "striped.jpg").unlink()
    assert job.destination.markers.done(job.plan) == set()
    job.publish_all()

    assert (dst / "striped.jpg").read_bytes() == cleaner.clean(draw(True, 2)).data
    assert foreign_of(job) == ()
    assert rows_of(job, "")["striped.jpg"]["status"] == "cleaned"


def test_an_original_that_was_put_back_with_its_time_is_no_mirror(
    tmp_path: Path, cleaner: Cleaner
) -> None:
    """Uncompressed pictures have the size of their cleaned ones, and the mirror has their times."""
    src = tmp_path / "src"
    src.mkdir()
    (src / "scan.bmp").write_bytes(draw(True, 1, form="BMP"))
    dst = tmp_path / "dst"
    published_job(src, dst, cleaner)
    assert (dst / "scan.bmp").stat().st_size == (src / "scan.bmp").stat().st_size
    shutil.copy2(src / "scan.bmp", dst / "scan.bmp")
    os.utime(src / "scan.bmp", (1, 1))

    job = published_job(src, dst, cleaner)

    assert (dst / "scan.bmp").read_bytes() == (src / "scan.bmp").read_bytes()
    assert foreign_of(job) == ("scan.bmp",)


def test_an_archive_that_was_changed_in_the_mirror_stays_with_all_its_rows_withheld(
    tmp_path: Path, cleaner: Cleaner
) -> None:
    src = tmp_path / "box.tar"
    dst = tmp_path / "dst"
    write_tar(src, half_moire(2))
    published_job(src, dst, cleaner)
    write_tar(dst / "box.tar", {"mine.jpg": THEIRS})
    theirs = (dst / "box.tar").read_bytes()
    write_tar(src, half_moire(3))

    job = published_job(src, dst, cleaner)

    assert (dst / "box.tar").read_bytes() == theirs
    assert foreign_of(job) == ("box.tar",)
    reasons = {row["reason"] for row in rows_of(job, "box.tar").values()}
    assert reasons == {"foreign_object"}
    assert (job.prove().files, job.prove().withheld) == (0, 1)
    assert job.destination.markers.done(job.plan) == job.plan.source_ids


def test_a_retry_does_not_patch_what_is_not_ours(tmp_path: Path, cleaner: Cleaner) -> None:
    src = tmp_path / "box.tar"
    dst = tmp_path / "dst"
    write_tar(src, half_moire(2))
    job = published_job(src, dst, cleaner)
    again = tried_again(job, "box.tar", ["img_000.jpg"], cleaner)
    write_tar(dst / "box.tar", {"mine.jpg": THEIRS})
    theirs = (dst / "box.tar").read_bytes()

    marker = again.publish(again.planned("box.tar"))

    assert (dst / "box.tar").read_bytes() == theirs
    assert (marker.foreign, marker.files, marker.quarantined) == (1, 0, 0)


def test_a_run_killed_before_its_record_knows_its_own_files_whatever_came_since(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    """Killed, then run again with a file changed and one of somebody else's beside the mirror."""
    dst = tmp_path / "dst"
    dst.mkdir()
    job = cleaned_job(folder, dst, cleaner)
    with pytest.raises(KeyboardInterrupt):
        job.destination.mirrored.write = die  # type: ignore[method-assign]
        job.publish_all()
    assert tree(dst).keys() == {"striped.jpg", "plain.jpg", "notes.txt"}
    (dst / "new.txt").write_bytes(THEIRS)
    (folder / "new.txt").write_bytes(b"the archive's")
    (folder / "striped.jpg").write_bytes(draw(True, 7))
    (folder / "notes.txt").unlink()

    again = published_job(folder, dst, cleaner)

    assert tree(dst) == {
        "striped.jpg": cleaner.clean(draw(True, 7)).data,
        "plain.jpg": draw(False, 1),
        "notes.txt": b"notes",
        "new.txt": THEIRS,
    }
    assert foreign_of(again) == ("new.txt",)
    assert left_of(again) == ("notes.txt",)
    assert not list((dst / "_demoire" / "announced").iterdir())


def die(*_: object) -> None:
    raise KeyboardInterrupt


def kill_this_process(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_killed_between_mirror_and_record_loses_nothing(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    job = cleaned_job(folder, dst, cleaner)
    child = os.fork()
    if child == 0:
        try:
            job.destination.mirrored.write = kill_this_process  # type: ignore[method-assign]
            job.publish_all()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert tree(dst).keys() == {"striped.jpg", "plain.jpg", "notes.txt"}
    assert not (dst / "_demoire" / "mirrored").exists()
    (folder / "plain.jpg").write_bytes(draw(False, 8))

    again = published_job(folder, dst, cleaner)

    assert (dst / "plain.jpg").read_bytes() == draw(False, 8)
    assert foreign_of(again) == left_of(again) == ()
    assert again.prove().files == 3
    assert not list((dst / "_demoire" / "announced").iterdir())


def test_what_has_left_the_source_is_remembered_and_stays(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    write_tar(folder / "box.tar", half_moire(1))
    published_job(folder, dst, cleaner)
    (folder / "notes.txt").unlink()
    (folder / "box.tar").unlink()

    job = published_job(folder, dst, cleaner)

    assert left_of(job) == ("box.tar", "notes.txt")
    assert {"box.tar", "notes.txt"} <= tree(dst).keys()


def test_what_comes_back_into_the_source_is_mirrored_again(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    published_job(folder, dst, cleaner)
    (folder / "notes.txt").unlink()
    published_job(folder, dst, cleaner)
    (folder / "notes.txt").write_bytes(b"other notes")

    job = published_job(folder, dst, cleaner)

    assert left_of(job) == foreign_of(job) == ()
    assert (dst / "notes.txt").read_bytes() == b"other notes"


def without_records(dst: Path) -> None:
    """What a version without records would have left."""
    shutil.rmtree(dst / "_demoire" / "mirrored")


def test_a_mirror_of_a_version_without_records_is_ours_as_far_as_its_marker_vouches_for_it(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    published_job(folder, dst, cleaner)
    without_records(dst)
    (dst / "plain.jpg").write_bytes(THEIRS)
    for name in ("striped.jpg", "plain.jpg"):
        (folder / name).write_bytes(draw(True, 5))

    job = published_job(folder, dst, cleaner)

    assert (dst / "striped.jpg").read_bytes() == cleaner.clean(draw(True, 5)).data
    assert (dst / "plain.jpg").read_bytes() == THEIRS
    assert foreign_of(job) == ("plain.jpg",)


def test_without_records_old_files_too_many_make_all_of_them_foreign(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    dst = tmp_path / "dst"
    published_job(folder, dst, cleaner)
    without_records(dst)
    (dst / "theirs.txt").write_bytes(THEIRS)
    os.utime(dst / "theirs.txt", (1, 1))
    (folder / "plain.jpg").write_bytes(draw(True, 5))

    job = published_job(folder, dst, cleaner)

    assert foreign_of(job) == ("plain.jpg",), "the others are as they would be written anyway"
    assert (dst / "theirs.txt").read_bytes() == THEIRS


def test_two_runs_at_once_do_not_take_each_others_files_for_foreign(
    folder: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    job = cleaned_job(folder, tmp_path / "dst", cleaner)
    source = job.planned("").source
    slow = MirrorClaims(job.destination, source, "")
    job.publish_all()
    with slow.new_file("notes.txt") as local:
        local.write_bytes(b"of another version")
    assert slow.foreign == set()
    assert (job.dst / "notes.txt").read_bytes() == b"of another version"


@pytest.fixture(params=["rclone", "moto"])
def bucket(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """An empty bucket of a real S3 server."""
    if request.param == "moto":
        with serve_moto() as endpoint:
            yield moto_bucket(endpoint, monkeypatch)
        return
    (tmp_path / "buckets" / "box").mkdir(parents=True)
    with serve_s3(tmp_path / "buckets", KEY, SECRET) as endpoint:
        point_at(endpoint, monkeypatch)
        yield open_place("s3://box/in")


def test_in_a_bucket_an_etag_tells_whose_an_object_is(
    bucket: Place, tmp_path: Path, cleaner: Cleaner
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    for name in ("one.txt", "two.txt", "three.txt"):
        (box / name).write_bytes(b"first")
    (box / "a.jpg").write_bytes(draw(True, 1))
    published_job(box, bucket.uri, cleaner)
    bucket.write("one.txt", THEIRS)
    bucket.delete("three.txt")
    for name in ("one.txt", "two.txt", "three.txt"):
        (box / name).write_bytes(b"second")

    job = published_job(box, bucket.uri, cleaner)

    assert bucket.read("one.txt") == THEIRS
    assert bucket.read("two.txt") == bucket.read("three.txt") == b"second"
    assert foreign_of(job) == ("one.txt",)
    assert list(bucket.list(layout.ANNOUNCEMENTS)) == []
    assert job.prove().cleaned == 1


def test_in_a_bucket_a_killed_run_knows_its_own_objects(
    bucket: Place, tmp_path: Path, cleaner: Cleaner
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (box / "a.jpg").write_bytes(draw(True, 1))
    (box / "b.txt").write_bytes(b"text")
    job = cleaned_job(box, bucket.uri, cleaner)
    with pytest.raises(KeyboardInterrupt):
        job.destination.mirrored.write = die  # type: ignore[method-assign]
        job.publish_all()
    bucket.write("b.txt", THEIRS)
    (box / "a.jpg").write_bytes(draw(True, 2))

    again = published_job(box, bucket.uri, cleaner)

    assert bucket.read("a.jpg") == cleaner.clean(draw(True, 2)).data
    assert bucket.read("b.txt") == THEIRS
    assert foreign_of(again) == ("b.txt",)


def test_what_a_store_copies_itself_is_ours_as_long_as_its_etag_stays(
    bucket: Place, cleaner: Cleaner
) -> None:
    src = open_place(f"{bucket.uri}-src")
    for name in ("one.txt", "two.txt"):
        src.write(name, b"first")
    published_job(src.uri, bucket.uri, cleaner)
    bucket.write("one.txt", THEIRS)
    for name in ("one.txt", "two.txt"):
        src.write(name, b"second")

    job = published_job(src.uri, bucket.uri, cleaner)

    assert bucket.read("one.txt") == THEIRS
    assert bucket.read("two.txt") == b"second"
    assert foreign_of(job) == ("one.txt",)


def test_a_copy_of_a_killed_run_is_known_by_its_etag(bucket: Place, cleaner: Cleaner) -> None:
    src = open_place(f"{bucket.uri}-src")
    src.write("one.txt", b"first")
    job = cleaned_job(src.uri, bucket.uri, cleaner)
    with pytest.raises(KeyboardInterrupt):
        job.destination.mirrored.write = die  # type: ignore[method-assign]
        job.publish_all()
    src.write("one.txt", b"second")

    again = published_job(src.uri, bucket.uri, cleaner)

    assert bucket.read("one.txt") == b"second"
    assert foreign_of(again) == ()
