"""What `demoire` gives to programs: which names, documented, and what importing them costs."""

import subprocess
import sys
from enum import EnumType

import pytest

import demoire

CLASSES_AND_FUNCTIONS = [
    "Cleaned",
    "Cleaner",
    "CleanerConfig",
    "ConfigError",
    "DemoireError",
    "Detection",
    "ImageError",
    "ProofError",
    "Reason",
    "SourceChangedError",
    "StoppedError",
    "StorageError",
    "UnusablePlaceError",
    "UsageError",
    "WeightsError",
    "use_threads",
]
TYPES_AND_FACTS = ["ImageStatus", "MoireKind", "__version__"]
HEAVY = {"torch", "cv2", "numpy", "PIL", "ray", "prefect", "pydantic"}


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a new process has loaded after this code."""
    program = f"import sys; {code}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_these_names_are_public() -> None:
    assert sorted(demoire.__all__) == sorted(CLASSES_AND_FUNCTIONS + TYPES_AND_FACTS)
    assert set(demoire.__all__) <= set(dir(demoire))


@pytest.mark.parametrize("name", CLASSES_AND_FUNCTIONS)
def test_each_is_there_and_documented(name: str) -> None:
    public = getattr(demoire, name)
    assert public.__name__ == name
    assert public.__doc__


def test_all_errors_are_demoire_errors_with_an_exit_status() -> None:
    for name in demoire.__all__:
        if name.endswith("Error"):
            error = getattr(demoire, name)
            assert issubclass(error, demoire.DemoireError)
            assert error.exit_code in (2, 3)


def test_a_reason_is_its_value_in_the_report() -> None:
    assert isinstance(demoire.Reason, EnumType)
    assert demoire.Reason("too_large") == "too_large"


def test_the_version_is_that_of_the_installed_package() -> None:
    assert demoire.__version__.split(".")[0].isdigit()


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Stages'"):
        demoire.Stages  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    assert loaded_by("import demoire") == set()


def test_the_errors_load_nothing_heavy() -> None:
    assert loaded_by("from demoire import UsageError, ImageError, Reason") == set()


def test_a_cleaner_needs_neither_ray_nor_prefect() -> None:
    loaded = loaded_by("from demoire import Cleaner, Cleaned, use_threads")
    assert "torch" in loaded
    assert loaded.isdisjoint({"ray", "prefect"})
