"""What commands check before they begin what takes long: minutes of work must not end in a mistake
that was there from the start.
"""

import os
from pathlib import Path

from demoire.errors import UsageError
from flows.settings import CleanSettings
from pipelines.names import shown


def check_models(settings: CleanSettings) -> None:
    """Check that the models are there that these settings name, and the device.

    On a cluster the devices are elsewhere, and the workers look for them.

    Raises:
        WeightsError: Weights are missing, damaged or of the other model.
        UsageError: The device is not there.
    """
    settings.cleaner_config().fingerprint()  # it reads both weights files
    if settings.ray_address is None and settings.device.startswith("cuda"):
        # Only then: torch costs a second and 200 MB, and not every command has other need of it.
        from demoire.cleaning.engine import find_device

        find_device(settings.device)


def check_writable(out: Path, option: str) -> None:
    """Check that a file can be written; folders above it may still have to be made.

    Args:
        out: The file.
        option: The option that names it.

    Raises:
        UsageError: It cannot be written.
    """
    folder = out.absolute().parent
    while not folder.exists():
        folder = folder.parent
    may_write = os.access(out if out.exists() else folder, os.W_OK)
    if out.is_dir() or not folder.is_dir() or not may_write:
        raise UsageError(f"{shown(str(out))} cannot be written: choose another file with {option}.")
