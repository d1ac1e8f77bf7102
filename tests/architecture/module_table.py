"""The module table of docs/architecture.md, from the modules' docstrings.

`python -m tests.architecture.module_table` writes it anew; a test fails where it is out of date.
"""

from tests.architecture.source import PACKAGES, ROOT, modules

DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- modules: written by python -m tests.architecture.module_table -->"
END = "<!-- end of modules -->"


def table() -> str:
    """One row a module: where it is, and the first sentence of its docstring."""
    rows = ["| module | what it holds |", "| --- | --- |"]
    for package in PACKAGES:
        for module in modules(package):
            if module.first_line:
                rows.append(f"| `{module.name}` | {_first_sentence(module.first_line)} |")
    return "\n".join(rows)


def with_table(document: str) -> str:
    """The document with the table of today between its marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _first_sentence(line: str) -> str:
    sentence, stop, _ = line.partition(". ")
    text = sentence if stop else line.removesuffix(".")
    return text.replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
