"""What this installation stands on, what is wrong with it, and what to do: versions, devices,
weights, storage.

Every check answers for itself, so one that fails hides no other. Nothing is changed anywhere; only
with `write` is a small object created in each place and deleted again, with the folders that it
needed, since one who may list need not be allowed to write.
"""

import os
import platform
import shutil
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from demoire.errors import DemoireError
from demoire.imaging.limits import MAX_MEGAPIXELS, largest_file
from demoire.memory import free_memory, memory_limit
from demoire.temporary_files import is_in_memory, temporary_folder
from pipelines.layout import probe_object
from pipelines.names import shown

if TYPE_CHECKING:
    from pipelines.storage.place import Place

_PACKAGES = (
    "demoire",
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
_COPIES_OF_A_FILE = 5  # as it came, its pixels, the restored ones, as it is written, with a note
_GB = 2**30


@dataclass(frozen=True)
class Check:
    """One finding; `way_out` says what to do and is empty where all is well."""

    name: str
    finding: str
    way_out: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.way_out

    def to_json(self) -> dict[str, str | bool]:
        """The finding as `demoire doctor --json` shows it."""
        return {
            "name": self.name,
            "ok": self.ok,
            "finding": self.finding,
            "way_out": self.way_out,
        }


def examine(places: Sequence[str] = (), *, write: bool = False) -> Iterator[Check]:
    """Make all checks, one after another; the slow ones (torch, storage) come last.

    Args:
        places: Folders and URLs to try.
        write: Try to write there too.
    """
    yield Check("system", f"{platform.platform()}, Python {platform.python_version()}")
    for package in _PACKAGES:
        yield _package(package)
    yield _memory()
    yield _disk()
    yield _prefect_server()
    yield _guarded("libjpeg", _libjpeg)
    yield _guarded("device", _device)
    for name in ("detector", "restorer"):
        yield _guarded(f"weights {name}", partial(_weights, name))
    yield _guarded("registry", _registry)
    for place in places:
        yield _guarded(f"storage {shown(place)}", partial(_storage, place, write=write))


def _guarded(name: str, check: Callable[[], str | Check]) -> Check:
    """What the check finds; where it fails, that it did is the finding."""
    try:
        finding = check()
    except DemoireError as error:
        return Check(name, "wrong", str(error))
    # A broken installation fails in ways of its own, and telling of them is the task here.
    except Exception as error:
        return Check(
            name,
            f"{type(error).__name__}: {error}",
            "Install again with the versions of constraints.txt.",
        )
    if isinstance(finding, Check):
        return finding
    return Check(name, finding)


def _package(name: str) -> Check:
    install = f"pip install -c constraints.txt {name}"
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Check(name, "not installed", install)
    wanted = _wanted(name)
    if wanted and not _satisfies(installed, wanted):
        return Check(name, installed, f"demoire needs {name}{wanted}: {install}")
    return Check(name, installed)


def _wanted(name: str) -> str:
    """The versions of a package that demoire takes, such as ">=2.6"; "" for any."""
    from packaging.requirements import Requirement

    for line in requires("demoire") or []:
        requirement = Requirement(line)
        if requirement.name == name and requirement.marker is None:
            return str(requirement.specifier)
    return ""


def _satisfies(installed: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(installed, prereleases=True)


def _memory() -> Check:
    from demoire.cleaning.budget import largest_page, megapixels_in_flight

    limit = memory_limit()
    free = free_memory()
    in_flight = megapixels_in_flight("cpu", limit.total)
    page = largest_page(limit.total)
    finding = (
        f"{free / _GB:.1f} of the {limit.owner}'s {limit.total / _GB:.1f} GB free, "
        f"{os.cpu_count()} processors; {in_flight:.0f} MP in flight on the CPU, "
        f"one page of up to {page:.0f} MP"
    )
    if free < _MEMORY_GB * _GB:
        way_out = f"Free some: a run wants {_MEMORY_GB} GB, or lower --workers."
        return Check("memory", finding, way_out)
    return Check("memory", finding)


def _disk() -> Check:
    folder = temporary_folder()
    free = shutil.disk_usage(folder).free / _GB
    where = f"{folder}, which is in memory" if is_in_memory(folder) else folder
    file = min(free / _COPIES_OF_A_FILE, largest_file(MAX_MEGAPIXELS) / _GB)
    finding = f"{free:.1f} GB free in {where}; one file of up to {file:.1f} GB"
    if is_in_memory(folder):
        way_out = "Set TMPDIR to a folder on disk: large pages would take memory there."
        return Check("disk", finding, way_out)
    if free < _DISK_GB:
        way_out = "Free some, or set TMPDIR to a larger disk: archives are built there."
        return Check("disk", finding, way_out)
    return Check("disk", finding)


def _prefect_server() -> Check:
    name = "prefect server"
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return Check(name, "none named; commands run without one, schedules start their own")
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=5):
            return Check(name, f"{shown(address)} answers")
    except OSError as error:
        problem = str(error)
    except (ValueError, HTTPException) as error:
        # Not its text, which repeats the malformed address with whatever secret is in it.
        problem = type(error).__name__
    way_out = "Start it, or correct or unset PREFECT_API_URL."
    return Check(name, f"{shown(address)}: {problem}", way_out)


def _device() -> str | Check:
    import torch

    from demoire.models.precision import multiplies_bfloat16

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if names:
        return ", ".join(f"cuda:{number} {name}" for number, name in enumerate(names))
    if shutil.which("nvidia-smi"):
        way_out = (
            "There is an NVIDIA driver, but this torch does not see a GPU: install its CUDA build."
        )
        return Check("device", f"CPU only, torch {torch.__version__}", way_out)
    width = "bfloat16" if multiplies_bfloat16(torch.device("cpu")) else "float32"
    return f"CPU only, threads: {torch.get_num_threads()}, restores in {width}"


def _libjpeg() -> str:
    from PIL import features

    from demoire.imaging.codecs.libjpeg import check_interface

    check_interface()
    return f"{features.version('libjpeg_turbo') or features.version('jpg')}, as Pillow brings it"


def _weights(name: str) -> str:
    from demoire.models.weights import find_weights

    weights = find_weights(name)
    return f"{weights.architecture}, sha256 {weights.digest[:12]}"


def _registry() -> str:
    from pipelines.training.registry import Registry

    registry = Registry()
    names = ", ".join(registry.names())
    return f"{registry.uri}, {names or 'holds nothing'}"


def _storage(uri: str, *, write: bool) -> str:
    from pipelines.storage.open import is_there, open_place, try_to_write

    place = open_place(uri)
    first = next(iter(place.list()), None)
    finding = "can be listed"
    if place.is_file_system and not is_there(place):
        finding = "does not exist: a run would make it as DST, but needs it as SRC"
    elif first is None:
        finding = "can be listed, holds nothing"
    if not write:
        return finding
    missing = _missing_folders(place)
    try_to_write(place)
    for folder in missing:
        with suppress(OSError):  # a run may have begun meanwhile
            folder.rmdir()
    return finding + ", can be written"


def _missing_folders(place: "Place") -> list[Path]:
    """The folders of this machine that a first object would make, the innermost first."""
    if not place.is_file_system:
        return []
    folders = Path(place.uri, probe_object("any")).parents
    return [folder for folder in folders if not folder.exists()]
