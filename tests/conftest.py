"""What holds for all tests: no telemetry, few threads, Prefect's and Ray's state in a folder of the
session's own.

The environment is set before anything heavy is imported, here and in the processes that tests
start.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from demoire.cleaning.config import CleanerConfig

pytest_plugins = ["tests.crash_notes"]

_STATE = Path(tempfile.mkdtemp(prefix="demoire-tests-"))

os.environ |= {
    "PREFECT_HOME": str(_STATE / "prefect"),
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Other tests run beside these: several threads on one core would mostly wait for one another.
    "OMP_NUM_THREADS": "1",
    # What is cleaned before midnight is compared with what is cleaned after it.
    "SOURCE_DATE_EPOCH": "1000000000",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "TERM": "dumb",
}
_OUTSIDE = ("PREFECT_API_URL", "PREFECT_PROFILE", "RAY_ADDRESS")
_SETTINGS = ("DEMOIRE_STORAGE_OPTIONS", "DEMOIRE_RAY_ADDRESS", "DEMOIRE_REGISTRY")
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
)
for _name in (*_OUTSIDE, *_SETTINGS, *_CREDENTIALS):
    os.environ.pop(_name, None)

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every program
# that a test starts and then stops.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples on a busy machine may take as long as they like.
settings.register_profile("demoire", deadline=None)
settings.load_profile("demoire")


def pytest_unconfigure() -> None:
    shutil.rmtree(_STATE, ignore_errors=True)


# Ray takes some six seconds to come up and go down, and a whole run half a minute, so the modules
# that want one share it.
_RUNS = {"finished", "finished_demo"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the modules that share a Ray first, one after the other, so that it comes up once; then
    those that share a whole run.

    They take longest, so that processes side by side end at about the same time, too.
    """

    def fixtures(item: pytest.Item) -> set[str]:
        return set(getattr(item, "fixturenames", ()))

    with_ray = {item.path for item in items if "local_ray" in fixtures(item)}
    with_run = {item.path for item in items if _RUNS & fixtures(item)}
    items.sort(key=lambda item: (item.path not in with_ray, item.path not in with_run))


@pytest.fixture(scope="module")
def local_ray() -> None:
    """A Ray of two CPUs in this process. It stays for the next module if that wants one, too."""
    import ray

    from tests.crash_notes import note_crashes

    if not ray.is_initialized():
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=2,
            log_to_driver=False,
            logging_level="ERROR",
        )
        note_crashes()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the Ray of `local_ray` where the next module does without it."""
    if "ray" not in sys.modules:
        return
    stays = nextitem is not None and (
        nextitem.path == item.path or "local_ray" in getattr(nextitem, "fixturenames", ())
    )
    if not stays:
        import ray

        ray.shutdown()


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> "CleanerConfig":
    """A configuration with tiny weights that cleans what is striped, and only that."""
    from tests.tiny_weights import make_tiny_config  # brings torch, which not all tests need

    return make_tiny_config(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `demoire demo` has filled. To be looked at, not to be changed."""
    from tests.golden.command import demoire

    folder = tmp_path_factory.mktemp("demo") / "demo"
    ended = demoire("demo", "--out", folder, "--seed", 1, "--device", "cpu", timeout=600)
    assert ended.status == 0, ended.err
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
