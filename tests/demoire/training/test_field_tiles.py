"""Tiles of field pictures: labelled, of one size, and the same for the same generator."""

import numpy as np
import pytest

from demoire.errors import UsageError
from demoire.simulate.pairs import read_scene
from demoire.training.config import FieldConfig, FieldTile
from demoire.training.field import FieldFolder
from demoire.training.field_pictures import FieldPictures
from demoire.training.field_tiles import FieldTiles

_DRAWN = np.full((100, 100, 3), 90, np.uint8)


def _tiles(field: FieldFolder, mix: dict[FieldTile, float]) -> FieldTiles:
    return _tiles_by(field, FieldConfig(mix=mix))


def _tiles_by(field: FieldFolder, config: FieldConfig) -> FieldTiles:
    part = field.part("train")
    pictures = FieldPictures(part, [], [_DRAWN], config)
    return FieldTiles(part, pictures, config, 64)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ("stored", "none"),
        ("processed", "none"),
        ("drawn", "none"),
        ("shown", "none"),
        ("twin", "none"),
        ("screen", "screen"),
        ("layer", "screen"),
        ("halftone", "halftone"),
        ("texture", "texture"),
    ],
)
def test_tiles_carry_their_kind(field: FieldFolder, made: FieldTile, kind: str) -> None:
    tiles = _tiles(field, {made: 1.0})
    drawn = [tiles.draw(np.random.default_rng(seed)) for seed in range(6)]
    assert all(tile.shape == (64, 64, 3) and tile.dtype == np.uint8 for tile, _ in drawn)
    assert {said for _, said in drawn} <= {kind, "none"}
    assert any(said == kind for _, said in drawn)


def test_stored_tiles_are_pixels_of_the_file(field: FieldFolder) -> None:
    tile, _ = _tiles(field, {"stored": 1.0}).draw(np.random.default_rng(0))
    stored = read_scene(field.folder / "clean/one_a.png")
    whole = {tuple(colour) for colour in stored.reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in tile.reshape(-1, 3).tolist()} <= whole


def test_equal_generators_give_equal_tiles(field: FieldFolder) -> None:
    tiles = _tiles(field, FieldConfig().mix)
    for seed in range(8):
        one, other = (tiles.draw(np.random.default_rng(seed)) for _ in range(2))
        assert one[1] == other[1]
        assert np.array_equal(one[0], other[0])


def test_a_folder_without_what_is_to_be_drawn_is_refused(field: FieldFolder) -> None:
    (field.folder / "halftone/a.png").unlink()
    with pytest.raises(UsageError, match="no picture of any kind"):
        _tiles(field, {"halftone": 1.0})


def test_pairs_without_any_pattern_are_refused(field: FieldFolder) -> None:
    pairs = field.folder / "real_pairs"
    (pairs / "a_moire.png").write_bytes((pairs / "a_clean.png").read_bytes())
    with pytest.raises(UsageError, match="show no pattern"):
        _tiles(field, {"layer": 1.0}).draw(np.random.default_rng(0))


def test_a_pool_is_drawn_from_again(field: FieldFolder) -> None:
    tiles = _tiles_by(field, FieldConfig(mix={"processed": 1.0}, pool=2))
    drawn = [tiles.draw(np.random.default_rng(seed))[0] for seed in range(40)]
    colours = {tuple(np.sort(tile.reshape(-1, 3).sum(axis=1)).tolist()) for tile in drawn}
    assert len(colours) == 2
    assert len({tile.tobytes() for tile in drawn}) > 4
