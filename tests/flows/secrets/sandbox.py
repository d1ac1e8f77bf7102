"""A store with keys, and processes that write to places of the test's own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.secrets.planted import KEY, SECRET
from tests.s3_server import s3_variables, serve_s3

OPTION = "--storage-option"


@dataclass(frozen=True)
class Sandbox:
    """A store with the buckets `incoming` (the box) and `clean`, and with all other places that a
    run may write to.
    """

    root: Path
    endpoint: str

    def variables(self) -> dict[str, str]:
        return s3_variables(self.endpoint, KEY, SECRET)

    def run(
        self, words: list[str], variables: dict[str, str], program: str = ""
    ) -> tuple[int, str]:
        """The command in a process of its own, told to log all it can: exit status and everything
        it printed.

        program: Python that calls the command, instead of the command itself.
        """
        folders = {"HOME": "home", "TMPDIR": "tmp", "RAY_TMPDIR": "tmp"}
        for folder in folders.values():
            (self.root / folder).mkdir(exist_ok=True)
        talkative = {
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "S3FS_LOGGING_LEVEL": "DEBUG",
            "RAY_BACKEND_LOG_LEVEL": "debug",
            # all that a cluster's dashboard or history server is told, as files
            "RAY_enable_export_api_write": "1",
        }
        places = {name: str(self.root / folder) for name, folder in folders.items()}
        command = [sys.executable, *(["-c", program] if program else ["-m", "flows.cli"]), *words]
        environment = {**os.environ, **talkative, **places, **variables}
        done = subprocess.run(command, capture_output=True, env=environment, timeout=300)
        return done.returncode, (done.stdout + done.stderr).decode(errors="backslashreplace")


@contextmanager
def sandbox(box: Path, secret: str) -> Iterator[Sandbox]:
    # not pytest's: the sockets of Ray want a short path
    root = Path(tempfile.mkdtemp(prefix="demoire-"))
    try:
        for bucket in ("incoming", "clean"):
            (root / "buckets" / bucket).mkdir(parents=True)
        shutil.copy(box / "box.tar", root / "buckets/incoming")
        with serve_s3(root / "buckets", KEY, secret) as endpoint:
            yield Sandbox(root, endpoint)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def log_in(
    store: Sandbox, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str] | None = None
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    # Empty is as good as unset; and what a command puts there is taken back at the test's end.
    for name, value in {
        **store.variables(),
        "DEMOIRE_STORAGE_OPTIONS": "",
        **(variables or {}),
    }.items():
        monkeypatch.setenv(name, value)
