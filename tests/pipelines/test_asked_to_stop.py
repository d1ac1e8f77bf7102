"""A run that is asked to stop ends with one status and one sentence, whatever it is at."""

import signal
from pathlib import Path

import pytest

from demoire.cleaning.config import CleanerConfig
from pipelines.job import CleanJob
from tests.pipelines.conftest import half_moire, write_tar
from tests.pipelines.hooked_driver import RUN, WORKER, driver, wait_for

pytestmark = pytest.mark.slow


MOMENTS = {
    "planning": (RUN, "pipelines.run.make_plan"),
    "indexing, in a thread": (RUN, "pipelines.plan.plan.index"),
    "Ray comes up": (RUN, "ray._private.worker.connect"),
    "before the first wave": (RUN, "pipelines.waves.keep_weights"),
    "publishing": (WORKER, "pipelines.publish.parallel.publish_shelf"),
    "Ray has gone": (RUN, "pipelines.clean.cluster._remove_notes"),
    "report": (RUN, "pipelines.run.build_report"),
    "proof": (RUN, "pipelines.run.prove"),
}
REQUESTS = [
    *((signal.SIGTERM, moment) for moment in MOMENTS),
    *((signal.SIGINT, moment) for moment in ("indexing, in a thread", "publishing")),
]


@pytest.mark.parametrize(("number", "moment"), REQUESTS)
def test_a_run_ends_in_the_same_way_at_whatever_moment_it_is_asked_to_stop(
    tmp_path: Path, tiny_config: CleanerConfig, number: signal.Signals, moment: str
) -> None:
    (tmp_path / "box").mkdir()
    write_tar(tmp_path / "box" / "a.tar", half_moire(2))
    job = CleanJob(str(tmp_path / "box"), str(tmp_path / "out"), tiny_config, workers=1)
    reached = tmp_path / "reached"
    hold = f"Path({str(reached)!r}).touch(), time.sleep(3600)"
    process, at = MOMENTS[moment]
    with driver(job, tmp_path / "hook", hold, at, process) as running:
        wait_for(reached, running)
        running.send_signal(number)
        assert running.wait(100) == 3
        assert running.stdout and running.stdout.read().startswith(b"Stopped as asked")
