"""A process that does a job, in which a test makes something happen at a function of its choice.

A process reads `sitecustomize` when it starts, and with it what is to happen there: to the driver,
or to each of Ray's workers.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipelines.job import CleanJob

ROOT = Path(__file__).parents[2]

# As a command does it: what Ray makes of the process at its very end does not count.
DRIVER = """
import sys
from flows.supervisor import supervise

def work():
    from pydantic import TypeAdapter
    from demoire.errors import DemoireError
    from pipelines.job import CleanJob
    from pipelines.run import run_job
    try:
        run_job(TypeAdapter(CleanJob).validate_json(sys.argv[1]))
    except DemoireError as error:
        print(error, flush=True)
        return error.exit_code
    return 0

sys.exit(supervise(work))
"""
HOOK = """
import sys
if any("{process}" in argument for argument in sys.orig_argv):
    import os, time
    from pathlib import Path
    import {module}
    function = {module}.{function}
    def function_or_else(image, *arguments, **options):
        {what_happens}
        return function(image, *arguments, **options)
    {module}.{function} = function_or_else
"""
WORKER = "default_worker"  # in the command line of Ray's workers
RUN = "run_job"  # in that of the driver


@contextmanager
def driver(
    job: CleanJob,
    folder: Path,
    what_happens: str,
    at: str = "demoire.imaging.guard.decode_guarded",
    process: str = WORKER,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does the job on a Ray of its own, and at each image what is given; killed at
    the block's end.
    """
    folder.mkdir()
    module, _, function = at.rpartition(".")
    hook = HOOK.format(process=process, module=module, function=function, what_happens=what_happens)
    (folder / "sitecustomize.py").write_text(hook)
    command = [sys.executable, "-c", DRIVER, json.dumps(job.to_dict())]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    running = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE)
    try:
        yield running
    finally:
        started = (
            psutil.Process(running.pid).children(recursive=True) if running.poll() is None else []
        )
        running.kill()
        running.wait()
        _, alive = psutil.wait_procs(started, timeout=20)  # Ray ends what a dead driver leaves
        for survivor in alive:
            survivor.kill()
        psutil.wait_procs(alive)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "it ended before"
        time.sleep(0.1)
