"""Figures of how the code reads: `python -m tests.architecture.figures`.

Counted over the syntax trees of demoire, pipelines and flows. A figure is no proof of ease, but
each of these was far from what readable projects of the field have, and a limit keeps it where it
is.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, fields

from tests.architecture.source import Module, modules

LONGEST_LINE = 100
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Figures:
    """How the three packages read."""

    modules: int
    lines: int  # that are neither empty nor only a comment nor part of a docstring
    lines_above_100: int
    comprehensions_per_1000: float
    tuple_assignments_per_1000: float  # `a, b = x, y` of values that have nothing to do together
    ternaries_per_1000: float
    comment_lines_percent: float  # of lines with code or a comment
    public_docstrings_percent: float
    longest_class: int  # lines
    longest_module: int  # lines
    longest_function: int  # lines


def measure() -> Figures:
    """Count over all modules."""
    everything = modules()
    code = comments = above = comprehensions = tuples = ternaries = 0
    documented = public = 0
    longest_class = longest_module = longest_function = 0
    for module in everything:
        code_lines = lines_of_code(module)
        code += len(code_lines)
        comments += comment_lines(module)
        above += len(long_lines(module))
        longest_module = max(longest_module, len(module.text.splitlines()))
        for node in ast.walk(module.tree):
            comprehensions += isinstance(node, COMPREHENSIONS)
            ternaries += isinstance(node, ast.IfExp)
            tuples += is_tuple_assignment(node)
            if isinstance(node, ast.ClassDef):
                longest_class = max(longest_class, length(node))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                longest_function = max(longest_function, length(node))
        for definition in public_definitions(module):
            public += 1
            documented += ast.get_docstring(definition) is not None
    return Figures(
        modules=len(everything),
        lines=code,
        lines_above_100=above,
        comprehensions_per_1000=1000 * comprehensions / code,
        tuple_assignments_per_1000=1000 * tuples / code,
        ternaries_per_1000=1000 * ternaries / code,
        comment_lines_percent=100 * comments / (code + comments),
        public_docstrings_percent=100 * documented / public,
        longest_class=longest_class,
        longest_module=longest_module,
        longest_function=longest_function,
    )


def length(node: Definition) -> int:
    """Lines of a definition, with its docstring."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def long_lines(module: Module) -> list[int]:
    """Numbers of the lines that are longer than the limit."""
    lines = module.text.splitlines()
    return [number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE]


def lines_of_code(module: Module) -> set[int]:
    """Numbers of the lines that hold code; docstrings are none."""
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    docstrings = set(docstring_lines(module))
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in ignored and token.type != tokenize.ENDMARKER:
            numbers |= set(range(token.start[0], token.end[0] + 1))
    return numbers - docstrings


def comment_lines(module: Module) -> int:
    """How many lines hold nothing but a comment."""
    return sum(line.lstrip().startswith("#") for line in module.text.splitlines())


def docstring_lines(module: Module) -> Iterator[int]:
    """Numbers of the lines that belong to docstrings."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Module | Definition) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            assert docstring.end_lineno is not None
            yield from range(docstring.lineno, docstring.end_lineno + 1)


def is_tuple_assignment(node: ast.AST) -> bool:
    """Whether several names get several values in one statement: `a, b = x, y`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def public_definitions(module: Module) -> Iterator[Definition]:
    """The public functions and classes of a module, and the public methods of these classes."""
    for node in module.tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, Definition) and not inner.name.startswith("_"):
                        yield inner


def main() -> None:
    """Print the figures as a table."""
    figures = measure()
    for field in fields(figures):
        value = getattr(figures, field.name)
        shown = f"{value:.1f}" if isinstance(value, float) else str(value)
        print(f"{field.name.replace('_', ' '):30}{shown:>8}")


if __name__ == "__main__":
    main()
