"""What the documents say exists: links lead somewhere, and command lines are the program's own."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golden.command import help_page

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(document: Path) -> Iterator[str]:
    """Targets of the document's links inside the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            yield target.partition("#")[0]


def command_lines(document: Path) -> Iterator[list[str]]:
    """Words of each `demoire ...` that stands in an indented block."""
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("    ") and "demoire " in line:
            for words in commands_of(line):
                while "=" in words[0]:  # variables for this command alone
                    words = words[1:]
                if words[0].rpartition("/")[2] == "demoire":
                    yield words[1:]


def commands_of(line: str) -> Iterator[list[str]]:
    """The commands of a shell line, split where the shell splits them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in (";", "&&", "|", "do"):
            yield from [words] if words else []
            words = []
        else:
            words.append(word)
    yield from [words] if words else []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    lost = [target for target in links(document) if not (document.parent / target).exists()]
    assert lost == []


def test_the_documents_show_command_lines() -> None:
    shown = {words[0] for document in DOCUMENTS for words in command_lines(document)}
    assert {"clean", "plan", "fix", "evaluate", "train", "doctor"} - shown <= {"plan"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_option_that_a_document_shows_exists(document: Path) -> None:
    for words in command_lines(document):
        command = words[0]
        if command.startswith("-"):
            continue
        page = help_page(command)
        assert page.status == 0, f"{name_of(document)}: there is no command {command}"
        for word in words[1:]:
            option = word.partition("=")[0]
            if option.startswith("--"):
                known = re.search(rf"{re.escape(option)}\b", page.out)
                assert known, f"{name_of(document)}: {command} has no option {option}"
