"""The registry of weights: versions that are never lost, names that mean one thing, files that are
what they say.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
import torch

from demoire.errors import UsageError, WeightsError
from demoire.models.detector import Detector, DetectorConfig
from demoire.models.networks import save_detector, save_restorer
from demoire.models.unet import UNet, UNetConfig
from demoire.models.weights import Weights, find_weights
from pipelines.training.registry import Registered, Registry, find_models, shipped
from tests.s3_server import s3_variables, serve_moto

TRAINING = {"task": "restorer", "steps": 6}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where local copies go in these tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "demoire" / "weights"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "registry"))


@pytest.fixture
def restorers(tmp_path: Path) -> list[Weights]:
    """Three small restorers."""
    return [_restorer(tmp_path, seed) for seed in range(3)]


@pytest.fixture
def detector(tmp_path: Path) -> Weights:
    network = Detector(DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8))
    return save_detector(network, tmp_path / "found.safetensors", {})


def _restorer(folder: Path, seed: int) -> Weights:
    torch.manual_seed(seed)
    network = UNet(UNetConfig((8, 8, 8, 8), (0, 0, 0), 1, (0, 0, 0)))
    return save_restorer(network, folder / f"{seed}.safetensors", {})


def register(
    registry: Registry, weights: Weights, name: str = "books", gain: float = 1.0
) -> Registered:
    """Register as the newest version, whoever else does at the same time."""
    while True:
        done = registry.register(
            weights,
            name,
            after=registry.newest(name),
            training=TRAINING,
            figures={"gain": gain, "auc": 0.9},
        )
        if done is not None:
            return done


def test_a_name_is_its_newest_version_and_every_version_can_still_be_had(
    registry: Registry, restorers: list[Weights]
) -> None:
    first, second = register(registry, restorers[0]), register(registry, restorers[1], gain=2.0)
    assert registry.find("books") == second
    assert registry.find(f"books@{first.digest[:8]}") == first
    assert [version.number for version in registry.versions("books")] == [1, 2]
    for version, weights in zip((first, second), restorers, strict=False):
        assert find_weights(str(registry.fetch(version))).digest == weights.digest


def test_what_is_known_of_a_version_lies_beside_it_as_json(
    registry: Registry, restorers: list[Weights], tmp_path: Path
) -> None:
    register(registry, restorers[0], gain=1.5)
    found = json.loads((tmp_path / "registry/books/000001.json").read_text())
    assert found["digest"] == restorers[0].digest and found["model"] == "restorer"
    assert found["training"] == TRAINING and found["figures"]["gain"] == 1.5
    assert found["structure"]["widths"] == [8, 8, 8, 8]


def test_one_who_compared_with_what_is_no_longer_the_newest_is_told(
    registry: Registry, restorers: list[Weights]
) -> None:
    seen = register(registry, restorers[0])
    register(registry, restorers[1])
    assert registry.register(restorers[2], "books", after=seen, training={}, figures={}) is None
    assert registry.find("books").digest == restorers[1].digest


def test_of_many_who_register_at_once_none_is_lost(registry: Registry, tmp_path: Path) -> None:
    weights = [_restorer(tmp_path, seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: register(registry, one), weights))
    versions = registry.versions("books")
    assert [version.number for version in versions] == [1, 2, 3, 4, 5, 6]
    assert {version.digest for version in versions} == {one.digest for one in weights}


def test_an_older_version_can_be_made_the_newest_again(
    registry: Registry, restorers: list[Weights]
) -> None:
    for weights in (restorers[0], restorers[1], restorers[0]):
        register(registry, weights)
    assert registry.find("books").number == 3
    assert registry.find(f"books@{restorers[0].digest[:6]}").number == 3


def test_weights_that_were_altered_are_refused(
    registry: Registry, restorers: list[Weights], tmp_path: Path, own_cache: Path
) -> None:
    version = register(registry, restorers[0])
    registry.fetch(version).write_bytes(b"spoilt")
    # a spoilt copy is fetched again
    assert find_weights(str(registry.fetch(version))).digest == version.digest
    (tmp_path / "registry" / version.file).write_bytes(b"spoilt")
    (own_cache / f"{version.digest}.safetensors").unlink()
    with pytest.raises(WeightsError, match="is not what was registered"):
        registry.fetch(version)
    assert list(own_cache.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"digest": "../../elsewhere"}, "cannot be its own"),
        ({"name": "others"}, "cannot be its own"),
        ({"x": 1}, "no"),
    ],
)
def test_a_record_that_is_not_sound_is_refused(
    registry: Registry,
    restorers: list[Weights],
    tmp_path: Path,
    change: dict[str, object],
    says: str,
) -> None:
    register(registry, restorers[0])
    record = tmp_path / "registry/books/000001.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    with pytest.raises(WeightsError, match=says):
        registry.find("books")


def test_names_that_cannot_be_had_are_refused_before_anything_is_written(
    registry: Registry, restorers: list[Weights], detector: Weights, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="weights that are shipped"):
        register(registry, restorers[0], "restorer")
    with pytest.raises(UsageError, match="no name for weights"):
        register(registry, restorers[0], "two words")
    assert not (tmp_path / "registry").exists()
    register(registry, restorers[0])
    with pytest.raises(UsageError, match="books is a restorer"):
        register(registry, detector)


def test_what_is_not_there_is_said_with_what_is(
    registry: Registry, restorers: list[Weights]
) -> None:
    register(registry, restorers[0])
    with pytest.raises(
        WeightsError,
        match="no weights maps .* detector, restorer, restorer-fast, restorer-large, books",
    ):
        registry.find("maps")
    with pytest.raises(WeightsError, match="has no books@ffff"):
        registry.find("books@ffff")


def test_names_become_the_model_that_each_is(
    registry: Registry, restorers: list[Weights], detector: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOIRE_REGISTRY", registry.uri)
    register(registry, restorers[0])
    register(registry, detector, "finder")
    found = find_models(["finder", "books"])
    assert {model: find_weights(path).digest for model, path in found.items()} == {
        "restorer": restorers[0].digest,
        "detector": detector.digest,
    }
    assert find_models(["restorer"]) == {"restorer": "restorer"}
    with pytest.raises(UsageError, match="books and restorer name two"):
        find_models(["books", "restorer"])


def test_what_is_shipped_is_listed_like_what_is_registered() -> None:
    models = {version.name: version.model for version in shipped()}
    restorers = ("restorer", "restorer-fast", "restorer-large")
    assert models == {"detector": "detector"} | dict.fromkeys(restorers, "restorer")
    assert all(version.score is None and version.number == 0 for version in shipped())
    (restorer,) = (version for version in shipped() if version.name == "restorer")
    assert find_models([restorer.reference]) == {"restorer": "restorer"}
    with pytest.raises(WeightsError, match="The shipped weights restorer are"):
        find_models(["restorer@ffff"])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket on a server that enforces conditional writes."""
    with serve_moto() as endpoint:
        for name, value in s3_variables(endpoint, "a-key", "a-secret").items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="models")
        yield "s3://models/registry"


def test_a_registry_may_be_in_a_bucket(bucket: str, restorers: list[Weights]) -> None:
    registry = Registry(bucket)
    assert registry.names() == []
    first, second = register(registry, restorers[0]), register(registry, restorers[1])
    assert registry.names() == ["books"]
    assert registry.versions("books") == [first, second]
    assert registry.register(restorers[2], "books", after=first, training={}, figures={}) is None
    assert find_models([f"books@{first.digest[:8]}"], bucket)["restorer"].endswith(
        f"{first.digest}.safetensors"
    )


def test_a_url_with_credentials_is_refused() -> None:
    with pytest.raises(UsageError, match="carries credentials"):
        Registry("s3://key:secret@models/registry")
