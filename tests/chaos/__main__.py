"""The long campaign, run by `make chaos`: kills, a stumbling bucket, hostile files; a table of what
came of it.

    python -m tests.chaos [--kills N] [--faults N] [--files N] [--seed N] [--extra DIR] [--out FILE]

Exit status 1 if anything was lost, doubled, altered or different from an undisturbed run. Takes
about an hour on two cores; a part that is given 0 is left out.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.collection import make_collection, published, start_clean, tables, write_config
from tests.chaos.faults import clean_bucket, fault_campaign
from tests.chaos.files import HostileRun, run_hostile_files
from tests.chaos.kills import Campaign, kill_campaign, kinds_by_run
from tests.chaos.odd_sources import put_theirs
from tests.s3_server import serve_s3
from tests.tiny_weights import make_tiny_config

PAGES = 300  # of a TIFF and of a PDF


def main() -> int:
    options = _options()
    work = Path(tempfile.mkdtemp(prefix="demoire-chaos-"))
    os.environ |= {
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PREFECT_HOME": str(work / "prefect"),
    }
    config = write_config(make_tiny_config(work), work / "tiny.toml")
    found: dict[str, Campaign | HostileRun] = {}
    if options.kills:
        found["kills"] = _kills(config, work, options.images, options.kills, options.seed)
    if options.faults:
        found["faults"] = _faults(config, work, options.images, options.faults, options.seed)
    if options.files:
        found["files"] = run_hostile_files(config, work, options.files, options.seed, options.extra)
    print(said(found))
    if options.out:
        options.out.write_text(
            json.dumps({name: vars(result) for name, result in found.items()}, indent=2)
        )
    proved = all(result.proved for result in found.values())
    if proved:
        shutil.rmtree(work)
    else:
        print(f"What was found is in {work}.", file=sys.stderr)
    return 0 if proved else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="processes to be killed")
    parser.add_argument(
        "--faults", type=int, default=200, help="answers of the bucket to be spoilt"
    )
    parser.add_argument("--files", type=int, default=10_000, help="mutated images")
    parser.add_argument(
        "--images",
        type=int,
        default=220,
        help="pictures of the collection that is cleaned under kills",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--extra", type=Path, help="a folder of awkward files, to be mutated as well"
    )
    parser.add_argument("--out", type=Path, help="JSON with the figures")
    return parser.parse_args()


def _kills(config: Path, work: Path, images: int, kills: int, seed: int) -> Campaign:
    box, calm = work / "box", work / "calm"
    make_collection(box, images, pages=PAGES)
    put_theirs(calm)
    options = ("--merge", "--workers", "1")
    assert start_clean(str(box), str(calm), config, work / "calm.log", *options).wait() == 0
    return kill_campaign(box, published(calm), config, work, kinds_by_run(kills), seed)


def _faults(config: Path, work: Path, images: int, faults: int, seed: int) -> Campaign:
    buckets = work / "buckets"
    make_collection(buckets / "box", images, pages=PAGES)
    put_theirs(buckets / "calm")
    with serve_s3(buckets) as endpoint:
        assert clean_bucket("calm", config, work / "calm-bucket.log", endpoint) == 0
    return fault_campaign(buckets, published(buckets / "calm"), config, work, faults, seed)


def said(found: Mapping[str, Campaign | HostileRun]) -> str:
    """The figures as tables in Markdown."""
    parts = []
    campaigns = [result for result in found.values() if isinstance(result, Campaign)]
    if campaigns:
        heads = [
            "fault",
            "injected",
            "runs",
            "lost",
            "doubled",
            "equal mirrors",
            "equal reports",
            "stuck",
        ]
        rows = [
            (kind, count, c.runs, c.lost, c.doubled, c.mirrors_equal, c.reports_equal, c.stuck)
            for c in campaigns
            for kind, count in sorted(c.injected.items())
        ]
        parts.append(tables(rows, heads))
    for result in found.values():
        if isinstance(result, HostileRun):
            facts = [(name, _brief(value)) for name, value in vars(result).items()]
            parts.append(tables(facts, ("hostile files", "")))
    return "\n\n".join(parts)


def _brief(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {count}" for name, count in sorted(value.items()))
    if isinstance(value, list):
        return f"{len(value)}" + (f" ({', '.join(value[:3])})" if value else "")
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
