"""A folder of pairs and labelled pictures, as `demoire evaluate` reads it.

It holds NAME_moire.EXT with its exact twin NAME_clean.EXT and, for the detector alone,
NAME_only_moire.EXT and NAME_only_clean.EXT. Other files and folders in it are ignored. The whole
folder is checked before anything is cleaned, so that a mistake in it shows at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoire.errors import ImageError, UsageError
from demoire.imaging.formats import IMAGE_SUFFIXES
from demoire.imaging.images import probe
from demoire.imaging.rgb import decode_rgb
from demoire.wording import first_few
from pipelines.names import shown

_NAME = re.compile(r"(?P<name>.+?)_(?P<role>only_moire|only_clean|moire|clean)")


@dataclass(frozen=True)
class PairFiles:
    """A picture with moiré, and its exact twin without."""

    name: str
    moire: Path
    clean: Path


@dataclass(frozen=True)
class LabelledFolder:
    """A folder in order: every picture with moiré has its twin, of the same size."""

    pairs: tuple[PairFiles, ...]  # by name
    only_moire: tuple[Path, ...]
    only_clean: tuple[Path, ...]

    @property
    def images(self) -> int:
        """How many pictures it holds; a pair counts as two."""
        return 2 * len(self.pairs) + len(self.only_moire) + len(self.only_clean)


@dataclass(frozen=True)
class _Fault:
    """What is wrong with a file of the folder."""

    what: str
    remedy: str


@dataclass(frozen=True)
class _Roles:
    """The files of a folder, by role and name."""

    moire: dict[str, Path] = field(default_factory=dict)
    clean: dict[str, Path] = field(default_factory=dict)
    only_moire: dict[str, Path] = field(default_factory=dict)
    only_clean: dict[str, Path] = field(default_factory=dict)


def read_folder(folder: Path) -> LabelledFolder:
    """List what a folder of labelled images holds, and check it.

    Raises:
        UsageError: The folder is missing, empty or not in order; the message names the files.
    """
    roles, faults = _sort_by_role(folder)
    pairs = []
    for name in sorted(roles.moire.keys() | roles.clean.keys()):
        moire = roles.moire.get(name)
        clean = roles.clean.get(name)
        if moire is None or clean is None:
            faults.append(_without_twin(folder, name, moire, clean))
            continue
        faults += _faults_of_pair(moire, clean)
        pairs.append(PairFiles(name, moire, clean))
    for alone in (*_by_name(roles.only_moire), *_by_name(roles.only_clean)):
        faults += _sizes(alone)[1]
    _refuse(folder, faults)
    labelled = LabelledFolder(
        pairs=tuple(pairs),
        only_moire=_by_name(roles.only_moire),
        only_clean=_by_name(roles.only_clean),
    )
    if not labelled.images:
        raise UsageError(
            f"{shown(str(folder))} holds no labelled images: it takes NAME_moire.EXT with "
            "NAME_clean.EXT, which 'demoire simulate' makes."
        )
    return labelled


def read_pairs(folder: Path, needed_for: str) -> tuple[PairFiles, ...]:
    """List the pairs of a folder of labelled images, and check the folder.

    Args:
        folder: As for `read_folder`.
        needed_for: What takes pairs alone, for the message: "--ocr reads".

    Raises:
        UsageError: It holds no pairs, or is not in order.
    """
    pairs = read_folder(folder).pairs
    if not pairs:
        raise UsageError(
            f"{shown(str(folder))} holds no pairs, which {needed_for}: "
            "add NAME_moire.EXT with NAME_clean.EXT."
        )
    return pairs


def pair_name(path: Path) -> str:
    """The NAME of a labelled file, which is what labels.csv calls it.

    Args:
        path: A file that `read_folder` listed.
    """
    match = _NAME.fullmatch(path.stem)
    assert match is not None
    return match["name"]


def read_bytes(path: Path) -> bytes:
    """Read a labelled file.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable_picture(path, error) from error


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a labelled file to (H, W, 3) sRGB.

    Raises:
        UsageError: The file cannot be read or decoded.
    """
    try:
        return decode_rgb(read_bytes(path))
    except ImageError as error:
        raise unreadable_picture(path, error) from error


def unreadable_picture(path: Path, error: ImageError | OSError) -> UsageError:
    """Say that a file of the folder cannot be used, and what to do about it."""
    fault = _unreadable(path, error)
    return UsageError(f"{fault.what}: {fault.remedy}.")


def _unreadable(path: Path, error: ImageError | OSError) -> _Fault:
    why = error.reason.replace("_", " ") if isinstance(error, ImageError) else "no access"
    what = f"{shown(str(path))} cannot be read ({why})"
    return _Fault(what, "mend it or take it out of the folder")


def _refuse(folder: Path, faults: Sequence[_Fault]) -> None:
    """Raise UsageError where anything is wrong with any file."""
    if not faults:
        return
    if len(faults) == 1:
        raise UsageError(f"{faults[0].what}: {faults[0].remedy}.")
    named = first_few([fault.what for fault in faults])
    raise UsageError(
        f"{len(faults):,} things are wrong in {shown(str(folder))}: {named}; mend them or take the "
        "files out of the folder."
    )


def _sort_by_role(folder: Path) -> tuple[_Roles, list[_Fault]]:
    """The files by role and name, and which of them are of one role and name."""
    if not folder.is_dir():
        raise UsageError(
            f"{shown(str(folder))} is no folder: give one that holds NAME_moire.EXT and "
            "NAME_clean.EXT."
        )
    roles = _Roles()
    faults = []
    by_role = {
        "moire": roles.moire,
        "clean": roles.clean,
        "only_moire": roles.only_moire,
        "only_clean": roles.only_clean,
    }
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.stem)
        if match is None or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        same = by_role[match["role"]].setdefault(match["name"], path)
        if same != path:
            what = f"{shown(str(same))} and {shown(path.name)} are of one name"
            faults.append(_Fault(what, "take one of them out of the folder"))
    return roles, faults


def _without_twin(folder: Path, name: str, moire: Path | None, clean: Path | None) -> _Fault:
    role, lacking = ("clean", "moire") if moire is None else ("moire", "clean")
    there = moire or clean
    return _Fault(
        f"{shown(str(there))} has no twin",
        f"add {shown(f'{name}_{lacking}')} to {shown(str(folder))}, or name it "
        f"{shown(name)}_only_{role}",
    )


def _faults_of_pair(moire: Path, clean: Path) -> list[_Fault]:
    sizes, faults = _sizes(moire, clean)
    if faults or sizes[0] == sizes[1]:
        return faults
    what = f"{shown(str(moire))} is of {sizes[0]} and its twin {shown(clean.name)} of {sizes[1]}"
    return [_Fault(what, "a pair has to be of one size")]


def _sizes(*paths: Path) -> tuple[list[str], list[_Fault]]:
    """Width and height of files as text, from their headers alone; and which are no images."""
    sizes = []
    faults = []
    for path in paths:
        try:
            facts = probe(path.read_bytes())
        except (ImageError, OSError) as error:
            faults.append(_unreadable(path, error))
            continue
        sizes.append(f"{facts.width} x {facts.height} px")
    return sizes, faults


def _by_name(files: dict[str, Path]) -> tuple[Path, ...]:
    return tuple(files[name] for name in sorted(files))
