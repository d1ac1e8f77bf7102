"""What the code imports is what the project asks for.

A package that only happens to lie in a developer's environment, or that was given up but is still
asked for, shows on a fresh machine only. Here it shows at once.
"""

import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.source import PACKAGES, ROOT, Module, modules
from tests.benchmarks.gpu import STAGES, missing_packages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = tuple(PROJECT["optional-dependencies"])
OURS = {*PACKAGES, "tests"}
INSTALLED = packages_distributions()  # reads every package's list of files: seconds
PYTHON = {*sys.stdlib_module_names, "compression", "_typeshed"}  # the first from 3.14 on

# Imported by us, and part of the interface of a package that we ask for.
BROUGHT_BY = {
    "aiobotocore": "s3fs",
    "aiohttp": "s3fs",
    "annotated-types": "pydantic",
    "boto3": "moto",
    "botocore": "s3fs",
    "cryptography": "moto",
    "httpx": "prefect",
    "markupsafe": "jinja2",
    "pydantic-core": "pydantic",
    "werkzeug": "moto",
}
# Asked for although nothing imports them: they hold another package's version down.
HELD = {"fastapi", "sqlalchemy"}


def asked_for(*extras: str) -> set[str]:
    """Distributions that the project asks for, always or by one of these extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def modules_of_the_tests() -> list[Module]:
    """The modules of the tests."""
    paths = sorted((ROOT / "tests").rglob("*.py"))
    return [Module(path.relative_to(ROOT).with_suffix("").as_posix(), path) for path in paths]


def foreign_imports(module: Module) -> set[str]:
    """Top-level names that a module imports and that are neither Python's nor ours."""
    names = {name.partition(".")[0] for name in module.imports}
    return names - OURS - PYTHON


def distributions_of(name: str) -> set[str]:
    """The distributions that a top-level name comes from, those that bring them among them."""
    direct = {canonicalize_name(one) for one in INSTALLED.get(name, [])}
    return direct | {BROUGHT_BY[one] for one in direct & set(BROUGHT_BY)}


def undeclared(listed: list[Module]) -> dict[str, set[str]]:
    """Imports of each module that no distribution which the project asks for brings."""
    asked = asked_for(*EXTRAS)
    missing: dict[str, set[str]] = {}
    for module in listed:
        names = {name for name in foreign_imports(module) if not distributions_of(name) & asked}
        if names:
            missing[module.name] = names
    return missing


def test_what_the_program_imports_is_asked_for() -> None:
    assert undeclared(modules()) == {}


def test_what_the_tests_import_is_asked_for() -> None:
    assert undeclared(modules_of_the_tests()) == {}


def test_an_import_that_nobody_asked_for_shows(tmp_path: Path) -> None:
    stray = tmp_path / "stray.py"
    stray.write_text("import numpy\nimport pip\n")
    assert undeclared([Module("stray", stray)]) == {"stray": {"pip"}}


def test_nothing_is_asked_for_that_the_program_does_not_import() -> None:
    used: set[str] = set()
    for module in modules():
        for name in foreign_imports(module):
            used |= distributions_of(name)
    assert asked_for() - used == HELD


def test_a_session_on_a_gpu_needs_nothing_that_is_not_asked_for() -> None:
    assert missing_packages(STAGES) == []
