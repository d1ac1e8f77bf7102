"""The report of a test that ended its process says where the process was."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("xdist")


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("ctypes.string_at(0)", "in test_that_ends_its_process"),
        ("os._exit(3)", "killed, or ended itself"),
    ],
    ids=["a fault", "an end of its own"],
)
def test_the_report_says_where_a_test_process_crashed(
    tmp_path: Path, ending: str, told: str
) -> None:
    test = f"import ctypes, os\n\ndef test_that_ends_its_process():\n    {ending}\n"
    (tmp_path / "test_one.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-p", "tests.crash_notes", "--numprocesses", "1"]
    ended = subprocess.run(
        [*command, "--rootdir", tmp_path, tmp_path], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "crashed while running" in ended.stdout
    assert told in ended.stdout
