"""The report of a run: a page for people and a JSON file for programs.

`build_report` can be called at any time, by the run or by `demoire report`. It reads only what
publishing left under DST/_demoire, and writes `index.html` and `summary.json` into its folder
`page`, each in one step. It costs one pass over the report tables (about two seconds a million
images) and at most forty small pictures.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from demoire.wording import figure, share
from pipelines.destination.destination import Destination
from pipelines.destination.differences import Differences, differences
from pipelines.destination.stored_json import read_json
from pipelines.fixity.findings import ChecksumList, Findings
from pipelines.layout import BOOKKEEPING, GREY, GREY_SUFFIX, PAGE, SUMMARY
from pipelines.names import shown
from pipelines.report.charts import Histogram, histogram
from pipelines.report.earlier import move_earlier_previews, remove_earlier_page
from pipelines.report.pages import render
from pipelines.report.previews import most_changed_previews
from pipelines.report.summarise import summarise
from pipelines.report.summary import (
    BINS,
    LISTED,
    ReportSummary,
    SourceTotals,
    WithheldObject,
)
from pipelines.storage.open import open_place
from pipelines.storage.place import Place

_MOST_GREY = 200  # links to grey pictures, on the page
_MOST_LISTS = 200  # of checksums, on the page
_MOST_SOURCES = 500  # rows in the page's table; summary.json has all


@dataclass(frozen=True)
class _StripPart:
    """A part of the strip that shows where the time went."""

    name: str
    style: str
    value: float
    text: str


@dataclass(frozen=True)
class _Withheld:
    """What is withheld for one reason, as the page names it."""

    reason: str
    count: int
    listed: list[WithheldObject]  # the first of them; summary.json has all


@dataclass(frozen=True)
class _Charts:
    """The histograms of the page."""

    judged: Histogram
    cleaned: Histogram


def build_report(dst: str) -> str:
    """Write index.html and summary.json from the report tables under DST.

    Args:
        dst: Folder or URL of a destination.

    Returns:
        The full path of the page.

    Raises:
        UsageError: Nothing was planned or published there.
        StorageError: The store cannot be read or written.
    """
    place = open_place(dst)
    destination = Destination(place)
    plan = destination.manifests.find_latest()
    summary = summarise(place, plan)
    differing = Differences() if plan is None else differences(destination, plan)
    move_earlier_previews(place)
    greys = [entry.path for entry in destination.grey_pictures.all()]
    page = render(
        "report.html.j2",
        dst=place.full(),
        summary=summary,
        total=summary.total,
        sources=_worst_first(summary.sources)[:_MOST_SOURCES],
        previews=most_changed_previews(place),
        greys=[_grey_link(path) for path in greys[:_MOST_GREY]],
        greys_in_all=len(greys),
        charts_data=_charts(summary),
        stages=_time_strip(summary),
        lists=_stale_first(summary.fixity),
        differing=differing,
        withheld=_by_reason(summary.withheld),
    )
    place.write(SUMMARY, json.dumps(_as_json(summary, differing), indent=2).encode())
    place.write(PAGE, page)
    remove_earlier_page(place)
    return place.full(PAGE)


def quarantine_in_report(place: Place) -> dict[str, int]:
    """How many images are in quarantine, by reason, as `summary.json` has it.

    Raises:
        UsageError: The file is damaged.
        StorageError: The store cannot be read.
    """
    return read_json(place, SUMMARY, _QUARANTINE_FORM).quarantine


@dataclass(frozen=True)
class _Quarantine:
    """What is read back of summary.json."""

    quarantine: dict[str, int]


_QUARANTINE_FORM = TypeAdapter(_Quarantine)


@dataclass(frozen=True)
class _GreyLink:
    """A grey picture as the page names it."""

    name: str
    address: str  # from the page


def _grey_link(path: str) -> _GreyLink:
    name = path.removeprefix(f"{GREY}/").removesuffix(GREY_SUFFIX)
    return _GreyLink(name, quote(path.replace(BOOKKEEPING, "..", 1)))


def _worst_first(sources: list[SourceTotals]) -> list[SourceTotals]:
    """Those whose count does not come out, then the others by name.

    Where the page cannot show all, those with quarantine come before those without.
    """
    crowded = len(sources) > _MOST_SOURCES

    def rank(source: SourceTotals) -> tuple[bool, bool, str]:
        waits = crowded and not source.quarantined
        return source.proved, waits, source.name

    return sorted(sources, key=rank)


def _stale_first(fixity: Findings | None) -> list[ChecksumList]:
    if fixity is None:
        return []
    return sorted(fixity.lists, key=lambda checked: checked.state)[:_MOST_LISTS]


def _by_reason(withheld: list[WithheldObject]) -> list[_Withheld]:
    """What is withheld, by reason; the most frequent one comes first."""
    groups = []
    for reason, count in Counter(one.reason for one in withheld).most_common():
        of_reason = (one for one in withheld if one.reason == reason)
        groups.append(_Withheld(reason, count, list(islice(of_reason, LISTED))))
    return groups


def _charts(summary: ReportSummary) -> _Charts:
    before = ("before", "before", summary.before.tolist())
    after = ("after", "after", summary.after.tolist())
    return _Charts(
        judged=histogram([("images", "all", summary.judged.tolist())], logarithmic=True),
        cleaned=histogram([before, after]),
    )


def _time_strip(summary: ReportSummary) -> list[_StripPart]:
    whole = sum(summary.seconds.values())
    parts = []
    for number, (name, seconds) in enumerate(summary.seconds.items(), start=1):
        text = f"{figure(seconds, 1)} s, {share(seconds, whole)}"
        parts.append(_StripPart(name, f"stage-{number}", seconds, text))
    return parts


def _as_json(summary: ReportSummary, differing: Differences) -> dict[str, Any]:
    """The document of summary.json, whose keys and their order are a promise."""
    total = asdict(summary.total)
    del total["name"]
    means = {}
    for mean in fields(summary.means):
        means[mean.name] = getattr(summary.means, mean.name).value
    withheld = Counter(item.reason for item in summary.withheld)
    origins = {f"{name}s": values for name, values in summary.origins.items()}
    return {
        "planned": total.pop("planned"),
        "proved": summary.proved,
        **total,
        "archives": len(summary.sources),
        **means,
        "moire_kinds": dict(summary.kinds),
        "quarantine": dict(summary.quarantine),
        "withheld_by_reason": dict(withheld),
        "not_looked_into": summary.not_looked_into,
        "histogram": {
            "edges": [step / BINS for step in range(BINS + 1)],
            "all_before": summary.judged.tolist(),
            "cleaned_before": summary.before.tolist(),
            "cleaned_after": summary.after.tolist(),
        },
        "tiles": summary.tiles,
        "tiles_restored": summary.tiles_restored,
        "stage_seconds": summary.seconds,
        **origins,
        "first_finished_at": summary.first.isoformat() if summary.first else None,
        "last_finished_at": summary.last.isoformat() if summary.last else None,
        "foreign": asdict(differing.foreign),
        "left": asdict(differing.left),
        "sources": [asdict(source) | {"name": shown(source.name)} for source in summary.sources],
        "fixity": asdict(summary.fixity) if summary.fixity else None,
        "withheld_objects": [asdict(item) for item in summary.withheld],
    }
