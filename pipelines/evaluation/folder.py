"""A folder of pairs and labelled pictures, as `demoire evaluate` reads it."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from demoire.errors import ImageError, UsageError
from demoire.imaging.formats import IMAGE_SUFFIXES
from demoire.imaging.images import probe
from demoire.moire import KINDS
from pipelines.names import shown
from pipelines.report.previews import rgb

_NAME = re.compile(r"(?P<name>.+?)_(?P<role>only_moire|only_clean|moire|clean)")


_LABELS = "labels.csv"  # what `demoire simulate` writes beside its pairs: the kind of each


UNNAMED = "moire"  # the kind of an image with moiré that no labels.csv names


Role = Literal["only_moire", "only_clean", "moire", "clean"]


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


def read_folder(folder: Path) -> LabelledFolder:
    """What a folder of labelled images holds. Raises UsageError, naming the file, where it is not
    in order.
    """
    roles = _roles(folder)
    pairs = []
    for name in sorted(roles["moire"].keys() | roles["clean"].keys()):
        moire, clean = roles["moire"].get(name), roles["clean"].get(name)
        if moire is None or clean is None:
            there, lacking = (moire, f"{name}_clean") if moire else (clean, f"{name}_moire")
            raise UsageError(
                f"{_said(there)} has no twin: add {shown(lacking)} to {_said(folder)}, or name it "
                f"{shown(name)}_only_{'moire' if moire else 'clean'}."
            )
        _check_sizes(moire, clean)
        pairs.append(PairFiles(name, moire, clean))
    only_moire, only_clean = (
        tuple(path for _, path in sorted(roles[role].items())) for role in _ONLY
    )
    if not pairs and not only_moire and not only_clean:
        raise UsageError(
            f"{_said(folder)} holds no labelled images: it takes NAME_moire.EXT with NAME_clean.EXT, which "
            "'demoire simulate' makes."
        )
    return LabelledFolder(tuple(pairs), only_moire, only_clean)


_ONLY: tuple[Role, Role] = ("only_moire", "only_clean")


def _roles(folder: Path) -> dict[Role, dict[str, Path]]:
    roles: dict[Role, dict[str, Path]] = {
        "only_moire": {},
        "only_clean": {},
        "moire": {},
        "clean": {},
    }
    if not folder.is_dir():
        raise UsageError(
            f"{_said(folder)} is no folder: give one that holds NAME_moire.EXT and NAME_clean.EXT."
        )
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.stem)
        if match is None or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        same = roles[match["role"]].setdefault(match["name"], path)  # type: ignore[index]  # the pattern's four
        if same != path:
            raise UsageError(
                f"{_said(same)} and {path.name} are of one name: take one of them out of the folder."
            )
    return roles


def _check_sizes(moire: Path, clean: Path) -> None:
    sizes = []
    for path in (moire, clean):
        try:
            facts = probe(path.read_bytes())
        except (ImageError, OSError) as error:
            raise _unreadable(path, error) from error
        sizes.append(f"{facts.width} x {facts.height} px")
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"{_said(moire)} is of {sizes[0]} and its twin {clean.name} of {sizes[1]}: a pair has to be of one size."
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _rgb(path: Path) -> Any:
    try:
        return rgb(_bytes(path))
    except ImageError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = error.reason.replace("_", " ") if isinstance(error, ImageError) else "no access"
    return UsageError(
        f"{_said(path)} cannot be read ({reason}): mend it or take it out of the folder."
    )


def _said(path: Path | None) -> str:
    return shown(str(path))


def _labels(folder: Path) -> dict[str, dict[str, str]]:
    """Rows by name of pair, as `demoire simulate` noted them; none where there is no such file."""
    try:
        with (folder / _LABELS).open(newline="", encoding="utf-8") as file:
            return {row["name"]: row for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, csv.Error):
        return {}


def _label(path: Path, labels: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    match = _NAME.fullmatch(path.stem)
    return labels.get(match["name"], {}) if match else {}


def _true_kind(path: Path, labels: Mapping[str, Mapping[str, str]]) -> str:
    kind = _label(path, labels).get("kind")
    return kind if kind in KINDS[1:] else UNNAMED


def _strength(path: Path, labels: Mapping[str, Mapping[str, str]]) -> float | None:
    try:
        return float(_label(path, labels)["strength"])
    except (KeyError, TypeError, ValueError):
        return None
