"""The configuration. What its fingerprint covers is tested in tests/golden/test_fingerprints.py."""

import subprocess
import sys

import pytest

from demoire.cleaning.config import CleanerConfig
from demoire.errors import UsageError


@pytest.mark.parametrize(
    "settings",
    [{"gate": "on"}, {"threshold": 1.5}, {"tile": 100}, {"threads": -1}, {"max_megapixels": 0}],
)
def test_values_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(UsageError):
        CleanerConfig(**settings)


def test_a_configuration_and_its_fingerprint_need_no_torch() -> None:
    code = (
        "import sys; from demoire import CleanerConfig; CleanerConfig().fingerprint(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
