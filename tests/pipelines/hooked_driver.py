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

_ROOT = Path(__file__).parents[2]

# As a command does it: what Ray makes of the process at its very end does not count.
_DRIVER = """
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
_HOOK = """
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
EACH_IMAGE = "demoire.imaging.guard.decode_guarded"


def hooked_environment(
    folder: Path, what_happens: str, at: str = EACH_IMAGE, process: str = WORKER
) -> dict[str, str]:
    """The environment of a process in which something happens at a function.

    Args:
        folder: Made, for the code that makes it happen.
        what_happens: Statements.
        at: The function's whole name.
        process: What is in the command line of the processes in which it happens.
    """
    folder.mkdir()
    module, _, function = at.rpartition(".")
    hook = _HOOK.format(
        process=process, module=module, function=function, what_happens=what_happens
    )
    (folder / "sitecustomize.py").write_text(hook)
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{_ROOT}"}


@contextmanager
def driver(
    job: CleanJob,
    folder: Path,
    what_happens: str,
    at: str = EACH_IMAGE,
    process: str = WORKER,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does the job on a Ray of its own, and at each image what is given; killed at
    the block's end.
    """
    environment = hooked_environment(folder, what_happens, at, process)
    command = [sys.executable, "-c", _DRIVER, json.dumps(job.to_dict())]
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
