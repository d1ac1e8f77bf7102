"""The walls of the house.

Imports point down, flows -> pipelines -> demoire; the lower floors know no framework; inside a
package the rooms that stand lower know nothing of those above them; nothing runs in a circle.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.graph import (
    arrows_between_modules,
    arrows_between_rooms,
    circles,
    reachable_from,
)
from tests.architecture.source import PACKAGES, ROOT, Module, modules

FRAMEWORKS = {
    "demoire": {"pipelines", "flows", "ray", "prefect", "fsspec", "s3fs", "boto3", "typer"},
    "pipelines": {"flows", "prefect", "typer"},
    "flows": {"tests"},
}

# The first of each pair must reach the second by no way.
LOWER_AND_UPPER = [
    ("demoire.imaging", "demoire.cleaning"),
    ("demoire.models", "demoire.cleaning"),
    ("demoire.measure", "demoire.cleaning"),
    ("demoire.cleaning", "demoire.training"),
    ("demoire.simulate", "demoire.training"),
    ("pipelines.storage", "pipelines.sources"),
    ("pipelines.sources", "pipelines.plan"),
    ("pipelines.clean", "pipelines.report"),
    ("pipelines.report", "pipelines.publish"),
    ("pipelines.publish", "pipelines.run"),
]


def top_level_names(module: Module) -> set[str]:
    """The first parts of all that a module imports, at any depth of its functions."""
    return {name.partition(".")[0] for name in module.imports}


@pytest.mark.parametrize("package", FRAMEWORKS)
def test_imports_point_down(package: str) -> None:
    upward = {}
    for module in modules(package):
        forbidden = top_level_names(module) & FRAMEWORKS[package]
        if forbidden:
            upward[module.name] = forbidden
    assert upward == {}


def test_the_wall_would_show_a_hole(tmp_path: Path) -> None:
    hole = tmp_path / "hole.py"
    hole.write_text("def f():\n    import ray.data\n    from prefect import flow\n")
    assert top_level_names(Module("hole", hole)) == {"ray", "prefect"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_shipped_code_imports_the_tests(package: str) -> None:
    assert all("tests" not in top_level_names(module) for module in modules(package))


@pytest.mark.parametrize(("lower", "upper"), LOWER_AND_UPPER)
def test_a_lower_room_knows_nothing_of_the_one_above(lower: str, upper: str) -> None:
    arrows = arrows_between_rooms()
    assert lower in arrows, f"there is no room {lower}"
    assert upper in arrows, f"there is no room {upper}"
    assert upper not in reachable_from(lower, arrows)


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_runs_in_a_circle(package: str) -> None:
    assert circles(arrows_between_modules(package)) == []
    assert circles(arrows_between_rooms(package)) == []


def test_a_circle_would_be_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]


def test_help_does_not_wait_for_the_heavy_libraries() -> None:
    """What takes seconds to import must not stand between a user and `demoire --help`."""
    code = (
        "import sys; from flows.cli import main; main(['--help']); "
        "heavy = {'torch', 'ray', 'prefect', 'numpy', 'pyarrow', 'cv2', 'fsspec'}; "
        "print(sorted(heavy & set(sys.modules)))"
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
