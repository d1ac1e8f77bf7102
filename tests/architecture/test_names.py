"""One name, one thing: no public name is defined in two modules.

What implements one protocol in several modules (a codec's `decode`), what a command is called, and
what a package gives on under its own name is no double.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.architecture.source import Module, modules

# Packages whose modules implement one protocol each, under the same names.
PROTOCOLS = (
    "demoire.imaging.codecs",
    "flows.commands",
    "pipelines.sources.formats",
)


def defined_names(module: Module) -> Iterator[str]:
    """The public names that a module defines at its top level."""
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _public(node.name)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        yield from _public(part.id)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield from _public(node.target.id)


def _public(name: str) -> Iterator[str]:
    if not name.startswith("_"):
        yield name


def doubles(inspected: list[Module]) -> dict[str, list[str]]:
    """Public names that several modules define, with these modules."""
    definers: dict[str, list[str]] = defaultdict(list)
    for module in inspected:
        if module.package not in PROTOCOLS:
            for name in set(defined_names(module)):
                definers[name].append(module.name)
    return {name: where for name, where in sorted(definers.items()) if len(where) > 1}


def test_no_public_name_is_defined_twice() -> None:
    assert doubles(modules()) == {}
