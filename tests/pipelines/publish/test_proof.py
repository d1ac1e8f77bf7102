"""The proof: it fails if anything is missing, and names the source."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import ProofError
from pipelines.estimate import estimate
from pipelines.status import status
from tests.pipelines.conftest import draw, half_moire, write_tar
from tests.pipelines.publish.job import Job, cleaned_job


def test_a_loose_file_that_is_lost_is_noticed_although_archives_lie_beside_it(
    tmp_path: Path, cleaner: Cleaner
) -> None:
    (tmp_path / "box").mkdir()
    write_tar(tmp_path / "box" / "a.tar", half_moire(1))
    (tmp_path / "box" / "loose.jpg").write_bytes(draw(False, 1))
    job = cleaned_job(tmp_path / "box", tmp_path / "out", cleaner)
    job.publish_all()
    assert job.prove().images == 2
    (tmp_path / "out" / "loose.jpg").unlink()
    with pytest.raises(ProofError, match="its mirror is not there"):
        job.prove()


def test_plan_status_and_proof_count_the_same_images(published: Job) -> None:
    """Among them are an unsafe name and an archive that is cut short."""
    state = status(published.destination)
    cost = estimate(published.plan, published.units, mps=1.0)
    assert cost.images == state.planned_images == state.images_done == published.prove().images
    assert cost.images > sum(len(unit.members) for unit in published.units)


@pytest.mark.parametrize("missing", ["a row", "a mirror", "a status", "a marker"])
def test_the_proof_fails_and_names_the_source_of_which_something_is_missing(
    published: Job, missing: str
) -> None:
    planned = published.planned("c.zip")
    bookkeeping = published.dst / "_demoire"
    report = bookkeeping / "report" / f"{planned.source.id}.parquet"
    table = pq.read_table(report)
    if missing == "a row":
        pq.write_table(table.slice(1), report)
    elif missing == "a status":
        rows = [row | {"status": "copied"} for row in table.to_pylist()]
        pq.write_table(table.from_pylist(rows, table.schema), report)
    elif missing == "a mirror":
        (published.dst / "c.zip").unlink()
    else:
        (bookkeeping / "published" / f"{planned.source.id}.json").unlink()
    with pytest.raises(ProofError, match="does not come out for c.zip ") as told:
        published.prove()
    assert "a.tar" not in str(told.value)
