"""docs/reference.md has every command, option, setting, column and reason."""

import re

from pipelines.columns import MEANINGS
from pipelines.records import REPORT_SCHEMA
from tests.docs.reference import REFERENCE, reference
from tests.golden.command import help_page
from tests.golden.test_help import COMMANDS


def test_the_reference_is_what_the_program_says_of_itself() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), (
        "write it anew: python -m tests.docs.reference"
    )


def test_every_column_has_a_meaning_and_no_meaning_is_left_over() -> None:
    assert list(MEANINGS) == REPORT_SCHEMA.names


def test_every_option_of_a_help_page_is_in_the_reference() -> None:
    """The help page is the other witness: it is made by typer, not by what writes the reference."""
    sections = REFERENCE.read_text(encoding="utf-8").split("\n### demoire ")[1:]
    documented = {section.partition("\n")[0]: section for section in sections}
    for command in COMMANDS:
        page = help_page(command).out
        options = set(re.findall(r"--[a-z][a-z-]+", page.partition("Options")[2])) - {"--help"}
        missing = [option for option in options if f"`{option}`" not in documented[command]]
        assert not missing, f"{command}: {missing}"
