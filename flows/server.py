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
from flows.leash import leash_children

_START_SECONDS = 180.0  # for the server to answer; several times what a slow machine needs
_STOP_SECONDS = 20.0


@contextmanager
def local_server(port: int) -> Iterator[str]:
    """The address of a Prefect API, in PREFECT_API_URL too.

    It is the one that is set already, or that of a server that runs until the end of the block.

    Raises:
        UsageError: The port is taken.
        DemoireError: The server does not come up.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    address = f"http://127.0.0.1:{port}/api"
    if _answers(address):
        raise UsageError(
            f"Something already answers at {address}; "
            "set PREFECT_API_URL to use it, or choose --port."
        )
    server = _start(port)
    try:
        _wait(server, address)
        os.environ["PREFECT_API_URL"] = address
        yield address
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        _stop(server)


def _start(port: int) -> subprocess.Popen[bytes]:
    # A process that is killed never gets to the end of the block above.
    leash_children()
    words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    # In a session of its own: on Ctrl-C the runs are to end first, and they need the server.
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise DemoireError(
                f"The Prefect server for {address} ended at once; is the port free? "
                "Choose another --port."
            )
        if _answers(address):
            return
        time.sleep(0.3)
    raise DemoireError(
        f"The Prefect server at {address} did not answer within {_START_SECONDS:.0f} s."
    )


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
