"""What the `demoire` command sets for its whole process, before anything heavy is imported.

Libraries set nothing of this kind: whoever imports `demoire`, `pipelines` or a flow keeps the
process as it is.
"""

import logging
import os
import sys
from io import TextIOWrapper

from demoire.imaging.quiet import quiet_decoders

_PACKAGES = ("demoire", "pipelines", "flows")

# Whoever sets one of these in the environment keeps the last word.
_ENVIRONMENT = {
    # Prefect gives its ephemeral server 20 s to start, and it takes 11 to 17 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # No telemetry.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A thread that outlives a run's Ray must not start another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # Ray's processes change their titles, which otherwise overwrites the environment that /proc
    # shows, and with it the marks by which what is left of a command is found and ended.
    "SPT_NOENV": "1",
}


def prepare_process(*, debug: bool, is_service: bool = False) -> None:
    """Set up environment, output and logs of this process, for one command.

    Args:
        debug: Whether to log all that there is.
        is_service: Whether runs begin and end in it of which nobody else would hear: Prefect logs
            them. Elsewhere the command says itself how a run failed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logs_runs = debug or is_service
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if logs_runs else "CRITICAL")
    for stream in (sys.stdout, sys.stderr):
        # The names of members need not be Unicode, and showing one must never end a run.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(
        level=logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    level = logging.DEBUG if debug else logging.WARNING
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(level)
    quiet_decoders()


def log_progress() -> None:
    """Show on stderr what training says of its progress."""
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(logging.INFO)
