"""The whole job over a small collection: what comes of it, run again, over changed input, after
deaths of all kinds.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import SourceChangedError, UsageError
from pipelines.gc import gc
from pipelines.records import REPORT_SCHEMA
from pipelines.run import CleanJob, Summary, retry, run_job
from pipelines.status import status
from tests.pipelines.conftest import draw, half_moire, read_tar, tree, write_tar, write_zip
from tests.s3_server import s3_variables, serve_s3

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

ROOT = Path(__file__).parents[2]
TEXT = b"no picture, whatever the name says"
CUT = draw(True, 50)[:1500]
LARGE = draw(True, 60, side=160)
LEDGER = ("attempts", "commits")

# What may differ between two runs over the same images.
PASSING = [
    "run_id",
    "attempt",
    "host",
    "finished_at",
    *(name for name in REPORT_SCHEMA.names if name[:3] == "ms_"),
]


def make_box(box: Path) -> Path:
    """A tar, a tar.gz, a zip and a folder of pictures, every second one striped.

    Among them are four that are larger than the configuration lets in, one that is cut short, and
    one that is a text.
    """
    (box / "loose").mkdir(parents=True)
    write_tar(
        box / "a.tar",
        {**half_moire(5), "n.txt": b"notes", "cut.jpg": CUT, "text.jpg": TEXT, "large.jpg": LARGE},
    )
    write_tar(
        box / "b.tar.gz",
        {"readme.txt": b"read me", "large.jpg": LARGE, **half_moire(4, 10)},
        "w:gz",
    )
    write_zip(
        box / "c.zip", {**half_moire(3, 20), "large.jpg": LARGE, "d/list.csv": b"1;2\n" * 100}
    )
    for name, data in {**half_moire(3, 30), "large.jpg": LARGE, "notes.txt": b"more notes"}.items():
        (box / "loose" / name).write_bytes(data)
    return box


def read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def contents(box: Path) -> dict[str, bytes]:
    """All members of a box, or of its mirror, by archive and name."""
    found = {f"a.tar/{name}": data for name, data in read_tar(box / "a.tar").items()}
    found |= {f"b.tar.gz/{name}": data for name, data in read_tar(box / "b.tar.gz").items()}
    found |= {f"c.zip/{name}": data for name, data in read_zip(box / "c.zip").items()}
    return found | {f"loose/{path.name}": path.read_bytes() for path in (box / "loose").iterdir()}


def report_of(dst: Path) -> pa.Table:
    """All report rows under DST, in the order of sources and members."""
    tables = [
        pq.read_table(path) for path in sorted((dst / "_demoire" / "report").glob("*.parquet"))
    ]
    return pa.concat_tables(tables).sort_by([("source", "ascending"), ("member", "ascending")])


def outcomes(dst: Path) -> dict[str, tuple[str, str | None]]:
    """Status and reason of every image by source and member."""
    return {
        f"{r['source']}/{r['member']}": (r["status"], r["reason"])
        for r in report_of(dst).to_pylist()
    }


def assert_same_reports(one: Path, other: Path) -> None:
    assert report_of(one).drop_columns(PASSING).equals(report_of(other).drop_columns(PASSING))


def traces(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file: any write changes them, even one of the same bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in files
    }


@dataclass(frozen=True)
class Finished:
    """A job that was run once and undisturbed."""

    job: CleanJob
    summary: Summary

    @property
    def src(self) -> Path:
        return Path(self.job.src)

    @property
    def dst(self) -> Path:
        return Path(self.job.dst)

    def copied_to(self, dst: Path) -> CleanJob:
        """The same job with a DST of its own, in the state of the finished one."""
        shutil.copytree(self.dst, dst)
        return replace(self.job, dst=str(dst))


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: CleanerConfig, local_ray: None
) -> Finished:
    """To be looked at, not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    config = replace(tiny_config, max_megapixels=0.02)
    job = CleanJob(str(make_box(folder / "box")), str(folder / "out"), config, workers=1)
    return Finished(job, run_job(job))


# One run


def test_every_image_is_accounted_for(finished: Finished) -> None:
    summary = finished.summary
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (21, 9, 6, 6)
    assert summary.others == 4
    assert Counter(outcomes(finished.dst).values()) == {
        ("cleaned", None): 9,
        ("copied", None): 6,
        ("quarantined", "too_large"): 4,
        ("quarantined", "truncated"): 1,
        ("quarantined", "not_an_image"): 1,
    }
    assert outcomes(finished.dst)["a.tar/cut.jpg"] == ("quarantined", "truncated")
    assert outcomes(finished.dst)["a.tar/text.jpg"] == ("quarantined", "not_an_image")


def test_the_mirror_holds_what_the_cleaner_makes_of_each_image_and_all_else_as_it_was(
    finished: Finished,
) -> None:
    cleaner = Cleaner(finished.job.config)
    before = contents(finished.src)
    expected = {
        name: cleaner.clean(data).data if name.endswith(".jpg") else data
        for name, data in before.items()
    }
    assert contents(finished.dst) == expected
    assert sum(before[name] != expected[name] for name in before) == 9
    assert tree(finished.dst).keys() == tree(finished.src).keys()


def test_the_report_says_what_was_read_and_written(finished: Finished) -> None:
    before, after = contents(finished.src), contents(finished.dst)
    table = report_of(finished.dst)
    assert table.schema.equals(REPORT_SCHEMA, check_metadata=True)
    for row in table.to_pylist():
        name = f"{row['source']}/{row['member']}"
        assert (row["bytes_in"], row["sha256_in"]) == (
            len(before[name]),
            sha256(before[name]).hexdigest(),
        ), name
        assert (row["bytes_out"], row["sha256_out"]) == (
            len(after[name]),
            sha256(after[name]).hexdigest(),
        ), name
        assert row["run_id"] == finished.summary.run_id


def test_the_summary_and_the_status_agree_with_the_report(finished: Finished) -> None:
    table = report_of(finished.dst)
    cleaned = [row for row in table.to_pylist() if row["status"] == "cleaned"]
    summary, state = finished.summary, status(str(finished.dst))
    assert summary.moire_before == pytest.approx(sum(row["moire_before"] for row in cleaned) / 9)
    assert summary.moire_after == pytest.approx(sum(row["moire_after"] for row in cleaned) / 9)
    pixels = sum((row["width"] or 0) * (row["height"] or 0) for row in table.to_pylist())
    assert summary.megapixels == pytest.approx(pixels / 1e6)
    assert Path(summary.report).read_text().startswith("<!doctype html>")
    assert (state.planned_images, state.images_done, state.units, state.units_done) == (
        21,
        21,
        4,
        4,
    )
    assert (state.sources, state.sources_published, state.megapixels_done) == (
        4,
        4,
        state.megapixels,
    )
    assert state.quarantine == {"too_large": 4, "truncated": 1, "not_an_image": 1}


def test_a_job_of_a_bucket_gives_the_same_and_keeps_no_secret(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.src, tmp_path / "box")
    (tmp_path / "results").mkdir()
    with serve_s3(tmp_path, "a-key", "planted-secret") as endpoint:
        for name, value in s3_variables(endpoint, "a-key", "planted-secret").items():
            monkeypatch.setenv(name, value)
        summary = run_job(replace(finished.job, src="s3://box", dst="s3://results/out"))
    assert (summary.images, summary.cleaned) == (21, 9)
    assert tree(tmp_path / "results" / "out") == tree(finished.dst)
    written = tree(tmp_path / "results", bookkeeping=True)
    assert not [name for name, data in written.items() if b"planted-secret" in data]


# Run again


def test_the_same_job_again_writes_nothing(finished: Finished) -> None:
    before = traces(finished.dst)
    again = run_job(finished.job)
    assert traces(finished.dst) == before
    assert (again.images, again.cleaned, again.mps) == (21, 9, 0.0)


def test_a_collected_job_keeps_its_results_and_has_nothing_to_do(
    finished: Finished, tmp_path: Path
) -> None:
    job = finished.copied_to(tmp_path / "out")
    collected = gc(job.dst)
    left = traces(Path(job.dst))
    assert not [
        name
        for name in left
        if name.startswith(("_demoire/segments", "_demoire/commits", "_demoire/rows"))
    ]
    assert collected.objects == len(traces(finished.dst)) - len(left) and collected.bytes > 0
    assert run_job(job).images == 21
    assert traces(Path(job.dst)) == left
    assert tree(Path(job.dst)) == tree(finished.dst)
    assert status(job.dst).images_done == 21


def test_a_mirror_that_is_lost_is_made_again(finished: Finished, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path / "out")
    gc(job.dst)
    (tmp_path / "out" / "c.zip").unlink()
    others = {
        name: trace
        for name, trace in traces(tmp_path / "out").items()
        if name in ("a.tar", "b.tar.gz")
    }
    run_job(job)
    assert tree(tmp_path / "out") == tree(finished.dst)
    assert others.items() <= traces(tmp_path / "out").items()


def test_a_retry_takes_one_reason_into_every_kind_of_mirror(
    finished: Finished, tmp_path: Path
) -> None:
    job = finished.copied_to(tmp_path / "out")
    gc(job.dst)
    larger = replace(finished.job.config, max_megapixels=1)
    summary = retry(job.dst, "too_large", config=larger, workers=1)
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (21, 13, 6, 2)
    cleaned = Cleaner(larger).clean(LARGE).data
    expected = {
        n: cleaned if n.endswith("large.jpg") else data
        for n, data in contents(finished.dst).items()
    }
    assert contents(tmp_path / "out") == expected
    assert status(job.dst).quarantine == {"truncated": 1, "not_an_image": 1}
    assert run_job(job).cleaned == 13  # which leaves the retried ones alone
    with pytest.raises(UsageError, match="Nothing of reason too_large"):
        retry(job.dst, "too_large")


def test_a_retry_that_changes_nothing_leaves_the_count_as_it_was(
    finished: Finished, tmp_path: Path
) -> None:
    job = finished.copied_to(tmp_path / "out")
    summary = retry(job.dst, workers=1)
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (21, 9, 6, 6)
    assert tree(tmp_path / "out") == tree(finished.dst)
    assert outcomes(tmp_path / "out") == outcomes(finished.dst)


# Input that changes


@pytest.fixture
def two_tars(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    box.mkdir()
    for number in range(2):
        write_tar(box / f"{number}.tar", half_moire(3, 100 + 10 * number))
    return box


def test_what_changed_between_two_runs_is_planned_anew_and_only_that(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(job).images == 6
    before = traces(tmp_path / "out")
    write_tar(two_tars / "1.tar", half_moire(4, 200))
    (two_tars / "new.jpg").write_bytes(draw(True, 300))
    summary = run_job(job)
    assert (summary.images, summary.cleaned, summary.copied) == (8, 5, 3)
    assert traces(tmp_path / "out")["0.tar"] == before["0.tar"]
    mirrored = read_tar(tmp_path / "out" / "1.tar")
    assert mirrored == {
        name: Cleaner(tiny_config).clean(data).data for name, data in half_moire(4, 200).items()
    }
    assert (tmp_path / "out" / "new.jpg").read_bytes() == Cleaner(tiny_config).clean(
        draw(True, 300)
    ).data


def test_a_source_that_changes_under_the_run_is_planned_anew(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    changes = iter([lambda: write_tar(two_tars / "1.tar", half_moire(4, 200))])

    def change_once(phase: str, done: float, total: float) -> None:
        if phase == "clean":
            next(changes, lambda: None)()

    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(job, progress=change_once).images == 7
    assert read_tar(tmp_path / "out" / "1.tar").keys() == half_moire(4, 200).keys()


def test_a_source_that_never_stops_changing_fails_the_run_once_all_others_are_done(
    two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    write_tar(two_tars / "2.tar", half_moire(3, 120))

    def change(now: str, done: float, total: float) -> None:
        if now == "clean":
            write_tar(two_tars / "1.tar", half_moire(4, time.monotonic_ns() % 1_000_000))

    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    with pytest.raises(
        SourceChangedError, match=r"\A[^\n]*1.tar changed since it was planned: [^\n]*\Z"
    ):
        run_job(job, progress=change)
    assert {"0.tar", "2.tar"} <= tree(tmp_path / "out").keys()
    assert {row["source"] for row in report_of(tmp_path / "out").to_pylist()} >= {"0.tar", "2.tar"}
    assert run_job(job).images == 10


def test_a_file_that_is_deleted_under_the_run_is_left_out(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    (tmp_path / "box").mkdir()
    for name, data in half_moire(4).items():
        (tmp_path / "box" / name).write_bytes(data)

    def delete(phase: str, done: float, total: float) -> None:
        if phase == "clean":
            (tmp_path / "box" / "img_002.jpg").unlink(missing_ok=True)

    job = CleanJob(str(tmp_path / "box"), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(job, progress=delete).images == 3
    assert tree(tmp_path / "out").keys() == {"img_000.jpg", "img_001.jpg", "img_003.jpg"}


def test_a_sample_is_a_part_of_the_whole_which_may_follow_but_not_come_before(
    finished: Finished, two_tars: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    job = CleanJob(str(two_tars), str(tmp_path / "out"), tiny_config, workers=1)
    assert run_job(replace(job, sample=2)).images == 2
    assert run_job(replace(job, sample=2)).mps == 0.0  # nothing was left to clean
    assert run_job(job).images == 6
    for number in range(2):
        mirrored = read_tar(tmp_path / "out" / f"{number}.tar")
        originals = half_moire(3, 100 + 10 * number)
        assert mirrored == {
            name: Cleaner(tiny_config).clean(data).data for name, data in originals.items()
        }
    with pytest.raises(UsageError, match="give a sample another DST"):
        run_job(replace(job, sample=2))


# Deaths. A worker reads `sitecustomize` when it starts, and with it what a test wants to happen at
# an image.

DRIVER = """
import json, sys
from demoire.errors import DemoireError
from pipelines.run import CleanJob, run_job
try:
    run_job(CleanJob.from_dict(json.loads(sys.argv[1])))
except DemoireError as error:
    print(error)
    sys.exit(error.exit_code)
"""
HOOK = """
import sys
if any("default_worker" in argument for argument in sys.orig_argv):
    import os, time
    from pathlib import Path
    import {module}
    function = {module}.{function}
    def function_or_else(image, *arguments, **options):
        {what_happens}
        return function(image, *arguments, **options)
    {module}.{function} = function_or_else
"""


@contextmanager
def driver(
    job: CleanJob, folder: Path, what_happens: str, at: str = "demoire.imaging.guard.decode_guarded"
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does the job on a Ray of its own, and at each image what is given; killed at
    the block's end.
    """
    folder.mkdir()
    module, _, function = at.rpartition(".")
    hook = HOOK.format(module=module, function=function, what_happens=what_happens)
    (folder / "sitecustomize.py").write_text(hook)
    command = [sys.executable, "-c", DRIVER, json.dumps(job.to_dict())]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        started = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(started, timeout=20)  # Ray ends what a dead driver leaves
        for survivor in alive:
            survivor.kill()
        psutil.wait_procs(alive)


def exit_status(
    job: CleanJob, folder: Path, what_happens: str, at: str = "demoire.imaging.guard.decode_guarded"
) -> int:
    """Of a driver that comes to its end. Ray was seen to abort one whose workers died: then the
    same again.
    """
    for number in range(3):
        with driver(job, folder.with_name(f"{folder.name}{number}"), what_happens, at) as process:
            code = process.wait(180)
        if code != -signal.SIGABRT:
            break
    return code


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "it ended before"
        time.sleep(0.1)


def test_a_killed_driver_leaves_what_the_next_run_finishes(
    finished: Finished, tmp_path: Path
) -> None:
    dst = tmp_path / "out"
    job = replace(finished.job, dst=str(dst))
    commits, reached = dst / "_demoire" / "commits", tmp_path / "reached"
    hang = f"if list(Path({str(commits)!r}).glob('*.json')): Path({str(reached)!r}).touch(), time.sleep(3600)"
    with driver(job, tmp_path / "hook", hang) as process:
        wait_for(reached, process)
    done = traces(commits)
    assert 1 <= len(done) < 4
    assert status(job.dst).units_done == len(done)
    summary = run_job(job)
    assert (summary.images, summary.cleaned, summary.copied, summary.quarantined) == (21, 9, 6, 6)
    assert tree(dst) == tree(finished.dst)
    assert_same_reports(dst, finished.dst)
    assert done.items() <= traces(commits).items()
    attempts = Counter(
        path.name.partition(".")[0] for path in (dst / "_demoire" / "attempts").iterdir()
    )
    assert {attempts[Path(name).stem] for name in done} == {1}


def test_two_runs_at_once_into_one_place_both_end_well_with_one_result(
    finished: Finished, tmp_path: Path
) -> None:
    job = replace(finished.job, dst=str(tmp_path / "out"))
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    begun.mkdir()
    hold = f"while not Path({str(go_on)!r}).exists(): time.sleep(0.1)"
    meet = f"Path({str(begun)!r}, str(os.getppid())).touch()\n        {hold}"
    with driver(job, tmp_path / "one", meet) as one, driver(job, tmp_path / "other", meet) as other:
        # both have a unit in hand, and most likely the same one
        while len(list(begun.iterdir())) < 2:
            assert (one.poll(), other.poll()) == (None, None)
            time.sleep(0.1)
        go_on.touch()
        assert (one.wait(300), other.wait(300)) == (0, 0)
    assert tree(tmp_path / "out") == tree(finished.dst)
    assert_same_reports(tmp_path / "out", finished.dst)
    committed = [path.stem for path in (tmp_path / "out" / "_demoire" / "commits").iterdir()]
    assert len(committed) == status(job.dst).units == 4


def test_an_image_that_kills_its_process_is_found_and_quarantined(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    (tmp_path / "box").mkdir()
    harmless, deadly = draw(True, 400), draw(True, 401)
    write_tar(tmp_path / "box" / "a.tar", {"harmless.jpg": harmless, "deadly.jpg": deadly})
    job = CleanJob(str(tmp_path / "box"), str(tmp_path / "out"), tiny_config, workers=1)
    assert exit_status(job, tmp_path / "hook", f"if image.data == {deadly!r}: os._exit(1)") == 0
    assert outcomes(tmp_path / "out") == {
        "a.tar/deadly.jpg": ("quarantined", "native_crash"),
        "a.tar/harmless.jpg": ("cleaned", None),
    }
    cleaned = Cleaner(tiny_config).clean(harmless).data
    assert read_tar(tmp_path / "out" / "a.tar") == {"harmless.jpg": cleaned, "deadly.jpg": deadly}


def test_a_member_that_kills_whatever_unpacks_it_is_found_and_quarantined(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    """It dies before any actor has it in hand, so that two waves pass until somebody looks
    closely.
    """
    (tmp_path / "box").mkdir()
    harmless, deadly = draw(True, 400), draw(True, 401)
    write_zip(tmp_path / "box" / "a.zip", {"harmless.jpg": harmless, "deadly.jpg": deadly})
    job = CleanJob(str(tmp_path / "box"), str(tmp_path / "out"), tiny_config, workers=1)
    die = "if arguments[1].name == 'deadly.jpg': os._exit(1)"
    unpacking = "pipelines.sources.formats.zip._payload"
    assert exit_status(job, tmp_path / "hook", die, at=unpacking) == 0
    assert outcomes(tmp_path / "out") == {
        "a.zip/deadly.jpg": ("quarantined", "native_crash"),
        "a.zip/harmless.jpg": ("cleaned", None),
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_that_is_asked_to_stop_finishes_what_is_in_work_and_nothing_else(
    finished: Finished, tmp_path: Path, number: signal.Signals
) -> None:
    dst = tmp_path / "out"
    job = replace(finished.job, dst=str(dst))
    reached, go_on = tmp_path / "reached", tmp_path / "go on"
    hold = f"Path({str(reached)!r}).touch()\n        while not Path({str(go_on)!r}).exists(): time.sleep(0.1)"
    with driver(job, tmp_path / "hook", hold) as process:
        wait_for(reached, process)
        process.send_signal(number)
        time.sleep(1)  # nothing ends while the unit is held
        assert process.poll() is None and not (dst / "_demoire" / "commits").exists()
        go_on.touch()
        assert process.wait(100) == 3
        assert process.stdout and b"Stopped as asked" in process.stdout.read()
    begun, done = (
        {path.name.partition(".")[0] for path in (dst / "_demoire" / name).iterdir()}
        for name in LEDGER
    )
    assert begun == done and 1 <= len(done) < 4
    assert run_job(job).images == 21
    assert tree(dst) == tree(finished.dst)
    assert_same_reports(dst, finished.dst)
