"""Two S3 servers for tests, each used for what it is true to.

`serve_s3` is rclone over a local folder: it checks signatures for real (a wrong key is refused),
but ignores `If-None-Match`. `serve_moto` enforces conditional writes, but takes any key. Both
listen on 127.0.0.1 only, and are stopped when the `with` block ends. `s3_variables` are the AWS
variables that point a client at one of them.

    with serve_s3(tmp_path, "a-key", "a-secret") as endpoint:      # each folder in tmp_path is a bucket
        for name, value in s3_variables(endpoint, "a-key", "a-secret").items():
            monkeypatch.setenv(name, value)

`serve_faults` stands before one of them and spoils its answers.
"""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit


def s3_variables(endpoint: str, key: str, secret: str) -> dict[str, str]:
    """The environment variables by which botocore, and so demoire, finds the server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def serve_s3(folder: Path, key: str = "a-key", secret: str = "a-secret") -> Iterator[str]:
    """Serve `folder`, whose folders are the buckets, and yield the endpoint's URL."""
    rclone = _beside_python("rclone")
    # Files put into the folder by hand are seen at once; with 0 s rclone 1.75 spins on a whole
    # core.
    options = [
        "--config",
        "",
        "--dir-cache-time",
        "1ms",
        "--log-level",
        "ERROR",
        "--auth-key",
        f"{key},{secret}",
    ]
    with _serving(
        lambda port: [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", *options, str(folder)]
    ) as url:
        yield url


@contextmanager
def serve_moto() -> Iterator[str]:
    """Serve an empty S3 in memory (create the buckets yourself), and yield the endpoint's URL."""
    moto = _beside_python("moto_server")
    with _serving(lambda port: [moto, "-H", "127.0.0.1", "-p", str(port)]) as url:
        yield url


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _beside_python(program: str) -> str:
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    assert found, f"{program} is not installed: pip install 'demoire[dev]'"
    return found


@contextmanager
def _serving(command_for: Callable[[int], list[str]]) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        command_for(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_open(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_open(process: subprocess.Popen[bytes], port: int, patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        assert process.poll() is None, (
            f"the server stopped at once, with status {process.returncode}"
        )
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"the server did not open port {port} within {patience:.0f} s")


Fault = Literal["slow_down", "reset", "short_body", "other_range", "slow_body"]
_SLOWNESS = 1.5  # seconds


@contextmanager
def serve_faults(
    endpoint: str,
    faults: Iterable[Fault | None],
    injected: "Counter[str] | None" = None,
    *,
    late_lists: bool = False,
) -> Iterator[str]:
    """A proxy before an S3 server that spoils its answers, the next of `faults` each (None: passed
    on well).

    `slow_down` is a 503 without asking the server; `reset` closes the connection in the middle of
    the answer's head; `short_body` in the middle of its body; `other_range` sends the right number
    of bytes from elsewhere in the object; `slow_body` stops for a while half way. With `late_lists`
    a list is as it was when it was asked for the last time. injected: counts what was done; a fault
    that an answer cannot have (a body it does not have, say) is not.
    """
    coming = iter(faults)
    lock = threading.Lock()
    # by request: status, headers, body
    lists: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
    injected = Counter() if injected is None else injected

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fault = next(coming, None)
            if fault == "slow_down":
                injected[fault] += 1
                text = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
                self.send_error_answer(503, text)
                return
            upstream = HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # Host too: the client has signed it
                upstream.putheader(name, value)
            upstream.endheaders(body or None)
            reply = upstream.getresponse()
            data = reply.read()
            upstream.close()
            status, headers = reply.status, reply.getheaders()
            if "list-type=2" in self.path:
                late, lists[self.path] = lists.get(self.path), (status, headers, data)
                if late_lists and late is not None and late[2] != data:
                    injected["late_list"] += 1
                    status, headers, data = late
            if fault == "reset":
                injected[fault] += 1
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() == "content-range" and fault == "other_range":
                    value = value.replace("bytes ", "bytes 1", 1)
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = reply.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            if fault in ("short_body", "slow_body") and len(data) > 1:
                injected[fault] += 1
                self.wfile.write(data[: len(data) // 2])
                if fault == "slow_body":
                    time.sleep(_SLOWNESS)
                    self.wfile.write(data[len(data) // 2 :])
                self.close_connection = True
            elif fault == "other_range" and reply.getheader("Content-Range"):
                injected[fault] += 1
                self.wfile.write(bytes(reversed(data)))
            else:
                self.wfile.write(data)

        def send_error_answer(self, status: int, text: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
