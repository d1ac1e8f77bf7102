"""Two S3 servers for tests, each used for what it is true to.

`serve_s3` is rclone over a local folder: it checks signatures for real (a wrong key is refused),
but ignores `If-None-Match`. `serve_moto` enforces conditional writes, but takes any key. Both
listen on 127.0.0.1 only, and are stopped when the `with` block ends. `s3_variables` are the AWS
variables that point a client at one of them.

    # Each folder in tmp_path is a bucket.
    with serve_s3(tmp_path, "a-key", "a-secret") as endpoint:
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
from dataclasses import dataclass
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
def serve_s3(
    folder: Path, key: str = "a-key", secret: str = "a-secret", *more: str
) -> Iterator[str]:
    """Serve `folder`, whose folders are the buckets, and yield the endpoint's URL.

    Args:
        folder: Holds the buckets.
        key: Of whoever may use the server.
        secret: That belongs to the key.
        more: Further options of rclone's.
    """
    rclone = _beside_python("rclone")
    # Files put into the folder by hand are seen at once; with 0 s rclone 1.75 spins on a whole
    # core.
    options = ["--config", "", "--dir-cache-time", "1ms", "--log-level", "ERROR"]
    options += ["--auth-key", f"{key},{secret}", *more]
    with _serving(
        lambda port: [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", *options, str(folder)]
    ) as url:
        yield url


@contextmanager
def serve_moto() -> Iterator[str]:
    """Serve an empty S3 in memory (create the buckets yourself), and yield the endpoint's URL."""
    moto = Path(__file__).with_name("one_at_a_time_moto.py")
    with _serving(lambda port: [sys.executable, str(moto), str(port)]) as url:
        yield url


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _beside_python(program: str) -> str:
    beside = Path(sys.executable).parent / program
    path = str(beside) if beside.exists() else shutil.which(program)
    assert path, f"{program} is not installed: pip install 'demoire[dev]'"
    return path


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


Fault = Literal[
    "slow_down", "conflict", "taken", "missing", "reset", "short_body", "other_range", "slow_body"
]

_SLOWNESS = 1.5  # seconds
_REFUSALS: dict[str, tuple[int, bytes]] = {
    "slow_down": (503, b"<Error><Code>SlowDown</Code><Message>Slower.</Message></Error>"),
    "conflict": (409, b"<Error><Code>ConditionalRequestConflict</Code></Error>"),
    "taken": (412, b"<Error><Code>PreconditionFailed</Code></Error>"),
    "missing": (404, b"<Error><Code>NoSuchKey</Code></Error>"),
}
_OWN_HEADERS = ("transfer-encoding", "connection", "content-length")  # the proxy sets these itself


@contextmanager
def serve_faults(
    endpoint: str,
    faults: Iterable[Fault | None],
    injected: "Counter[str] | None" = None,
    *,
    late_lists: bool = False,
) -> Iterator[str]:
    """A proxy before an S3 server that spoils its answers.

    Args:
        endpoint: The server's URL.
        faults: What to do with one answer after the other; None passes it on well.

            - `slow_down`: a 503, without asking the server.
            - `conflict`: likewise a 409, as where another write to the name is under way.
            - `taken` and `missing`: a 412 and a 404, as where there is an object and where not.
            - `reset`: the server is asked, and the connection closed instead of an answer.
            - `short_body`: the connection is closed in the middle of the body.
            - `other_range`: the right number of bytes, from elsewhere in the object.
            - `slow_body`: a pause of 1.5 s in the middle of the body.
        injected: Counts what was done. A fault that an answer cannot have (in a body it does not
            have, say) is not.
        late_lists: A list is as it was when it was asked for the last time.

    Yields:
        The proxy's URL.
    """
    counted = Counter() if injected is None else injected
    proxy = _FaultyProxy(endpoint, iter(faults), counted, late_lists=late_lists)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)


@dataclass(frozen=True)
class _Answer:
    """What the server answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        for header, value in self.headers:
            if header.lower() == name:
                return value
        return None


class _FaultyProxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        endpoint: str,
        faults: Iterator[Fault | None],
        injected: "Counter[str]",
        *,
        late_lists: bool,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _FaultyHandler)
        self.upstream = urlsplit(endpoint).netloc
        self.injected = injected
        self._faults = faults
        self._lock = threading.Lock()
        self._late_lists = late_lists
        self._lists: dict[str, _Answer] = {}  # the last answer, by request

    def next_fault(self) -> Fault | None:
        with self._lock:
            return next(self._faults, None)

    def late(self, path: str, answer: _Answer) -> _Answer:
        """A list as it was when it was asked for the last time; any other answer as it is."""
        if "list-type=2" not in path:
            return answer
        before = self._lists.get(path)
        self._lists[path] = answer
        if not self._late_lists or before is None or before.body == answer.body:
            return answer
        self.injected["late_list"] += 1
        return before


class _FaultyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _FaultyProxy

    def answer(self) -> None:
        request = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.next_fault()
        if fault in _REFUSALS:
            self.server.injected[fault] += 1
            self._refuse(*_REFUSALS[fault])
            return
        answer = self.server.late(self.path, self._ask(request))
        if fault == "reset":
            self.server.injected[fault] += 1
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._send_head(answer, fault)
        self._send_body(answer, fault)

    def _ask(self, request: bytes) -> _Answer:
        upstream = HTTPConnection(self.server.upstream, timeout=30)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():  # Host too: the client has signed it
            upstream.putheader(name, value)
        upstream.endheaders(request or None)
        reply = upstream.getresponse()
        body = reply.read()
        upstream.close()
        return _Answer(reply.status, reply.getheaders(), body)

    def _send_head(self, answer: _Answer, fault: Fault | None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() == "content-range" and fault == "other_range":
                value = value.replace("bytes ", "bytes 1", 1)
            if name.lower() not in _OWN_HEADERS:
                self.send_header(name, value)
        length = str(len(answer.body))
        if self.command == "HEAD":
            length = answer.header("content-length") or "0"
        self.send_header("Content-Length", length)
        self.end_headers()

    def _send_body(self, answer: _Answer, fault: Fault | None) -> None:
        body = answer.body
        half = len(body) // 2
        if fault in ("short_body", "slow_body") and half:
            self.server.injected[fault] += 1
            self.wfile.write(body[:half])
            if fault == "slow_body":
                time.sleep(_SLOWNESS)
                self.wfile.write(body[half:])
            self.close_connection = True
        elif fault == "other_range" and answer.header("content-range"):
            self.server.injected[fault] += 1
            self.wfile.write(bytes(reversed(body)))
        else:
            self.wfile.write(body)

    def _refuse(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        return
