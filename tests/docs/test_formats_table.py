"""The table of formats names a test for what it says, and each of these tests exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "formats.md"
HEADING = "## What is proved"
COLUMNS = 7


def section() -> list[str]:
    """The lines below the heading, up to the next one."""
    _, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(f"{HEADING}\n")
    return rest.partition("\n## ")[0].splitlines()


def rows() -> list[list[str]]:
    """The cells of the table, without its head."""
    lines = [line for line in section() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named_tests() -> dict[int, str]:
    listed = re.findall(r"^(\d+)\. `(\S+)`$", "\n".join(section()), re.MULTILINE)
    return {int(number): test for number, test in listed}


def test_every_yes_in_the_table_has_a_test_and_every_test_is_used() -> None:
    used = set()
    for row in rows():
        assert len(row) == COLUMNS, row
        for cell in row[1:]:
            numbers = re.findall(r"\((\d+)\)$", cell)
            assert numbers or not cell.startswith("yes"), f"{row[0]}: {cell}"
            used.update(int(number) for number in numbers)
    assert used == named_tests().keys()
    assert len(rows()) > 10


def test_the_tests_that_the_table_names_exist() -> None:
    lost = []
    for test in named_tests().values():
        path, _, name = test.partition("::")
        file = ROOT / path
        if not file.exists() or f"\ndef {name}(" not in file.read_text(encoding="utf-8"):
            lost.append(test)
    assert lost == []
