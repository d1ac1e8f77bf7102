"""The three packages as syntax trees: what the tests of the house and its figures read."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("demoire", "pipelines", "flows")


@dataclass(frozen=True)
class Module:
    """One module of the house."""

    name: str  # dotted; a package's `__init__` goes by the package's name
    path: Path

    @cached_property
    def text(self) -> str:
        """The source text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        """The package that the module belongs to: itself where it is one."""
        if self.path.name == "__init__.py":
            return self.name
        return self.name.rpartition(".")[0]

    @property
    def first_line(self) -> str:
        """The first sentence of the docstring, or nothing."""
        docstring = ast.get_docstring(self.tree) or ""
        return docstring.partition("\n\n")[0].replace("\n", " ")

    def imports(self) -> Iterator[str]:
        """Full dotted names of all that it imports, wherever the import stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path} imports relatively; imports are by full name"
                for alias in node.names:
                    yield f"{node.module}.{alias.name}"


def modules(*packages: str) -> list[Module]:
    """All modules of these packages, of all three if none is named, sorted by name."""
    listed = []
    for package in packages or PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            listed.append(Module(".".join(parts), path))
    return sorted(listed, key=lambda module: module.name)
