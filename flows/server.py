"""A Prefect server of this machine's own, for as long as it is needed: a child process on
127.0.0.1.

Prefect's ephemeral server runs no scheduler, so whatever is to start by itself needs a real one. It
takes about 15 s to come up. Where PREFECT_API_URL is set, that server is used and nothing is
started.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from demoire.errors import DemoireError, UsageError

# seconds for the server to answer; several times what a slow machine was seen to need
_PATIENCE = 180.0


@contextmanager
def local_server(port: int) -> Iterator[str]:
    """The address of a Prefect API, in PREFECT_API_URL too: the one that is set, else one started
    for the while.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    address = f"http://127.0.0.1:{port}/api"
    if _answers(address):
        raise UsageError(
            f"Something already answers at {address}; set PREFECT_API_URL to use it, or choose --port."
        )
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait(server, address)
        os.environ["PREFECT_API_URL"] = address
        yield address
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            raise DemoireError(
                f"The Prefect server for {address} ended at once; is the port free? Choose another --port."
            )
        if _answers(address):
            return
        time.sleep(0.3)
    raise DemoireError(f"The Prefect server at {address} did not answer within {_PATIENCE:.0f} s.")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
