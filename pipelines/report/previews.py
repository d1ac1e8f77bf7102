"""The small before/after pictures that publishing left, as the report chooses among them.

Publishing a source keeps at most twenty pairs of it in `page/previews/<source>.parquet`; the report
shows the twenty most changed of all. To choose them it reads only the column of figures, so
a report over ten thousand sources reads a few megabytes of pictures at most.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import pyarrow.parquet as pq

from pipelines.destination.tables import tables_in
from pipelines.layout import PREVIEWS
from pipelines.storage.place import Place

SHOWN = 20


@dataclass(frozen=True)
class Preview:
    """One changed image: the same crop of it before and after."""

    source: str
    member: str
    page: int
    psnr_vs_input: float  # dB; the lower, the more was changed
    before: bytes  # JPEG
    after: bytes  # JPEG


class _Candidate(NamedTuple):
    """Where a preview is. Sorts by how much was changed, the most first."""

    psnr_vs_input: float
    path: str
    row: int


def most_changed_previews(place: Place) -> list[Preview]:
    """Read the previews under DST with the lowest PSNR against the input, most changed first."""
    chosen = heapq.nsmallest(SHOWN, _candidates(place))
    rows_by_path: dict[str, list[int]] = {}
    for candidate in chosen:
        rows_by_path.setdefault(candidate.path, []).append(candidate.row)
    previews: dict[tuple[str, int], Preview] = {}
    for path, rows in rows_by_path.items():
        for row, preview in zip(rows, _read(place, path, rows), strict=True):
            previews[path, row] = preview
    return [previews[candidate.path, candidate.row] for candidate in chosen]


def _candidates(place: Place) -> Iterator[_Candidate]:
    """Every preview, by its figure alone."""
    for entry in tables_in(place, PREVIEWS):
        with place.open(entry.path) as file:
            table = pq.read_table(file, columns=["psnr_vs_input"])
        for row, psnr in enumerate(table.column(0).to_pylist()):
            if psnr is not None:
                yield _Candidate(psnr, entry.path, row)


def _read(place: Place, path: str, rows: list[int]) -> list[Preview]:
    columns = [field.name for field in fields(Preview)]
    with place.open(path) as file:
        table = pq.read_table(file, columns=columns).take(rows)
    return [Preview(**values) for values in table.to_pylist()]
