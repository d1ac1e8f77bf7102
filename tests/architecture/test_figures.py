"""How the code reads, held by figures; `python -m tests.architecture.figures` prints them all."""

import ast

import pytest

from tests.architecture.figures import (
    Figures,
    is_tuple_assignment,
    length,
    long_lines,
    measure,
    public_definitions,
)
from tests.architecture.source import modules

LONGEST_CLASS = 150  # lines
LONGEST_MODULE = 350  # lines


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure()


def test_no_line_is_longer_than_a_hundred_characters() -> None:
    too_long = {module.name: numbers for module in modules() if (numbers := long_lines(module))}
    assert too_long == {}


def test_comprehensions_are_few(figures: Figures) -> None:
    assert figures.comprehensions_per_1000 <= 20


def test_values_that_have_nothing_to_do_together_are_not_assigned_together(
    figures: Figures,
) -> None:
    assert figures.tuple_assignments_per_1000 <= 3


def test_what_is_public_is_documented(figures: Figures) -> None:
    undocumented = []
    for module in modules():
        for definition in public_definitions(module):
            if ast.get_docstring(definition) is None:
                undocumented.append(f"{module.name}: {definition.name}")
    assert figures.public_docstrings_percent >= 95, undocumented


def is_table(node: ast.ClassDef) -> bool:
    """Whether a class is a list of values, which may be as long as there are values."""
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    return bool(bases & {"Enum", "StrEnum", "IntEnum"})


def test_no_class_is_too_long() -> None:
    too_long = {}
    for module in modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ClassDef) or is_table(node):
                continue
            if length(node) > LONGEST_CLASS:
                too_long[f"{module.name}.{node.name}"] = length(node)
    assert too_long == {}


def test_no_module_is_too_long() -> None:
    too_long = {}
    for module in modules():
        lines = len(module.text.splitlines())
        if lines > LONGEST_MODULE:
            too_long[module.name] = lines
    assert too_long == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a, b = 1, 2", True),
        ("a = b = 1, 2", False),
        ("a, b = f()", False),
        ("(a, b), c = x, y", True),
        ("a = 1", False),
    ],
)
def test_a_tuple_assignment_is_recognised(line: str, expected: bool) -> None:
    assert is_tuple_assignment(ast.parse(line).body[0]) is expected
