"""What this installation stands on, what is wrong with it, and what to do: versions, devices,
weights, storage.

Every check answers for itself, so one that fails hides no other. Nothing is changed anywhere; only
with `write` is a small object created in each place and deleted again, since one who may list need
not be allowed to write.
"""

import os
import platform
import shutil
import tempfile
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, requires, version

from demoire.errors import DemoireError
from pipelines.names import shown

_SHOWN = (
    "torch",
    "ray",
    "prefect",
    "pyarrow",
    "fsspec",
    "s3fs",
    "pillow",
    "opencv-python-headless",
    "tifffile",
)
_MEMORY_GB = 4  # a driver and one cleaning process
_DISK_GB = 5  # archives are built in the temporary folder before they are put in place


@dataclass(frozen=True)
class Check:
    """One finding; `way_out` says what to do and is empty where all is well."""

    name: str
    finding: str
    way_out: str = ""

    @property
    def ok(self) -> bool:
        return not self.way_out


def examine(places: Sequence[str] = (), *, write: bool = False) -> Iterator[Check]:
    """All checks, one after another; the slow ones (torch, storage) come last."""
    yield Check("system", f"{platform.platform()}, Python {platform.python_version()}")
    for package in ("demoire", *_SHOWN):
        yield _package(package)
    yield _memory()
    yield _disk()
    yield _prefect_server()
    yield _guarded("device", _device)
    for name in ("detector", "restorer"):
        yield _guarded(f"weights {name}", partial(_weights, name))
    yield _guarded("registry", _registry)
    for place in places:
        yield _guarded(f"storage {shown(place)}", partial(_storage, place, write))


def _guarded(name: str, check: Callable[[], str | Check]) -> Check:
    try:
        found = check()
    except DemoireError as error:
        return Check(name, "wrong", str(error))
    # a broken installation fails in ways of its own; telling of them is the task here
    except Exception as error:
        return Check(
            name,
            f"{type(error).__name__}: {error}",
            "Install again with the versions of constraints.txt.",
        )
    return found if isinstance(found, Check) else Check(name, found)


def _package(name: str) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "not installed", f"pip install -c constraints.txt {name}")
    wanted = _wanted(name)
    if wanted and not _satisfies(found, wanted):
        return Check(
            name, found, f"demoire needs {name}{wanted}: pip install -c constraints.txt {name}"
        )
    return Check(name, found)


def _wanted(name: str) -> str:
    from packaging.requirements import Requirement

    for line in requires("demoire") or []:
        requirement = Requirement(line)
        if requirement.name == name and requirement.marker is None:
            return str(requirement.specifier)
    return ""


def _satisfies(found: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(found, prereleases=True)


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    finding = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free, {os.cpu_count()} processors"
    if memory.available < _MEMORY_GB * 2**30:
        return Check(
            "memory", finding, f"Free some: a run wants {_MEMORY_GB} GB, or lower --workers."
        )
    return Check("memory", finding)


def _disk() -> Check:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free / 2**30
    finding = f"{free:.1f} GB free in {folder}"
    if free < _DISK_GB:
        return Check(
            "disk", finding, "Free some, or set TMPDIR to a larger disk: archives are built there."
        )
    return Check("disk", finding)


def _prefect_server() -> Check:
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return Check(
            "prefect server", "none named; commands run without one, schedules start their own"
        )
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=5):
            return Check("prefect server", f"{shown(address)} answers")
    except (OSError, ValueError, HTTPException) as error:
        # What a malformed address is answered with repeats it.
        what = str(error) if isinstance(error, OSError) else type(error).__name__
        return Check(
            "prefect server",
            f"{shown(address)}: {what}",
            "Start it, or correct or unset PREFECT_API_URL.",
        )


def _device() -> str | Check:
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if names:
        return ", ".join(f"cuda:{number} {name}" for number, name in enumerate(names))
    if shutil.which("nvidia-smi"):
        way_out = (
            "There is an NVIDIA driver, but this torch does not see a GPU: install its CUDA build."
        )
        return Check("device", f"CPU only, torch {torch.__version__}", way_out)
    return f"CPU only, {torch.get_num_threads()} threads"


def _weights(name: str) -> str:
    from demoire.models.weights import find_weights

    weights = find_weights(name)
    return f"{weights.architecture}, sha256 {weights.digest[:12]}"


def _registry() -> str:
    from pipelines.training.registry import Registry

    registry = Registry()
    return f"{registry.uri}, {', '.join(registry.names()) or 'holds nothing'}"


def _storage(uri: str, write: bool) -> str:
    from pipelines.storage.open import open_place

    place = open_place(uri)
    first = next(iter(place.list()), None)
    finding = "can be listed" if first is not None else "can be listed, holds nothing"
    if not write:
        return finding
    probe = f"_demoire/doctor-{uuid.uuid4().hex}"
    place.write(probe, b"demoire doctor: this object may be deleted")
    place.delete(probe)
    return finding + ", can be written"
