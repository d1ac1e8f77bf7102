"""The bench on a small scale: that it measures the real job, and that its figures are those it says
they are.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demoire.cleaning.cleaner import Cleaner, load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine
from demoire.cleaning.result import Detection
from demoire.errors import UsageError, WeightsError
from flows.console import emit_json
from pipelines.bench.bench import bench
from pipelines.bench.collection import Extent, draw_pictures, write_archive
from pipelines.bench.figures import BenchResult, Ceilings, Shares
from pipelines.bench.script import MeasuringScript, Script
from pipelines.bench.shares import find_shares, possible_rate
from tests.golden.pinned import assert_pinned, types_of
from tests.pipelines.conftest import draw, read_tar

# one round of four pictures is job enough
SMALL = Extent(pictures=4, width=450, seconds=0.01, job_seconds=0.001)


@dataclass(frozen=True)
class Measured:
    """What a bench found, and what it told of its progress."""

    result: BenchResult
    told: list[tuple[str, float, float]]


@pytest.fixture(scope="module")
def measured(tiny_config: CleanerConfig, local_ray: None) -> Measured:
    told: list[tuple[str, float, float]] = []
    result = bench(
        replace(tiny_config, gate="off", tile=256),
        SMALL,
        lambda what, done, total: told.append((what, done, total)),
    )
    return Measured(result, told)


@pytest.mark.slow
def test_its_json_has_the_keys_and_types_it_always_had(
    measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    emit_json(measured.result)

    assert_pinned("json/bench.json", types_of(json.loads(capsys.readouterr().out)))


@pytest.mark.slow
def test_the_bench_runs_the_real_job_and_gives_all_that_is_promised(measured: Measured) -> None:
    result, told = measured.result, measured.told
    rates = [result.model_mps, result.fast_mps, result.detector_mps, result.script_mps]
    rates += asdict(result.ceilings).values()
    assert all(0 < mps < float("inf") for mps in rates)
    assert (result.job.images, result.job.cleaned) == (4, 4)
    assert result.job.megapixels == pytest.approx(4 * 0.45 * 0.3)
    assert result.end_to_end_mps == pytest.approx(result.job.megapixels / result.job.seconds)
    assert result.shares == Shares(cleaned=1, judged_again=1, restored=1)
    assert result.possible_mps == possible_rate(result.ceilings, result.shares, overlapped=False)
    assert result.efficiency == pytest.approx(result.end_to_end_mps / result.possible_mps)
    assert result.peak_rss_mb > 100, "a process with torch in it"
    assert result.machine.device == "cpu"
    assert result.machine.torch == torch.__version__
    assert told == sorted(told, key=lambda call: call[1]), "progress never goes back"
    assert {total for _, _, total in told} == {5}
    assert {what for what, _, _ in told} == {
        "drawing pictures",
        "the models alone",
        "every stage alone",
        "the whole job",
        "the script",
    }


def test_pictures_are_jpeg_files_of_the_size_asked_for_and_always_the_same() -> None:
    pictures = draw_pictures(SMALL)

    assert len(set(pictures)) == 4
    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("JPEG", (450, 300))
    assert draw_pictures(SMALL) == pictures


def test_an_archive_holds_every_picture_as_often_as_asked(tmp_path: Path) -> None:
    write_archive(tmp_path / "in" / "box.tar", [b"one", b"two"], rounds=3)

    members = read_tar(tmp_path / "in" / "box.tar")
    assert list(members.values()) == [b"one", b"two"] * 3
    assert len(members) == 6, "no name is there twice"


def ceilings(**mps: float) -> Ceilings:
    """Every stage at 10 MP/s, but for those named."""
    stages = ("decode", "detect", "restore", "encode", "fetch", "commit")
    return Ceilings(**{**dict.fromkeys(stages, 10.0), **mps})


def test_where_the_models_share_the_cpu_the_times_of_all_stages_add_up() -> None:
    shares = Shares(cleaned=0.5, judged_again=0.25, restored=0.4)

    mps = possible_rate(ceilings(), shares, overlapped=False)

    # Tenths of a second a megapixel: fetch and decode 2, encode and commit half of 2, detect 1.25,
    # restore 0.4.
    assert mps == pytest.approx(10 / (2 + 1 + 1.25 + 0.4))


def test_where_the_models_have_a_gpu_they_wait_for_reading_and_writing() -> None:
    shares = Shares(cleaned=0.5, judged_again=0.25, restored=0.4)

    assert possible_rate(ceilings(), shares, overlapped=True) == pytest.approx(10 / (2 + 1))


def test_an_archive_without_moire_is_as_fast_as_reading_and_judging_it() -> None:
    slow = ceilings(decode=40, detect=40, restore=1e-9, encode=1e-9, fetch=20, commit=1e-9)

    assert possible_rate(slow, Shares(0, 0, 0), overlapped=False) == pytest.approx(10)


def test_a_flagged_cell_by_itself_costs_more_than_its_area(tiny_config: CleanerConfig) -> None:
    striped, plain = (draw(stripes, 1, side=512) for stripes in (True, False))

    class FirstCellOnly(Cleaner):
        def detect(self, data: bytes) -> Detection:
            return (
                Detection(0.9, "screen", 4, (0,))
                if data == striped
                else Detection(0.1, "none", 4, ())
            )

    shares = find_shares([striped, plain], FirstCellOnly(tiny_config), engine(tiny_config))

    # One cell of eight, and the tiny restorer's halo on the two sides where the picture goes on.
    assert shares == Shares(
        cleaned=1 / 2, judged_again=1 / 8, restored=(256 + 64) ** 2 / (2 * 512**2)
    )


def test_without_the_gate_the_shares_are_all_of_it(tiny_config: CleanerConfig) -> None:
    config = replace(tiny_config, gate="off")

    assert find_shares([draw(False, 1, side=300)], Cleaner(config), engine(config)) == Shares(
        1, 1, 1
    )


def engine(config: CleanerConfig) -> Engine:
    models = load_models(config, torch.device("cpu"))
    return Engine(models.detector, models.restorer, torch.device("cpu"))


@pytest.fixture
def striped_and_plain(tmp_path: Path) -> Path:
    """A tar of two striped pictures and two plain ones, of four cells each."""
    members = [draw(number % 2 == 0, number, side=512) for number in range(4)]
    write_archive(tmp_path / "in" / "box.tar", members, rounds=1)
    return tmp_path / "in" / "box.tar"


def script(config: CleanerConfig) -> Script:
    return Script(
        load_models(config, torch.device("cpu")), engine(config), config, Cleaner(config).threshold
    )


def test_the_script_cleans_the_pictures_that_the_cleaner_cleans(
    striped_and_plain: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    cleaner = Cleaner(tiny_config)

    megapixels = script(tiny_config).clean(striped_and_plain, tmp_path / "out.tar", 4)

    assert megapixels == pytest.approx(4 * 0.512**2)
    before, after = read_tar(striped_and_plain), read_tar(tmp_path / "out.tar")
    assert list(after) == list(before)
    changed = [name for name in before if after[name] != before[name]]
    assert changed == [
        name for name, data in before.items() if cleaner.clean(data).status == "cleaned"
    ]
    assert 0 < len(changed) < 4


def test_the_measuring_script_has_a_row_for_each_picture_it_changed(
    striped_and_plain: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    bare = script(tiny_config)
    measuring = MeasuringScript(bare.models, bare.engine, bare.config, bare.threshold)

    measuring.clean(striped_and_plain, tmp_path / "out.tar", 4)

    before, after = read_tar(striped_and_plain), read_tar(tmp_path / "out.tar")
    changed = [name for name in before if after[name] != before[name]]
    digests = [hashlib.sha256(after[name]).hexdigest() for name in changed]
    assert [row["sha256_out"] for row in measuring.rows] == digests
    assert all(0 < row["ssim_vs_input"] < 1 for row in measuring.rows)


def test_the_script_restores_the_whole_picture_as_the_cleaner_does(
    tiny_config: CleanerConfig,
) -> None:
    config = replace(tiny_config, gate="off")
    data = draw(True, 0, side=300, form="PNG")
    pixels = np.asarray(Image.open(io.BytesIO(data)))

    restored = script(config).restored(pixels)

    assert restored is not None
    cleaned = np.asarray(Image.open(io.BytesIO(Cleaner(config).clean(data).data)))
    assert restored.shape == (300, 300, 3)
    assert np.abs(restored.astype(int) - cleaned).max() <= 1, (
        "one tile holds all of it, so only rounding may differ"
    )


def test_the_script_goes_as_far_as_it_is_told(
    striped_and_plain: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    assert script(tiny_config).clean(striped_and_plain, tmp_path / "out.tar", 1) == pytest.approx(
        0.512**2
    )
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert len(archive.getnames()) == 1


def test_what_is_not_there_is_said_before_anything_is_measured() -> None:
    with pytest.raises(UsageError, match="no device 'abacus'"):
        bench(CleanerConfig(device="abacus"), SMALL)
    with pytest.raises(WeightsError, match="no weights nowhere"):
        bench(CleanerConfig(restorer="nowhere", device="cpu"), SMALL)


def test_a_temporary_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, tiny_config: CleanerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="set TMPDIR"):
        bench(tiny_config, SMALL)

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="set TMPDIR"):
        write_archive(tmp_path / "file" / "box.tar", [b""], rounds=1)
