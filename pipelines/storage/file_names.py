"""Which names the file system of a folder can hold.

Every file system has limits of its own, and a share those of the machine behind it: no ':' on
Windows, no name that is not UTF-8 on a Mac. No table would be right for all of them, so a name with
odd characters is tried: a file with these characters is written into a folder of its own, looked
for in the listing (some shares take "x." and store "x"), and removed. Costs nothing for ordinary
names, and a few calls for each new set of odd characters.
"""

import os
import re
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

# Characters that some file system or share refuses; a lone surrogate stands for a byte that is no
# UTF-8.
_ODD = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)

_LONGEST_NAME = 255  # bytes, where the file system does not say
_LONGEST_PATH = 4096  # bytes


def is_too_long(folder: str, path: str) -> bool:
    """Whether a path below a local folder has a part, or is in all, longer than may be."""
    if len(os.fsencode(f"{folder}/{path}")) >= _LONGEST_PATH:
        return True
    encoded = os.fsencode(path)
    # The usual path is shorter than any limit on one part of it.
    if len(encoded) < _LONGEST_NAME // 2:
        return False
    longest = _longest_name(folder)
    return any(len(part) > longest for part in encoded.split(b"/"))


def has_odd_parts(path: str) -> bool:
    """Whether a path has characters, or names, that some file system refuses."""
    if _ODD.search(path):
        return True
    return any(_is_odd_part(part) for part in path.split("/"))


def holds_odd_parts(folder: str, path: str) -> bool:
    """Whether the file system of a folder holds names with the odd characters of this path."""
    for part in path.split("/"):
        characters = "".join(sorted(set(_SURROGATE.sub("\udcff", "".join(_ODD.findall(part))))))
        if "\0" in characters:
            return False
        probe = f"a{characters}b"
        if _DEVICE.match(part):
            probe = part
        if part.endswith((".", " ")):
            probe += part[-1]
        if probe != "ab" and not _holds(folder, probe):
            return False
    return True


@lru_cache
def tells_case_apart(folder: str) -> bool:
    """Whether two names that differ only in case are two files in a folder; true if unknown."""
    return _try_name(folder, "Case", looked_for="case") is not True


def _is_odd_part(part: str) -> bool:
    return part.endswith((".", " ")) or _DEVICE.match(part) is not None


@lru_cache
def _longest_name(folder: str) -> int:
    existing = Path(folder)
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        return os.pathconf(existing, "PC_NAME_MAX")
    except (OSError, ValueError):
        return _LONGEST_NAME


@lru_cache
def _holds(folder: str, name: str) -> bool:
    return _try_name(folder, name, looked_for=None) is not False


def _try_name(folder: str, name: str, looked_for: str | None) -> bool | None:
    """Whether a file of this name is there once it was written; None where nothing can be tried.

    Args:
        folder: The folder whose file system is tried.
        name: The name of the file.
        looked_for: Another name that may lead to it; None: its own name in the listing.
    """
    if not Path(folder).is_dir():
        return None
    try:
        inside = Path(tempfile.mkdtemp(prefix=".demoire-", suffix=".tmp", dir=folder))
    except OSError:
        return None
    try:
        (inside / name).touch()
        if looked_for is None:
            return name in os.listdir(inside)  # noqa: PTH208
        return (inside / looked_for).exists()
    except (OSError, ValueError):
        return False
    finally:
        shutil.rmtree(inside, ignore_errors=True)
