"""A machine that refuses a worker what it needs: one sentence, and nobody's image is to blame."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipelines.hooked_driver import driver
from tests.pipelines.job_box import Finished

pytestmark = pytest.mark.slow

# Memory that processes share counts as a file, so the processes that code JPEG are started before:
# one for each picture that is coded at once. Of the threads that decode, the first one does it.
SMALL_FILES = """
        import resource
        import threading
        from contextlib import ExitStack
        from demoire.imaging.codecs.jpeg_coefficients import coders
        with vars(resource).setdefault("lock", threading.Lock()), ExitStack() as lent:
            if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2000:
                for _ in range(os.cpu_count()):
                    lent.enter_context(coders.lend())
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
"""
FEW_FILES = (
    "import resource; open_files = len(os.listdir('/proc/self/fd')); "
    "resource.setrlimit(resource.RLIMIT_NOFILE, (open_files - 1, open_files - 1))"
)
IN_A_FILE = "files may not grow so large here"


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=200)
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [(SMALL_FILES, IN_A_FILE), (FEW_FILES, "too many files are open")],
    ids=["file size", "open files"],
)
def test_a_limit_that_a_worker_meets_is_one_sentence_that_names_the_file(
    finished: Finished, tmp_path: Path, limit: str, sentence: str
) -> None:
    job = replace(finished.job, dst=str(tmp_path / "out"))
    with driver(job, tmp_path / "hook", limit) as process:
        status, said = end_of(process)
    assert status == 2, said
    assert said.count("\n") == 1, said
    assert sentence != IN_A_FILE or f" {tmp_path}/out/_demoire/" in said, said
    assert sentence in said, said
