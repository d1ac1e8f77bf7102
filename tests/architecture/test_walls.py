"""The walls of the house: imports point down, flows -> pipelines -> demoire, and the lower floors
know no framework.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "demoire": {
        "pipelines",
        "flows",
        "ray",
        "prefect",
        "fsspec",
        "s3fs",
        "boto3",
        "botocore",
        "typer",
    },
    "pipelines": {"flows", "prefect", "typer"},
    "flows": set(),
}


def imported_names(module: Path) -> set[str]:
    """Top-level names of all that a module imports, at any depth of its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; the house imports by full name"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_down(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules, f"there is no package {package}"
    upward = {
        str(module.relative_to(ROOT)): sorted(found)
        for module in modules
        if (found := imported_names(module) & FORBIDDEN[package])
    }
    assert upward == {}


def test_the_wall_would_show_a_hole(tmp_path: Path) -> None:
    hole = tmp_path / "hole.py"
    hole.write_text("def f():\n    import ray.data\n    from prefect import flow\n")
    assert imported_names(hole) == {"ray", "prefect"}


@pytest.mark.parametrize("package", ["pipelines", "flows"])
def test_no_shipped_code_imports_the_tests(package: str) -> None:
    assert all("tests" not in imported_names(module) for module in (ROOT / package).rglob("*.py"))


def test_help_does_not_wait_for_the_heavy_libraries() -> None:
    """What takes seconds to import must not stand between a user and `demoire --help`."""
    code = (
        "import sys; from flows.cli import main; main(['--help']); "
        "print(sorted({'torch', 'ray', 'prefect', 'numpy', 'pyarrow', 'cv2', 'fsspec'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_fix_and_detect_need_neither_ray_nor_prefect() -> None:
    code = (
        "import sys; import demoire.cleaning.folder, flows.commands.images; "
        "print(sorted({'ray', 'prefect', 'pipelines', 'fsspec'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_what_plans_fetches_and_publishes_needs_no_torch() -> None:
    """Each of Ray's processes imports what it runs: torch would cost two seconds and 300 MB in
    every one of them.
    """
    code = (
        "import sys; import pipelines.run; "
        "print(sorted({'torch', 'scipy', 'skimage', 'prefect'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
