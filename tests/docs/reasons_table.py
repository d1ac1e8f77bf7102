"""The table of reasons in docs/nothing-lost.md, made from `demoire.reasons`.

    python -m tests.docs.reasons_table

writes it anew between the two marks; the test beside this file fails where document and code
differ.
"""

from pathlib import Path

from demoire.reasons import Reason

DOCUMENT = Path(__file__).parents[2] / "docs/nothing-lost.md"
BEGIN = "<!-- table of reasons, made by tests/docs/reasons_table.py -->\n"
END = "<!-- end of the table of reasons -->\n"


def reasons_table() -> str:
    """The table in Markdown: quarantine first, then what is withheld, then what is copied."""
    lines = ["| reason | the image is | what it means | what to do |", "| --- | --- | --- | --- |"]
    order = ("quarantined", "withheld", "copied", "cleaned")
    for reason in sorted(Reason, key=lambda one: order.index(one.status)):
        lines.append(f"| `{reason.value}` | {reason.status} | {reason.meaning} | {reason.remedy} |")
    return "\n".join(lines) + "\n"


def documented_table(document: str) -> str:
    """What stands between the marks."""
    return document.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write the table into the document."""
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(before + BEGIN + reasons_table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
