"""The fingerprint of a configuration: the key by which work that is done is never done again.

Too coarse, it takes a picture cleaned otherwise for finished; too fine, it cleans an archive anew
for nothing. So each field of the configuration is listed here, with another value, as one that
decides about the output or one that does not; a field that is on neither list fails.

`fingerprints.json` also has the fingerprint of the default configuration with the digests of the
shipped weights. New weights change both: renew the file together with them.
"""

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from demoire.cleaning.config import CleanerConfig
from demoire.models.weights import find_weights
from tests.golden.pinned import assert_pinned

DECIDES: dict[str, Any] = {
    "gate": "off",
    "threshold": 0.7,
    "detector": "other-detector.safetensors",
    "restorer": "other-restorer.safetensors",
    "max_megapixels": 200.0,
    "max_side": 20_000,
    "tile": 512,
    "allow_signed": True,
    "provenance": False,
    "office": True,
    "rewrite": True,
    "bilevel": "grey",
}
DOES_NOT: dict[str, Any] = {"device": "cuda:1", "threads": 3}
ALL_FIELDS = {field.name for field in fields(CleanerConfig)}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CleanerConfig:
    """The default configuration with weights of the test's own."""
    monkeypatch.chdir(tmp_path)
    for model in ("detector", "other-detector"):
        _write_weights(Path(f"{model}.safetensors"), "detector-cnn", model)
    for model in ("restorer", "other-restorer"):
        _write_weights(Path(f"{model}.safetensors"), "restorer-unet", model)
    return CleanerConfig(detector="detector.safetensors", restorer="restorer.safetensors")


def _write_weights(path: Path, architecture: str, remark: str) -> None:
    """A safetensors file with the header that weights have, and without numbers."""
    facts = {
        "format": "demoire-weights/1",
        "architecture": architecture,
        "config": json.dumps({}),
        "metadata": json.dumps({"remark": remark}),
    }
    header = json.dumps({"__metadata__": facts}, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def test_fingerprints_are_what_they_always_were(config: CleanerConfig) -> None:
    by_field = {}
    for name, value in DECIDES.items():
        by_field[name] = replace(config, **{name: value}).fingerprint()
    default = CleanerConfig()
    shipped = {
        "detector": find_weights(default.detector).digest,
        "restorer": find_weights(default.restorer).digest,
    }
    pinned = {
        "of the test's weights": config.fingerprint(),
        "by field": by_field,
        "default": default.fingerprint(),
        "shipped weights": shipped,
    }

    assert_pinned("fingerprints.json", pinned)


def test_every_field_either_decides_about_the_output_or_does_not() -> None:
    assert {*DECIDES, *DOES_NOT} == ALL_FIELDS


@pytest.mark.parametrize("field", sorted(ALL_FIELDS - set(DOES_NOT)))
def test_a_field_that_decides_changes_the_fingerprint(field: str, config: CleanerConfig) -> None:
    assert replace(config, **{field: DECIDES[field]}).fingerprint() != config.fingerprint()


@pytest.mark.parametrize("field", DOES_NOT)
def test_where_and_with_how_many_threads_it_runs_leaves_the_fingerprint_alone(
    field: str, config: CleanerConfig
) -> None:
    assert replace(config, **{field: DOES_NOT[field]}).fingerprint() == config.fingerprint()


@pytest.mark.parametrize("model", ["detector", "restorer"])
def test_another_file_of_the_same_name_changes_the_fingerprint(
    model: str, config: CleanerConfig
) -> None:
    before = config.fingerprint()
    path = Path(f"{model}.safetensors")
    path.write_bytes(Path(f"other-{model}.safetensors").read_bytes())

    assert config.fingerprint() != before


@pytest.mark.parametrize("model", ["detector", "restorer"])
def test_a_copy_of_the_weights_leaves_the_fingerprint_alone(
    model: str, config: CleanerConfig
) -> None:
    copied = Path("copied.safetensors")
    copied.write_bytes(Path(f"{model}.safetensors").read_bytes())

    assert replace(config, **{model: str(copied)}).fingerprint() == config.fingerprint()


def test_a_limit_is_the_same_written_as_a_whole_number_or_not(config: CleanerConfig) -> None:
    whole = replace(config, max_megapixels=500)
    decimal = replace(config, max_megapixels=500.0)

    assert whole.fingerprint() == decimal.fingerprint()


def test_the_digest_of_weights_is_the_sha256_of_their_file(config: CleanerConfig) -> None:
    data = Path(config.detector).read_bytes()

    assert find_weights(config.detector).digest == hashlib.sha256(data).hexdigest()
