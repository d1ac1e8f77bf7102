"""Pages that a person reads: one file each, with nothing outside it.

Styles and charts are inline, pictures are data: URIs, and a content policy in the page itself
forbids scripts and any request, so a page can be mailed, archived, or opened from a bucket years
later. What a page shows comes from archives that strangers filled: everything is escaped by the
template engine, and names go through `shown` first.
"""

import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from demoire.wording import figure, moment, share, size
from pipelines.names import shown


@dataclass(frozen=True)
class Series:
    """One set of bars of a histogram."""

    name: str
    style: str  # class of the bars: 'before', 'after' or 'all'
    counts: tuple[int, ...]
    heights: tuple[float, ...]  # 0..1 of the chart's height


@dataclass(frozen=True)
class Tick:
    """A line across a chart with what it stands for."""

    label: str
    height: float  # 0..1


@dataclass(frozen=True)
class Histogram:
    """Bars over equal steps from 0 to 1, ready to be drawn."""

    series: tuple[Series, ...]
    ticks: tuple[Tick, ...]


def histogram(
    named: Sequence[tuple[str, str, Sequence[int]]], *, logarithmic: bool = False
) -> Histogram:
    """The histogram of (name, style, counts) series over the same steps.

    Logarithmic heights show one image beside a million; a single image is still seen, none is no
    bar.
    """
    top = max((count for _, _, counts in named for count in counts), default=0)
    limit = max(top, 1) if logarithmic else _nice(max(top, 1))

    def height(count: int) -> float:
        return math.log10(count + 1) / math.log10(limit + 1) if logarithmic else count / limit

    marks = (
        [10**power for power in range(len(str(limit)))]
        if logarithmic
        else sorted({limit // 2, limit} - {0})
    )
    ticks = tuple(Tick(figure(mark), height(mark)) for mark in marks if height(mark) <= 1)
    drawn = (
        Series(name, style, tuple(counts), tuple(map(height, counts)))
        for name, style, counts in named
    )
    return Histogram(tuple(drawn), ticks)


def _nice(top: int) -> int:
    """The smallest of 1, 2, 4, 6, 10, 20, 40... that is no less than `top`."""
    scale = 10 ** (len(str(top)) - 1)
    return next(step * scale for step in (1, 2, 4, 6, 10) if step * scale >= top)


def jpeg_uri(jpeg: bytes) -> str:
    """A JPEG as the data: URI of an <img>."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"


def render(template: str, **facts: Any) -> bytes:
    """The page as UTF-8. What a template names and nobody gave is an error, never an empty
    place.
    """
    page = _environment().get_template(template).render(**facts)
    # A lone surrogate that slipped past `shown` must not cost a whole report.
    return page.encode("utf-8", "backslashreplace")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "figure": figure,
        "size": size,
        "share": share,
        "moment": moment,
        "jpeg_uri": jpeg_uri,
    }
    return environment
