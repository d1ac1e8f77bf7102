"""The three packages as syntax trees: what the tests of the house and its figures read."""

import ast
from dataclasses import dataclass
from functools import cache, cached_property
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

    @cached_property
    def imports(self) -> frozenset[str]:
        """Full dotted names of all that it imports, wherever the import stands."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path} imports relatively; imports are by full name"
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        return frozenset(names)


def modules(*packages: str) -> list[Module]:
    """All modules of these packages, of all three if none is named, sorted by name."""
    listed: list[Module] = []
    for package in packages or PACKAGES:
        listed += _modules_of(package)
    return sorted(listed, key=lambda module: module.name)


@cache
def _modules_of(package: str) -> tuple[Module, ...]:
    """The modules of one package, kept because each is read and parsed only once."""
    listed = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        listed.append(Module(".".join(parts), path))
    return tuple(listed)
