"""A job whose processes die, or are asked to stop, and what the next run makes of it.

What happens to a worker is made to happen at an image (`hooked_driver`).
"""

import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.clean import watchdog
from pipelines.clean.cluster import quiet_data_context
from pipelines.job import CleanJob
from pipelines.run import run_job
from tests.pipelines.conftest import draw, read_tar, tree, write_tar, write_zip
from tests.pipelines.hooked_driver import driver, wait_for
from tests.pipelines.job_box import (
    Finished,
    assert_same_reports,
    outcomes,
    status_of,
    traces,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

LEDGER = ("attempts", "commits")


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


def test_a_killed_driver_leaves_what_the_next_run_finishes(
    finished: Finished, tmp_path: Path
) -> None:
    dst = tmp_path / "out"
    job = replace(finished.job, dst=str(dst))
    commits, reached = dst / "_demoire" / "commits", tmp_path / "reached"
    is_any_committed = f"list(Path({str(commits)!r}).glob('*.json'))"
    hang = f"if {is_any_committed}: Path({str(reached)!r}).touch(), time.sleep(3600)"
    with driver(job, tmp_path / "hook", hang) as process:
        wait_for(reached, process)
    done = traces(commits)
    assert 1 <= len(done) < 4
    assert status_of(job).units_done == len(done)
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
    assert len(committed) == status_of(job).units == 4


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


def test_an_image_that_kills_its_process_is_found_among_folders_that_are_cleaned_together(
    tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    pictures = {f"{number}/picture.jpg": draw(True, 410 + number) for number in range(4)}
    deadly = pictures["2/picture.jpg"]
    for name, data in pictures.items():
        path = tmp_path / "box" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    job = CleanJob(str(tmp_path / "box"), str(tmp_path / "out"), tiny_config, workers=1)
    assert exit_status(job, tmp_path / "hook", f"if image.data == {deadly!r}: os._exit(1)") == 0
    expected = {name: ("cleaned", None) for name in pictures}
    expected["2/picture.jpg"] = ("quarantined", "native_crash")
    assert outcomes(tmp_path / "out") == expected
    cleaner = Cleaner(tiny_config)
    for name, data in pictures.items():
        mirrored = (tmp_path / "out" / name).read_bytes()
        assert mirrored == (data if data == deadly else cleaner.clean(data).data)


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


def test_ray_data_ends_a_wave_that_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_given_up", threading.Event())

    def take_a_while(row: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.1)
        return row

    with quiet_data_context() as context:
        context.custom_execution_callback_classes = [watchdog.EndIfGivenUp]
        rows = ray.data.range(100, override_num_blocks=100).map(take_a_while).iter_rows()
        next(iter(rows))
        watchdog._given_up.set()
        with pytest.raises(watchdog.NodesLostError):
            list(rows)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_that_is_asked_to_stop_finishes_what_is_in_work_and_nothing_else(
    finished: Finished, tmp_path: Path, number: signal.Signals
) -> None:
    dst = tmp_path / "out"
    job = replace(finished.job, dst=str(dst))
    reached, go_on = tmp_path / "reached", tmp_path / "go on"
    wait = f"while not Path({str(go_on)!r}).exists(): time.sleep(0.1)"
    hold = f"Path({str(reached)!r}).touch()\n        {wait}"
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
