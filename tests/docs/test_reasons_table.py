"""The documented reasons are those of the code."""

from demoire.reasons import Reason
from tests.docs.reasons_table import DOCUMENT, documented_table, reasons_table


def test_the_documented_table_of_reasons_is_that_of_the_code() -> None:
    documented = documented_table(DOCUMENT.read_text(encoding="utf-8"))

    assert documented == reasons_table(), "run `python -m tests.docs.reasons_table`"
    assert len(documented.splitlines()) == 2 + len(Reason)
