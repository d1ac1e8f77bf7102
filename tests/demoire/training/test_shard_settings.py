"""A folder of shards says so when it was filled with other settings than a training has."""

from pathlib import Path

import pytest

from demoire.errors import UsageError
from demoire.training.config import DataConfig, TrainConfig
from demoire.training.config_files import load_config
from demoire.training.loop import fill_shards

ONE = DataConfig(size=64, workers=0, drawn=0.0, shards=1)


def _with(data: DataConfig, **changes: object) -> TrainConfig:
    return load_config("tiny-detector").model_copy(
        update={"data": data.model_copy(update=changes)},
    )


@pytest.fixture(scope="module")
def filled(scene_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard, of four pairs."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demoire.training.shards.PAIRS_PER_SHARD", 4)
        fill_shards(folder, scene_folder, _with(ONE))
    return folder


def test_pairs_made_with_other_settings_are_reused_with_a_warning(
    filled: Path, scene_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill_shards(filled, scene_folder, _with(ONE, exposed_twins=True, scales=(0.4, 2.0)))
    assert caplog.messages == [
        f"The shards in {filled} were made with data.exposed_twins = false and "
        "data.scales = [0.5, 1.25], not true and [0.4, 2.0]; "
        "give --shards another folder to have pairs made anew."
    ]


@pytest.mark.parametrize("changes", [{}, {"size": 32}, {"seed": 8}, {"mix": {"screen": 1.0}}])
def test_what_suits_the_pairs_that_are_there_goes_without_a_word(
    changes: dict[str, object],
    filled: Path,
    scene_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill_shards(filled, scene_folder, _with(ONE, **changes))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"press": 0.5}, r"data\.press = 0\.0, not 0\.5"),
        ({"grids": 0.5}, r"data\.grids = 0\.0, not 0\.5"),
        ({"size": 96}, r"data\.size = 64, not 96"),
    ],
)
def test_pairs_that_do_not_match_are_not_added(
    changes: dict[str, object], difference: str, filled: Path, scene_folder: Path
) -> None:
    with pytest.raises(UsageError, match=f"{difference}, and data.shards asks for more of them"):
        fill_shards(filled, scene_folder, _with(ONE, shards=2, **changes))
    assert len(list(filled.glob("rows-*.csv"))) == 1


def test_a_folder_without_its_settings_is_taken_as_it_is(
    scene_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rows-00000.csv").write_text("none,0.0\n")
    fill_shards(tmp_path, scene_folder, _with(ONE, press=0.5))
    assert not caplog.messages


def test_damaged_settings_are_one_sentence(scene_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows-00000.csv").write_text("none,0.0\n")
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(UsageError, match=r"settings\.json is damaged; delete it"):
        fill_shards(tmp_path, scene_folder, _with(ONE))
