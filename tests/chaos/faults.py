"""A bucket that stumbles while a run reads and writes: answers refused, cut off, late, of other
bytes or out of date.

The faults are drawn by a seed, about one in seven answers, and are counted only where an answer
could have them.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.collection import Published, published, start_clean
from tests.chaos.kills import Campaign
from tests.chaos.odd_sources import put_theirs
from tests.s3_server import Fault, s3_variables, serve_faults, serve_s3

FAULTS: tuple[Fault, ...] = ("slow_down", "reset", "short_body", "other_range", "slow_body")
_SHARE = 0.15  # of the answers
_PATIENCE = 900.0  # seconds for a run


def fault_campaign(
    buckets: Path, expected: Published, config: Path, work: Path, faults: int, seed: int
) -> Campaign:
    """Runs from the bucket `box` into others, each through a proxy that spoils answers, until there
    were so many.
    """
    campaign, coming = Campaign(), _draw(random.Random(seed))
    with (
        serve_s3(buckets) as server,
        serve_faults(server, coming, campaign.injected, late_lists=True) as endpoint,
    ):
        while campaign.injected.total() < faults:
            bucket, log = f"out-{campaign.runs}", work / f"faults-{campaign.runs}.log"
            put_theirs(buckets / bucket)
            # a run may give up on a store that does not answer, and is started again
            for _ in range(3):
                if clean_bucket(bucket, config, log, endpoint) == 0:
                    break
            campaign.judge(published(buckets / bucket), expected)
            print(
                f"run {campaign.runs}: {dict(campaign.injected)}, proved so far: {campaign.proved}",
                flush=True,
            )
    return campaign


def clean_bucket(bucket: str, config: Path, log: Path, endpoint: str) -> int:
    """Clean s3://box into a bucket; the exit status."""
    variables = s3_variables(endpoint, "a-key", "a-secret")
    options = ("--merge", "--workers", "1")
    run = start_clean("s3://box", f"s3://{bucket}", config, log, *options, environment=variables)
    return run.wait(_PATIENCE)


def _draw(rng: random.Random) -> Iterator[Fault | None]:
    while True:
        yield rng.choice(FAULTS) if rng.random() < _SHARE else None
