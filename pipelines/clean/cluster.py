"""Ray as this project uses it: on this machine unless told of a cluster, and quiet.

Three kinds of place to work on. A Ray that already runs in this process is used as it is.
`ray_address` connects to a cluster. Otherwise a Ray of this machine is started and ended with the
run; it costs about three seconds. What it keeps on disk goes with it, unless `--debug` was given.

Workers get the variables that storage needs (`AWS_*`, `DEMOIRE_*`), and the passwords of PDF files,
as an argument, in an object that Ray does not look into. A runtime environment would be the usual
way, but Ray's agents log it in full, secrets included.
"""

import logging
import os
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import worker as ray_worker
from ray.data import DataContext
from ray.exceptions import OutOfDiskError, RayError, RayTaskError
from ray.util.annotations import RayDeprecationWarning

from demoire.errors import DemoireError, StalledError, UnusablePlaceError, UsageError
from demoire.imaging.pdf.passwords import passwords_in_use, use_passwords
from pipelines.clean.own_ray import end_with_children, own_children, own_ray
from pipelines.clean.priority import prompt_workers
from pipelines.clean.session_watch import SessionWatch, StartWatch
from pipelines.clean.signals import own_sigterm
from pipelines.storage.os_errors import system_refusal

_LEAST_ROOM = 20 << 20  # bytes for the notes and logs that Ray keeps of a start

_STARTS = 5  # of a Ray of this machine at most
_CONNECT_SECONDS = 10.0
_STORAGE_VARIABLES = ("AWS_", "DEMOIRE_")

_LOG = logging.getLogger(__name__)


@contextmanager
def ray_session(ray_address: str | None = None, patience: float = 1800.0) -> Iterator[None]:
    """Ray for the block: the one that runs here already, the cluster at `ray_address`, or one of
    this machine.

    Args:
        ray_address: Of the cluster; None: this machine.
        patience: Seconds that Ray may take to come up; after that this process is ended
            (`pipelines.clean.session_watch`).

    Raises:
        UsageError: The cluster cannot be reached.
        DemoireError: Ray does not come up on this machine.
        StalledError: From the block; Ray's processes are gone then, but this process had better end
            too, since Ray's library holds on to them. Where the block does not return from a Ray of
            this machine that has failed, the process is ended (`pipelines.clean.session_watch`).
    """
    if ray.is_initialized():
        yield
        return
    own_folder: Path | None = None
    if ray_address is None:
        own_folder = _start_here(patience)
        own_ray.note_start()
    else:
        _connect(ray_address, patience)
    with SessionWatch(own_ray):
        try:
            yield
        except StalledError:
            # An orderly end would wait for what stands still.
            own_ray.end_by_force()
            raise
        except BaseException:
            _end_ray(own_folder)
            raise
        else:
            _end_ray(own_folder)


def _start_here(patience: float) -> Path:
    """Start a Ray of this machine; the folder in which it keeps its notes.

    Its raylet waits 15 s for the ports of its helpers, and ends itself if they take longer, as they
    do on a machine with many other things to do. Nothing can be set there, but another start may
    well be in time.

    Raises:
        DemoireError: It does not come up.
    """
    for number in range(2, _STARTS + 1):
        try:
            return _start_once(patience)
        except UnusablePlaceError:
            raise
        except DemoireError:
            _LOG.warning("Ray did not come up; it is started again (%d of %d)", number, _STARTS)
    return _start_once(patience)


def _start_once(patience: float) -> Path:
    """Start Ray; where it does not come up, nothing is left of it."""
    others = own_children()
    try:
        started = _init("local", patience)
    except Exception as error:
        # Ray raises nothing more special when its own processes do not come up.
        end_with_children(own_children() - others)
        raise _no_ray_here() from error
    return Path(started.address_info["session_dir"])


def _connect(ray_address: str, patience: float) -> None:
    """Connect to a cluster.

    Raises:
        UsageError: It cannot be reached.
    """
    _check_reachable(ray_address)
    try:
        _init(ray_address, patience)
    except Exception as error:
        if _tells_of_a_token(error):
            raise _wrong_token(ray_address) from error
        raise _no_cluster(ray_address) from error


def _init(address: str, patience: float) -> Any:
    """What Ray says of itself, once it has come up or is connected to."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Its warnings would land in the user's terminal.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    _silence_reports()
    # And so would its remark that the level was set.
    with StartWatch(own_ray, patience), own_sigterm(), _silent_stderr(), prompt_workers():
        return ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def _no_ray_here() -> DemoireError:
    """Why Ray may not come up on this machine; it only says that it waited for a file."""
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    if shutil.disk_usage(folder).free < _LEAST_ROOM:
        return UnusablePlaceError(
            f"Ray does not come up, since the temporary folder {folder} is full: free some space "
            "or name another folder by RAY_TMPDIR, then run the same command again."
        )
    return DemoireError(
        "Ray does not come up on this machine: see whether it is overloaded or short of "
        "memory, then run the same command again."
    )


def _end_ray(own_folder: Path | None) -> None:
    """End Ray, and remove the notes and logs of one that was this process's own.

    Args:
        own_folder: Where they are; None: of a cluster, whose they are.
    """
    own_ray.note_shutdown()
    with own_sigterm():
        ray.shutdown()
    own_ray.note_end()
    if own_folder is not None and not _LOG.isEnabledFor(logging.DEBUG):
        _remove_notes(own_folder)


def _remove_notes(own_folder: Path) -> None:
    shutil.rmtree(own_folder, ignore_errors=True)
    # Ray's link to the latest folder; that of a Ray which has come up since stays.
    latest = own_folder.with_name("session_latest")
    with suppress(OSError):
        if latest.readlink() == own_folder:
            latest.unlink()


def _silence_reports() -> None:
    """Keep Ray from printing to standard output, in paragraphs, what its helpers report: workers
    and nodes that died, calls that are tried again. The run tells of what matters.

    Ray has no setting for this: `log_to_driver` is only about what workers print.
    """
    if not _LOG.isEnabledFor(logging.DEBUG):
        ray_worker._worker_logs_enabled = False


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """For the block nothing is written to the process's standard error, by native code either.

    Errors are still raised.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_reachable(ray_address: str) -> None:
    """Whether something listens there; Ray itself would try for minutes.

    Raises:
        UsageError: Nothing does.
    """
    host, _, port = ray_address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # such as "auto", which Ray answers at once
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(ray_address) from error


def _no_cluster(ray_address: str) -> UsageError:
    return UsageError(f"There is no Ray cluster at {ray_address}: check --ray-address.")


def _tells_of_a_token(error: BaseException) -> bool:
    """Whether the cluster is there, but refused the connection for want of its token.

    Ray hands on the text of such an error, not the error.
    """
    seen: BaseException | None = error
    while seen is not None:
        if "authentication token" in str(seen).lower():
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _wrong_token(ray_address: str) -> UsageError:
    return UsageError(
        f"The Ray cluster at {ray_address} is protected by a token: set RAY_AUTH_MODE=token, and "
        "have its token in ~/.ray/auth_token or RAY_AUTH_TOKEN."
    )


@contextmanager
def quiet_data_context() -> Iterator[DataContext]:
    """Ray Data's settings for the block: without bars and reports of its own, and with a block for
    every row.
    """
    # Its errors are raised as well; no need of tracebacks.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    context.target_max_block_size = 1
    with DataContext.current(context), warnings.catch_warnings():
        # The way to bound retries changes in Ray 2.64, and this project asks for an older one.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        yield context


class StorageEnvironment:
    """The variables by which storage finds endpoint and credentials, and the passwords of PDF
    files, on their way to a worker.

    No dataclass and no dict: Ray writes what it finds in those into logs.
    """

    def __init__(self, variables: dict[str, str], pdf_passwords: tuple[bytes, ...]) -> None:
        self._variables = variables
        self._pdf_passwords = pdf_passwords

    def install(self) -> None:
        """Set them in this process."""
        os.environ.update(self._variables)
        use_passwords(self._pdf_passwords)


def storage_environment() -> StorageEnvironment:
    """Those of this process."""
    variables = os.environ.items()
    own = {name: value for name, value in variables if name.startswith(_STORAGE_VARIABLES)}
    return StorageEnvironment(own, passwords_in_use())


def own_error(error: BaseException) -> DemoireError | None:
    """The error for the user that a worker raised and Ray wrapped, if there is one inside.

    What the operating system refused a worker (disk full, too many open files) becomes one, too.
    """
    seen: BaseException | None = error
    while seen is not None:
        # What Ray raises may be a DemoireError by type as well, but its text is a traceback.
        if isinstance(seen, DemoireError) and not isinstance(seen, RayTaskError):
            seen.args = tuple(_first_line(part) for part in seen.args)
            return seen
        refused = _refused_by_the_machine(seen)
        if refused is not None:
            return refused
        cause = seen.cause if isinstance(seen, RayTaskError) else None
        seen = cause if isinstance(cause, BaseException) else seen.__cause__
    return None


def _refused_by_the_machine(error: BaseException) -> DemoireError | None:
    """The error for the user where it is the machine that has to be put right."""
    if isinstance(error, OutOfDiskError):
        return UnusablePlaceError(
            "There is no room left for what Ray keeps on disk: free some space in its temporary "
            "folder or set RAY_TMPDIR to a larger disk, then run the same command again."
        )
    if isinstance(error, OSError) and not isinstance(error, RayTaskError):
        return system_refusal(error)
    return None


def _first_line(part: object) -> object:
    """Ray Data appends lines of advice about its own settings to messages; ours are of one line."""
    return part.partition("\n")[0] if isinstance(part, str) else part


def is_death(error: BaseException) -> bool:
    """Whether Ray says that a process or a node died, as against an exception in what it ran."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RayTaskError):
            return False
        if isinstance(seen, RayError):
            return True
        seen = seen.__cause__
    return False
