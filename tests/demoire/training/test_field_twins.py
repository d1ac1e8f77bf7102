"""Pairs of field pictures: what differs between the two is the pattern, and it is known where."""

import cv2
import numpy as np
import pytest

from demoire.errors import UsageError
from demoire.training.config import FieldConfig, FieldTwin
from demoire.training.field import FieldFolder
from demoire.training.field_pictures import FieldPictures, Twins
from demoire.training.field_twins import FieldTwins

_DRAWN = np.full((100, 100, 3), 90, np.uint8)


def _twins(field: FieldFolder, twins: dict[FieldTwin, float], pool: int = 0) -> FieldTwins:
    config = FieldConfig(twins=twins, pool=pool)
    pictures = FieldPictures(field.part("train"), [], [_DRAWN], config)
    return FieldTwins(pictures, config, 64)


def _drawn(field: FieldFolder, kind: FieldTwin, count: int) -> list[Twins]:
    source = _twins(field, {kind: 1.0})
    return [source.twins(np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("kind", ["stored", "processed", "drawn"])
def test_a_clean_picture_is_its_own_twin(field: FieldFolder, kind: FieldTwin) -> None:
    for pair in _drawn(field, kind, 4):
        assert pair.kind == "none"
        assert pair.moire.shape == (64, 64, 3)
        assert pair.clean is pair.moire
        assert pair.known.min() == 255


def test_a_pattern_is_all_that_a_layer_adds(field: FieldFolder) -> None:
    """The stripes of the photograph have periods of 8 px, and 3 to 19 after resizing twice."""
    for pair in _drawn(field, "layer", 6):
        assert pair.kind == "screen"
        assert pair.moire.shape == pair.clean.shape == (64, 64, 3)
        difference = pair.moire.astype(np.float32) - pair.clean
        assert difference.std() > 1
        wide = cv2.GaussianBlur(difference, (0, 0), 16)
        assert wide.std() < 0.5 * difference.std()
        assert pair.known.min() == 255


def test_layers_are_as_strong_as_the_configuration_says(field: FieldFolder) -> None:
    def strongest(limit: float) -> float:
        config = FieldConfig(twins={"layer": 1.0}, strongest=limit)
        pictures = FieldPictures(field.part("train"), [], [_DRAWN], config)
        source = FieldTwins(pictures, config, 64)
        drawn = [source.twins(np.random.default_rng(seed)) for seed in range(24)]
        return max(float(_stripes(pair.moire).std()) for pair in drawn)

    assert strongest(40.0) > 1.5 * strongest(13.0)


def test_a_photograph_should_become_what_the_screen_showed_where_it_was_smooth(
    field: FieldFolder,
) -> None:
    for pair in _drawn(field, "photograph", 6):
        known = pair.known > 250
        assert known.mean() > 0.3
        before = _stripes(pair.moire)[known]
        after = _stripes(pair.clean)[known]
        assert after.std() < 0.5 * before.std()


def _stripes(picture: np.ndarray) -> np.ndarray:
    light = picture.astype(np.float32).mean(axis=2)
    return light - cv2.GaussianBlur(light, (0, 0), 8)


def test_equal_generators_give_equal_pairs(field: FieldFolder) -> None:
    source = _twins(field, FieldConfig().twins)
    for seed in range(8):
        one = source.twins(np.random.default_rng(seed))
        other = source.twins(np.random.default_rng(seed))
        assert one.kind == other.kind
        assert np.array_equal(one.moire, other.moire)
        assert np.array_equal(one.clean, other.clean)


def test_pairs_of_a_pool_are_turned_alike(field: FieldFolder) -> None:
    source = _twins(field, {"layer": 1.0}, pool=1)
    stored = source.made(np.random.default_rng([7, 0]))
    strength = np.abs(stored.moire.astype(int) - stored.clean).sum()
    shown = [source.twins(np.random.default_rng(seed)) for seed in range(12)]
    assert len({pair.moire.tobytes() for pair in shown}) > 3
    for pair in shown:
        assert np.abs(pair.moire.astype(int) - pair.clean).sum() == strength


def test_pairs_without_any_pattern_are_refused(field: FieldFolder) -> None:
    pairs = field.folder / "real_pairs"
    (pairs / "a_moire.png").write_bytes((pairs / "a_clean.png").read_bytes())
    with pytest.raises(UsageError, match="show no pattern"):
        _twins(field, {"layer": 0.5, "photograph": 0.5}).twins(np.random.default_rng(0))


def test_a_folder_without_pairs_has_no_layers_to_draw(field: FieldFolder) -> None:
    for path in (field.folder / "real_pairs").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no picture of any kind"):
        _twins(field, {"layer": 1.0, "photograph": 1.0})
