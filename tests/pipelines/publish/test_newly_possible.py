"""HEIC files that were copied without the extra are cleaned once it is there, and nothing else."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.imaging.codecs.heif_coders import HevcCoder
from pipelines.job import CleanJob
from pipelines.launch import Launch
from pipelines.plan.newly_possible import newly_possible
from pipelines.plan.plan import make_retry_plan
from pipelines.publish.publish import publish_source
from pipelines.run import WorkDone, work_off_newly_possible
from tests.pipelines.conftest import half_moire
from tests.pipelines.publish.job import Job, cleaned_job, commit, rows_of


def test_a_heic_that_was_copied_for_lack_of_the_extra_is_cleaned_by_the_next_run(
    tmp_path: Path,
    tiny_config: CleanerConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    src = tmp_path / "src"
    src.mkdir()
    out = BytesIO()
    samples = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    pillow_heif.encode("RGB", (64, 64), samples.tobytes(), out)
    (src / "phone.HEIC").write_bytes(out.getvalue())
    for name, data in half_moire(2).items():
        (src / Path(name).name).write_bytes(data)
    cleaner = Cleaner(replace(tiny_config, gate="off"))
    with monkeypatch.context() as without:
        without.setattr(HevcCoder, "is_there", lambda self: False)
        job = cleaned_job(src, tmp_path / "dst", cleaner)
        job.publish_all()
        assert not list(newly_possible(job.destination, job.plan))
    before = rows_of(job, "")
    assert before["phone.HEIC"]["reason"] == "unsupported_format"

    (image,) = newly_possible(job.destination, job.plan)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("pipelines.run.nodes_without_heic", lambda *_: 2)
        launch = Launch.of(CleanJob(str(src), str(job.dst), cleaner.config, ray_address="a:1"))
        work = WorkDone(published=1)
        assert work_off_newly_possible(launch, job.plan.id, work) == work
        assert "1 HEIC images stay as they are: 2 nodes of the cluster lack" in caplog.text
        assert job.destination.manifests.latest().id == job.plan.id
    wanted = [(image.source_id, image.position)]
    generation = image.generation + 1
    plan = make_retry_plan(job.destination, wanted, cleaner.config.fingerprint(), generation)
    (unit,) = job.destination.manifests.units(plan)
    assert [member.name for member in unit.members] == ["phone.HEIC"]
    commit(unit, Job(job.destination, plan), cleaner)
    publish_source(job.destination, plan.sources[0], [unit], plan.scope)

    after = rows_of(job, "")
    assert after["phone.HEIC"]["reason"] != "unsupported_format"
    assert after["phone.HEIC"]["sha256_in"] == before["phone.HEIC"]["sha256_in"]
    assert {**after, "phone.HEIC": None} == {**before, "phone.HEIC": None}
    assert not list(newly_possible(job.destination, job.plan))
