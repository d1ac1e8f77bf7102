"""Mirror the archives of a bucket, cleaned, into another one, on a Ray of this machine.

    export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
    python examples/an_archive_on_s3.py s3://scans/incoming s3://scans/clean

The same as `demoire clean SRC DST`. It may be stopped at any time: started again, it goes on where
it ended.
"""

import sys

from demoire import CleanerConfig
from pipelines.job import CleanJob
from pipelines.run import run_job


def show(phase: str, done: float, total: float) -> None:
    """Say how far the run is."""
    print(f"{phase}: {done:g} of {total:g}", file=sys.stderr)


def main(source: str, destination: str) -> None:
    """Clean all archives below `source` into their mirror below `destination`."""
    # Credentials stay in the environment, so that none can end in a plan or a report.
    job = CleanJob(source, destination, CleanerConfig(), workers=1)

    summary = run_job(job, progress=show)

    # Had the count not come out, run_job would have raised a ProofError.
    print(f"{summary.images} images: {summary.cleaned} cleaned, {summary.quarantined} quarantined")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
