"""What nodes of a cluster may lack. Weights reach them: they lie under DST, whole and checked. Of
an extra they are asked whether they have it.
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import StorageError, UnusablePlaceError, WeightsError
from demoire.imaging.formats import can_clean_heic
from demoire.models.networks import load_restorer, save_weights
from demoire.models.weights import find_weights
from pipelines.clean.actor import WaveOrder
from pipelines.clean.node_extras import nodes_that_deny, nodes_without_heic
from pipelines.clean.nodes import living_nodes
from pipelines.clean.pool import PoolWishes, plan_pool
from pipelines.clean.wave import clean_wave
from pipelines.clean.worker_weights import keep_weights, local_weights
from pipelines.job import CleanJob
from pipelines.launch import Launch
from pipelines.run import plan_units, run_job
from pipelines.storage.open import open_place
from pipelines.storage.place import Place
from tests.pipelines.conftest import half_moire, write_tar


@pytest.fixture
def config(tmp_path: Path, tiny_config: CleanerConfig) -> CleanerConfig:
    """Tiny weights in files of this test's own."""
    (tmp_path / "weights").mkdir()
    detector, restorer = (
        shutil.copy(weights, tmp_path / "weights")
        for weights in (tiny_config.detector, tiny_config.restorer)
    )
    return replace(tiny_config, detector=str(detector), restorer=str(restorer))


def forget(config: CleanerConfig) -> None:
    """Delete the files that a configuration names, as on a machine that never had them."""
    Path(config.detector).unlink()
    Path(config.restorer).unlink()


def test_weights_are_kept_under_their_digest_and_come_back_the_same(
    config: CleanerConfig, tmp_path: Path
) -> None:
    digests = find_weights(config.detector).digest, find_weights(config.restorer).digest
    kept = keep_weights(open_place(str(tmp_path / "dst")), config)
    assert {weights.digest for weights in kept} == set(digests)
    assert all((tmp_path / "dst" / weights.path).is_file() for weights in kept)
    forget(config)
    with local_weights(open_place(str(tmp_path / "dst")), config, kept) as there:
        cleaner = Cleaner(there)
    assert (cleaner.detector_digest, cleaner.weights_digest) == digests
    assert not Path(there.restorer).exists()  # read once, and nothing left behind


def test_shipped_weights_are_everywhere_and_stay_where_they_are(
    config: CleanerConfig, tmp_path: Path
) -> None:
    mixed = replace(config, detector="detector")
    (kept,) = keep_weights(open_place(str(tmp_path / "dst")), mixed)
    assert kept.model == "restorer"
    with local_weights(open_place(str(tmp_path / "dst")), mixed, (kept,)) as there:
        assert there.detector == "detector"


def test_weights_that_were_altered_under_dst_are_refused(
    config: CleanerConfig, tmp_path: Path
) -> None:
    kept = keep_weights(open_place(str(tmp_path / "dst")), config)
    (tmp_path / "dst" / kept[0].path).write_bytes(b"spoilt")
    with (
        pytest.raises(WeightsError, match="was altered"),
        local_weights(open_place(str(tmp_path / "dst")), config, kept),
    ):
        pass


class Stumbling:
    """A place that fails as often as it has failures left."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.failures: list[StorageError] = []

    def read(self, path: str) -> bytes:
        if self.failures:
            raise self.failures.pop()
        return self._place.read(path)


def test_a_store_that_is_away_for_a_moment_is_asked_again(
    config: CleanerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_place(str(tmp_path / "dst"))
    kept = keep_weights(place, config)
    stumbling = Stumbling(place)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    stumbling.failures.append(StorageError("the store is busy"))
    with local_weights(cast(Place, stumbling), config, kept) as there:
        assert find_weights(there.restorer).digest == find_weights(config.restorer).digest
    assert len(pauses) == 1

    stumbling.failures.append(UnusablePlaceError("the key is refused"))
    with pytest.raises(UnusablePlaceError), local_weights(cast(Place, stumbling), config, kept):
        pass
    assert len(pauses) == 1, "that does not pass by itself"


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_nodes_that_lack_something_are_counted() -> None:
    def older() -> bool:
        raise ImportError("no such function in this demoire")

    assert nodes_that_deny(lambda: False) == 1
    assert nodes_that_deny(older) == 1
    assert nodes_that_deny(lambda: True) == 0
    assert nodes_without_heic(None, 60.0) == (0 if can_clean_heic() else 1)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_wave_needs_no_file_of_the_machine_that_started_it(
    config: CleanerConfig, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    write_tar(tmp_path / "src/a.tar", half_moire(4))
    job = CleanJob(str(tmp_path / "src"), str(tmp_path / "dst"), config, workers=1)
    launch = Launch.of(job)
    destination = launch.destination
    plan = destination.manifests.load(plan_units(launch))
    units = list(destination.manifests.units(plan))
    weights = keep_weights(destination.place, config)
    order = WaveOrder(destination, config, plan.fingerprint, "run", "wave", weights=weights)
    pool = plan_pool(PoolWishes("cpu", workers=1), living_nodes())
    forget(config)
    wave = clean_wave(units, order, pool)
    assert (wave.images, wave.death) == (4, "")
    assert sum(destination.ledger.read(unit.id).cleaned for unit in units) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_weights_that_no_worker_can_load_end_the_run_with_what_is_wrong_with_them(
    config: CleanerConfig, tmp_path: Path
) -> None:
    """Only loading finds out; a worker that dies of it would be tried again and again."""
    (tmp_path / "src").mkdir()
    write_tar(tmp_path / "src/a.tar", half_moire(1))
    other_structure = {"widths": [8, 8, 8, 16], "encoder_depths": [0, 0, 0]}
    network = load_restorer(config.restorer)
    save_weights(
        network,
        Path(config.restorer),
        architecture="restorer-unet",
        config=other_structure,
        metadata={},
    )
    job = CleanJob(str(tmp_path / "src"), str(tmp_path / "dst"), config, workers=1)
    with pytest.raises(WeightsError, match=f"{config.restorer} do not fit the structure"):
        run_job(job)
