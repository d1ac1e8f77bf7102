"""The memory there is: the machine's, or what its control groups leave."""

from pathlib import Path

import pytest

from demoire.cleaning.budget import largest_page, megapixels_in_flight, windows_at_once
from demoire.memory import memory_limit


def group(root: Path, name: str, limit: str, used: int) -> None:
    """Write the files of a control group of either version."""
    folder = root / "sys/fs/cgroup" / name
    folder.mkdir(parents=True, exist_ok=True)
    is_second = "memory" not in name.split("/")
    (folder / ("memory.max" if is_second else "memory.limit_in_bytes")).write_text(f"{limit}\n")
    (folder / ("memory.current" if is_second else "memory.usage_in_bytes")).write_text(f"{used}\n")


def process(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("\n".join(lines) + "\n")


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    limit = memory_limit(tmp_path)
    assert limit.owner == "machine" and limit.used is None and limit.total > 1e8


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    process(tmp_path, "0::/pods/one/main")
    group(tmp_path, "pods/one/main", "max", 5)
    group(tmp_path, "pods/one", "3000000", 2000)
    group(tmp_path, "pods", "4000000", 2500)
    limit = memory_limit(tmp_path)
    assert (limit.total, limit.used, limit.owner) == (3000000, 2000, "container")


@pytest.mark.parametrize("path", ["/", "/docker/0123abcd"])
def test_version_1_may_name_a_path_of_the_machine_that_is_not_there(
    tmp_path: Path, path: str
) -> None:
    process(tmp_path, f"9:memory:{path}", "3:cpu,cpuacct:/")
    group(tmp_path, "memory", "2000000", 70)
    assert memory_limit(tmp_path).total == 2000000


def test_no_limit_of_version_1_is_a_number_beyond_any_machine(tmp_path: Path) -> None:
    process(tmp_path, "9:memory:/")
    group(tmp_path, "memory", "9223372036854771712", 70)
    assert memory_limit(tmp_path).owner == "machine"


def test_less_memory_lets_fewer_pictures_in_but_always_one() -> None:
    assert megapixels_in_flight("cpu", 24e9) == 48
    assert megapixels_in_flight("cpu", 1.7e9) == 25
    assert megapixels_in_flight("cpu", 6.4e9, share=0.25) == pytest.approx(18.75)
    assert megapixels_in_flight("cuda", 0.5e9) == 1
    assert largest_page(0.5e9) == 0 and largest_page(4e9) > 400


def test_windows_beside_each_other_follow_from_memory_and_threads() -> None:
    assert windows_at_once(24e9, share=1.0, threads=2) == 2
    assert windows_at_once(24e9, share=1.0, threads=1) == 1
    assert windows_at_once(2e9, share=1.0, threads=8) == 1
    assert windows_at_once(16e9, share=0.25, threads=8) == 3
