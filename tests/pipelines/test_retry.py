"""What a retry says where there is nothing to try."""

from pathlib import Path

import pytest

from demoire.errors import UsageError
from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope
from pipelines.plan.plan import make_plan
from pipelines.retry import RetryOrder, retry


@pytest.mark.parametrize(
    ("reason", "what"), [(None, "in quarantine"), ("unreadable", "of reason unreadable")]
)
def test_a_damaged_archive_is_no_matter_of_a_retry(
    reason: str | None, what: str, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/box.zip").write_bytes(b"no zip")
    dst = str(tmp_path / "dst")
    make_plan(Destination.at(dst), PlanScope(str(tmp_path / "src"), "cd" * 32))
    with pytest.raises(UsageError, match=f"Nothing {what} .* once it has been repaired"):
        retry(dst, RetryOrder(reason))
