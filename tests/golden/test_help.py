"""The commands, and the help page of each, to the letter."""

import re

import pytest

from tests.golden.command import demoire, help_page
from tests.golden.pinned import PINNED, assert_pinned_text

COMMANDS = (
    "clean",
    "plan",
    "status",
    "report",
    "retry",
    "gc",
    "preview",
    "fix",
    "detect",
    "simulate",
    "lookalikes",
    "train",
    "search",
    "weights",
    "evaluate",
    "bench",
    "serve",
    "deploy",
    "doctor",
    "demo",
)


def test_the_program_lists_its_commands_in_their_order() -> None:
    page = demoire("--help").out

    listed = re.findall(r"^│ (\w+) ", page.partition("Commands")[2], re.MULTILINE)
    assert tuple(listed) == COMMANDS
    assert_pinned_text("help/demoire.txt", page)


def test_without_a_command_the_program_shows_its_help() -> None:
    ended = demoire()

    assert ended.status == 0
    assert ended.out.strip() == demoire("--help").out.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_shows_its_help_page(command: str) -> None:
    ended = help_page(command)

    assert (ended.status, ended.err) == (0, "")
    assert_pinned_text(f"help/{command}.txt", ended.out)


def test_no_help_page_is_pinned_for_a_command_that_is_gone() -> None:
    pages = {path.stem for path in (PINNED / "help").glob("*.txt")}

    assert pages == {"demoire", *COMMANDS}
