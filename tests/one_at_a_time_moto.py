"""moto's S3 server, which answers one request at a time: `python one_at_a_time_moto.py PORT`.

moto looks whether a condition holds, and then writes, in two steps. Of two creations at the same
moment both would win.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple


def main(port: int) -> None:
    """Serve an empty S3 on 127.0.0.1 until this process is ended."""
    moto = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            body: Iterable[bytes] = moto(environ, start_response)
            return body

    run_simple("127.0.0.1", port, answer, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main(int(sys.argv[1]))
