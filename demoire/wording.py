"""Figures, sizes and times as people read them, for terminals and for pages.

A page has fonts: its figures are parted by thin spaces, and an en dash stands for what is not
known. A terminal may have neither, so `plain_figure` keeps to ASCII. Everything else is worded the
same in both.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

DASH = "–"  # on a page, for what is not known
PLAIN_DASH = "-"  # the same on a terminal

_THIN_SPACE = "\u202f"
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
_MINUTE = 60.0  # s
_NAMED = 3  # of many things, in a sentence


def figure(value: float | None, digits: int = 0) -> str:
    """A number on a page: thousands parted by thin spaces, a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.{digits}f}".replace(",", _THIN_SPACE)


def plain_figure(value: Any) -> str:
    """A value on a terminal: thousands parted by commas, fewer decimals the larger it is.

    None and NaN become a dash. What is no number is written as it is.
    """
    if value is None:
        return PLAIN_DASH
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return PLAIN_DASH
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.2f}"
    return f"{value:.3f}"


def first_few(names: Sequence[str]) -> str:
    """Some of what a sentence tells of, and how many there are beside: a, b, c and 12 more."""
    named = ", ".join(names[:_NAMED])
    rest = len(names) - _NAMED
    return f"{named} and {rest:,} more" if rest > 0 else named


def size(count: float) -> str:
    """A number of bytes in powers of ten: 812 B, 3.4 MB, 1.2 TB."""
    amount = count
    unit = _BYTE_UNITS[0]
    for unit in _BYTE_UNITS:
        if amount < 1000 or unit == _BYTE_UNITS[-1]:
            break
        amount /= 1000
    if unit == "B" or amount >= 100:
        return f"{amount:,.0f} {unit}"
    return f"{amount:,.1f} {unit}"


def share(part: float, whole: float) -> str:
    """A share in per cent.

    More than nothing never reads as 0 %, and less than everything never reads as 100 %.
    """
    if not whole:
        return DASH
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    if percent in (0, 100):
        return f"{percent:.0f} %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """A length of time: 42 s, 12 min, 3 h 05 min."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def moment(when: datetime | None) -> str:
    """A point in time to the second, in UTC; a dash for None."""
    if when is None:
        return DASH
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
