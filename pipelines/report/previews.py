"""Small before/after pictures of the most changed images, cut where they changed most.

Publishing a source keeps at most twenty pairs of it in `report/previews/<source>.parquet`; the
report shows the twenty most changed of all. To choose them only the column of figures is read, so a
report over ten thousand sources reads a few megabytes of pictures at most.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoire.imaging.rgb import decode_rgb
from pipelines.layout import REPORT
from pipelines.storage.place import Place

PREVIEWS = f"{REPORT}/previews"
SHOWN = 20
SIDE = 288  # px, of the picture itself: moiré must be seen 1:1, any scaling makes or hides it

_QUALITY = 88
_GRAIN = 8  # px; the place of most change is sought on a grid this fine


@dataclass(frozen=True)
class Preview:
    """One changed image: the same crop of it before and after."""

    source: str
    member: str
    page: int
    psnr_vs_input: float  # dB; the lower, the more was changed
    before: bytes  # JPEG
    after: bytes  # JPEG


def preview_pair(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """The same crop of an image before and after cleaning, as two JPEGs.

    before, after: encoded images of one size, of any format that is cleaned. The crop is at most
    288 x 288 px, in the image's own pixels, around the place that changed most. Costs about 30 ms a
    megapixel, most of it decoding. Raises ImageError for what cannot be decoded, ValueError where
    the sizes differ.
    """
    one = decode_rgb(before)
    other = decode_rgb(after)
    if one.shape != other.shape:
        raise ValueError(f"the images are of different sizes: {one.shape} and {other.shape}")
    rows, columns = most_changed(one, other)
    return jpeg(one[rows, columns]), jpeg(other[rows, columns])


def most_changed(
    one: NDArray[np.uint8], other: NDArray[np.uint8], side: int = SIDE
) -> tuple[slice, slice]:
    """Rows and columns of the `side` px square in which two pictures (H, W, 3) differ most, in sum
    of differences.
    """
    height, width = one.shape[:2]
    tall, wide = min(side, height), min(side, width)
    difference = cv2.absdiff(one, other).sum(axis=2, dtype=np.float32)
    small = cv2.resize(
        difference,
        (max(1, width // _GRAIN), max(1, height // _GRAIN)),
        interpolation=cv2.INTER_AREA,
    )
    window = (max(1, wide // _GRAIN), max(1, tall // _GRAIN))
    sums = cv2.boxFilter(small, -1, window, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    sums = sums[: small.shape[0] - window[1] + 1, : small.shape[1] - window[0] + 1]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    top, left = min(int(y) * _GRAIN, height - tall), min(int(x) * _GRAIN, width - wide)
    return slice(top, top + tall), slice(left, left + wide)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) sRGB as a JPEG whose colour is not subsampled: moiré is colour."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)
    assert done
    return data.tobytes()


def most_changed_previews(place: Place, count: int = SHOWN) -> list[Preview]:
    """The previews under DST with the lowest PSNR against the input, most changed first."""
    chosen = heapq.nsmallest(count, _figures(place))
    by_file: dict[str, list[int]] = {}
    for _, path, row in chosen:
        by_file.setdefault(path, []).append(row)
    found = {
        (path, row): preview
        for path, rows in by_file.items()
        for row, preview in _read(place, path, rows)
    }
    return [found[path, row] for _, path, row in chosen]


def _figures(place: Place) -> Iterator[tuple[float, str, int]]:
    """(PSNR, file, row) of every preview."""
    for entry in place.list(PREVIEWS, recursive=False):
        if entry.kind != "file" or not entry.name.endswith(".parquet"):
            continue
        with place.open(entry.path) as file:
            figures = pq.read_table(file, columns=["psnr_vs_input"]).column(0).to_pylist()
        yield from (
            (value, entry.path, row) for row, value in enumerate(figures) if value is not None
        )


def _read(place: Place, path: str, rows: list[int]) -> Iterator[tuple[int, Preview]]:
    with place.open(path) as file:
        table = pq.read_table(file, columns=list(Preview.__dataclass_fields__)).take(rows)
    for row, values in zip(rows, table.to_pylist(), strict=True):
        yield row, Preview(**values)
