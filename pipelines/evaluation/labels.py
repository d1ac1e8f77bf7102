"""labels.csv: which kind of moiré each picture of a folder of pairs has, and how strong it is.

`demoire simulate` writes the file beside its pairs. It is optional, and so is the column
`strength`; a file that is there but cannot be read is an error, because figures by kind would
otherwise be missing without a word.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from demoire.errors import UsageError
from demoire.moire import KINDS
from pipelines.names import shown

_FILE = "labels.csv"
UNNAMED = "moire"  # the kind of an image with moiré whose kind no label names


@dataclass(frozen=True)
class TrueLabel:
    """What labels.csv says about one name."""

    kind: str | None = None  # as written, which need not be one of KINDS
    strength: float | None = None  # RMS of the pattern in 1/255

    @property
    def moire_kind(self) -> str:
        """The kind of moiré, or UNNAMED where the file names none that is known."""
        if self.kind is not None and self.kind in KINDS[1:]:
            return self.kind
        return UNNAMED


def read_labels(folder: Path) -> dict[str, TrueLabel]:
    """Read the labels of a folder by the name of the pair; empty where there is no labels.csv.

    Raises:
        UsageError: labels.csv is there but cannot be read as a table with a column `name`.
    """
    path = folder / _FILE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            # Strict, because a stray quote would otherwise swallow the lines after it.
            return _parse(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _damaged(path, error.strerror or "no access") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is not UTF-8") from error
    except (ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from error


def _parse(rows: Iterable[Mapping[str | None, str | None]]) -> dict[str, TrueLabel]:
    """Labels by name. Raises ValueError for a row that does not fit the header."""
    labels = {}
    for number, row in enumerate(rows, start=2):  # the header is line 1
        name = row.get("name")
        if name is None:
            raise ValueError("it has no column 'name'")
        # csv fills fields that are missing with None, and keeps surplus ones under None.
        if None in row or None in row.values():
            raise ValueError(f"line {number} does not have as many fields as the header")
        labels[name] = TrueLabel(row.get("kind"), _number(row.get("strength")))
    return labels


def _number(text: str | None) -> float | None:
    """A strength; None for an empty field, or a mark such as '?'."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{shown(str(path))} cannot be read ({why}): mend it or take it out of the folder."
    )
