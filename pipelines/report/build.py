"""The report of a run: what was done to an archive, as a page for people and a JSON file for
programs.

`build_report` can be called at any time, by the run or by `demoire report`: it reads only what
publishing left under DST/_demoire/report, and writes `index.html` and `summary.json` there, each in
one step. It costs one pass over the report tables (about two seconds a million images) and at most
forty small pictures.
"""

import json
from dataclasses import asdict
from typing import Any

from demoire.reasons import Reason
from demoire.wording import figure, share
from pipelines.layout import REPORT
from pipelines.names import shown
from pipelines.report.pages import Histogram, histogram, render
from pipelines.report.previews import most_changed_previews, preview_pair
from pipelines.report.summary import BINS, SourceTotals, Summary, summarise
from pipelines.storage.open import open_place

__all__ = ["build_report", "preview_pair"]

_MOST_SOURCES = 500  # rows in the page's table; summary.json has all


def build_report(dst: str) -> str:
    """Write DST/_demoire/report/index.html and summary.json from the report tables there; the
    page's full path.

    Raises UsageError if nothing was planned or published under DST.
    """
    place = open_place(dst)
    summary = summarise(place)
    page = render(
        "report.html.j2",
        dst=place.full(),
        summary=summary,
        total=summary.total,
        sources=_worst_first(summary.sources)[:_MOST_SOURCES],
        previews=most_changed_previews(place),
        charts_data=_charts(summary),
        stages=_stages(summary),
        explained={reason: reason.meaning for reason in Reason},
    )
    place.write(f"{REPORT}/summary.json", json.dumps(_as_json(summary), indent=2).encode())
    place.write(f"{REPORT}/index.html", page)
    return place.full(f"{REPORT}/index.html")


def _worst_first(sources: list[SourceTotals]) -> list[SourceTotals]:
    """Those whose count does not come out, then by name; where not all are shown, those with
    quarantine come first.
    """
    crowded = len(sources) > _MOST_SOURCES
    return sorted(
        sources, key=lambda source: (source.proved, crowded and not source.quarantined, source.name)
    )


def _charts(summary: Summary) -> dict[str, Histogram]:
    return {
        "judged": histogram([("images", "all", summary.judged.tolist())], logarithmic=True),
        "cleaned": histogram(
            [
                ("before", "before", summary.before.tolist()),
                ("after", "after", summary.after.tolist()),
            ]
        ),
    }


def _stages(summary: Summary) -> list[dict[str, str | float]]:
    """The parts of the strip that shows where the time went."""
    whole = sum(summary.seconds.values())
    return [
        {
            "name": name,
            "style": f"stage-{n}",
            "value": value,
            "text": f"{figure(value, 1)} s, {share(value, whole)}",
        }
        for n, (name, value) in enumerate(summary.seconds.items(), start=1)
    ]


def _as_json(summary: Summary) -> dict[str, Any]:
    total = summary.total
    return {
        "planned": total.planned,
        "proved": not summary.unproved if summary.planned else None,
        **{name: value for name, value in asdict(total).items() if name not in ("name", "planned")},
        "archives": len(summary.sources),
        **{name: mean.value for name, mean in summary.means.items()},
        "moire_kinds": dict(summary.kinds),
        "quarantine": dict(summary.quarantine),
        "histogram": {
            "edges": [step / BINS for step in range(BINS + 1)],
            "all_before": summary.judged.tolist(),
            "cleaned_before": summary.before.tolist(),
            "cleaned_after": summary.after.tolist(),
        },
        "tiles": summary.tiles,
        "tiles_restored": summary.tiles_restored,
        "stage_seconds": summary.seconds,
        **{f"{name}s": values for name, values in summary.origins.items()},
        "first_finished_at": summary.first.isoformat() if summary.first else None,
        "last_finished_at": summary.last.isoformat() if summary.last else None,
        "sources": [asdict(source) | {"name": shown(source.name)} for source in summary.sources],
    }
