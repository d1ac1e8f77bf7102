"""The architecture's module table says what the modules say of themselves."""

from tests.architecture.module_table import DOCUMENT, with_table
from tests.architecture.source import modules


def test_every_module_says_what_it_holds() -> None:
    silent = [module.name for module in modules() if module.text.strip() and not module.first_line]
    assert silent == []


def test_the_table_is_up_to_date() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert document == with_table(document), "run python -m tests.architecture.module_table"
