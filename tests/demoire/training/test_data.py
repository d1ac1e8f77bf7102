"""Training data: split by scene, the same samples for any number of workers, labels that can be
trusted.
"""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from demoire.errors import UsageError
from demoire.moire import KINDS, MoireKind
from demoire.simulate.simulator import Style, simulate
from demoire.simulate.splits import split_of
from demoire.training.config import DataConfig
from demoire.training.data import PairSource, Sample, Samples, batches, validation_set
from demoire.training.scene_store import SceneStore, images_of_split
from demoire.training.shards import MadePair, make_shards

SMALL = DataConfig(
    size=64, batch=3, workers=0, validation_per_kind=2, drawn=0.0, drawn_clean=0.0, seed=4
)
EVENLY: dict[MoireKind, float] = dict.fromkeys(KINDS, 1.0)


def _samples(folder: Path, task: str = "restorer", config: DataConfig = SMALL) -> Samples:
    return Samples(PairSource(folder, "train", config), task, config, (config.seed,))  # type: ignore[arg-type]


def _equal(one: Sample, other: Sample) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in ("moire", "clean", "kind")
    )


def test_every_scene_is_in_one_split_and_most_are_for_training(scene_folder: Path) -> None:
    parts = [set(images_of_split(scene_folder, split)) for split in ("train", "validation", "test")]
    assert sum(len(part) for part in parts) == 30 == len(set.union(*parts))
    shares = np.array([split_of(f"photo-{number}.jpg") == "train" for number in range(2000)])
    assert 0.77 < shares.mean() < 0.83


def test_sample_depends_on_its_number_alone(scene_folder: Path) -> None:
    first, second = _samples(scene_folder), _samples(scene_folder)
    later = second[7]
    assert _equal(first[3], second[3])
    assert _equal(first[7], later)
    assert not _equal(first[3], first[4])


def test_workers_do_not_change_the_batches(scene_folder: Path) -> None:
    samples = _samples(scene_folder)
    alone = list(batches(samples, 2, 5, SMALL))
    helped = list(batches(samples, 2, 5, SMALL.model_copy(update={"workers": 2})))
    assert len(alone) == 3
    assert all(_equal(one, other) for one, other in zip(alone, helped, strict=True))
    assert alone[0].moire.shape == (3, 3, 64, 64)
    assert alone[0].moire.dtype == torch.uint8


def test_a_later_start_gives_the_same_later_batches(scene_folder: Path) -> None:
    samples = _samples(scene_folder)
    assert _equal(list(batches(samples, 0, 4, SMALL))[3], list(batches(samples, 3, 4, SMALL))[0])


def test_images_that_are_not_cached_give_the_same_samples(scene_folder: Path) -> None:
    uncached = _samples(scene_folder, config=SMALL.model_copy(update={"cache_megapixels": 0.0}))
    assert _equal(uncached[5], _samples(scene_folder)[5])


def test_a_scene_is_drawn_as_often_as_it_is_large(tmp_path: Path) -> None:
    for name, side, grey in (("small.png", 64, 50), ("large.png", 192, 200)):
        cv2.imwrite(str(tmp_path / name), np.full((side, side, 3), grey, np.uint8))
    scenes = SceneStore(sorted(tmp_path.iterdir()), cache_megapixels=1)
    rng = np.random.default_rng(0)
    large = sum(int(scenes.draw(rng)[0, 0, 0]) == 200 for _ in range(500))
    assert 420 < large < 480  # nine tenths are 450


def test_all_pictures_that_cannot_be_used_are_named_together(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "fine.png"), np.zeros((64, 64, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((16, 64, 3), np.uint8))
    for name in ("letter.jpg", "list.jpg", "note.jpg"):
        (tmp_path / name).write_text("not a picture")

    with pytest.raises(UsageError) as caught:
        SceneStore(sorted(tmp_path.iterdir()), cache_megapixels=1)

    said = str(caught.value)
    assert said.startswith("4 pictures cannot be used: ")
    assert f"{tmp_path / 'letter.jpg'} cannot be read as an image" in said
    assert said.endswith("and 1 more; take them out of the folder.")


def test_pictures_that_were_cut_short_are_named_together(tmp_path: Path) -> None:
    """Their headers are whole, so only decoding tells."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), noise)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UsageError, match="2 pictures cannot be used: .*a.png .*b.png"):
        SceneStore(sorted(tmp_path.iterdir()), cache_megapixels=1)


def test_scenes_may_be_of_any_format_that_is_cleaned(tmp_path: Path) -> None:
    picture = tmp_path / "page.jp2"
    cv2.imwrite(str(picture), np.full((64, 64, 3), 90, np.uint8))
    scene = SceneStore([picture], cache_megapixels=0).draw(np.random.default_rng(0))
    assert scene.shape == (64, 64, 3)


def test_mix_decides_the_kinds(scene_folder: Path) -> None:
    samples = _samples(
        scene_folder, config=SMALL.model_copy(update={"mix": {"halftone": 3.0, "none": 1.0}})
    )
    kinds = [KINDS[int(samples[number].kind)] for number in range(40)]
    assert set(kinds) == {"halftone", "none"}
    assert 20 <= kinds.count("halftone") <= 38


@pytest.mark.parametrize(
    ("kind", "share", "style"), [("halftone", "press", "press"), ("screen", "grids", "grid")]
)
def test_a_share_of_the_pairs_is_of_another_style(
    kind: MoireKind, share: str, style: Style, scene_folder: Path
) -> None:
    source = PairSource(scene_folder, "train", SMALL)

    def pictures(share_of_style: float, kind: MoireKind) -> list[bytes]:
        changed = source.under(SMALL.model_copy(update={share: share_of_style}))
        rngs = map(np.random.default_rng, range(3))
        return [changed.simulated(kind, rng)[0].tobytes() for rng in rngs]

    def styled(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        scene = source.scene(kind, rng)
        rng.random()  # whether it is of the style
        return simulate(kind, scene, SMALL.size, rng, style).moire.tobytes()

    assert pictures(1.0, kind) == [styled(seed) for seed in range(3)]
    assert pictures(0.0, kind) != pictures(1.0, kind)
    assert pictures(0.0, "texture") == pictures(1.0, "texture")


def test_detector_labels_what_cannot_be_seen_as_clean(scene_folder: Path) -> None:
    blind = SMALL.model_copy(
        update={"visible": 1000.0, "invisible": 1000.0, "mix": {"screen": 1.0}}
    )
    assert int(_samples(scene_folder, "detector", blind)[0].kind) == KINDS.index("none")
    plain = SMALL.model_copy(update={"visible": 0.0, "invisible": 0.0, "mix": {"screen": 1.0}})
    assert int(_samples(scene_folder, "detector", plain)[0].kind) == KINDS.index("screen")


def test_clean_twins_of_moire_pictures_stand_among_the_clean_ones(scene_folder: Path) -> None:
    twins = SMALL.model_copy(update={"twins": 1.0, "mix": {"none": 1.0}})
    sample = _samples(scene_folder, config=twins)[0]
    assert int(sample.kind) == KINDS.index("none")
    assert torch.equal(sample.moire, sample.clean)
    without = _samples(scene_folder, config=twins.model_copy(update={"twins": 0.0}))[0]
    assert not torch.equal(sample.clean, without.clean)


def test_tone_changes_both_twins_alike_and_keeps_the_order_of_brightness(
    scene_folder: Path,
) -> None:
    plain, toned = (
        _samples(
            scene_folder, config=SMALL.model_copy(update={"mix": {"none": 1.0}, "tone": tone})
        )[2]
        for tone in (0.0, 0.2)
    )
    assert torch.equal(toned.moire, toned.clean) and not torch.equal(toned.clean, plain.clean)
    for before, after in zip(plain.clean, toned.clean, strict=True):
        order = before.flatten().argsort()
        assert (after.flatten()[order].int().diff() >= 0).all()


def test_validation_set_has_every_kind_of_the_mix(scene_folder: Path) -> None:
    samples = Samples(PairSource(scene_folder, "validation", SMALL), "restorer", SMALL, (0,))
    held_out = validation_set(samples, SMALL, (0, 1))
    assert held_out.kind.bincount().tolist() == [2, 2, 2, 2]
    assert _equal(held_out, validation_set(samples, SMALL, (0, 1)))


def test_drawn_scenes_stand_in_for_a_split_without_images(
    scene_folder: Path, tmp_path: Path
) -> None:
    only = next(path for path in images_of_split(scene_folder, "train"))
    (tmp_path / only.name).write_bytes(only.read_bytes())
    samples = Samples(PairSource(tmp_path, "validation", SMALL), "restorer", SMALL, (0,))
    assert samples[0].moire.float().std() > 0


@pytest.fixture(scope="module")
def shards(scene_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard of pairs of 80 px, from the training scenes."""
    folder = tmp_path_factory.mktemp("shards")
    source = PairSource(scene_folder, "train", SMALL.model_copy(update={"size": 80}))
    assert list(make_shards(folder, 1, source.simulated, EVENLY, seed=1, workers=0)) == [0]
    return folder


def test_pairs_of_shards_are_cut_and_turned_and_depend_on_their_number_alone(
    scene_folder: Path, shards: Path
) -> None:
    def samples() -> Samples:
        return Samples(
            PairSource(scene_folder, "train", SMALL, shards), "restorer", SMALL, (SMALL.seed,)
        )

    later = samples()[7]
    assert later.moire.shape == later.clean.shape == (3, 64, 64)
    assert _equal(samples()[7], later)
    assert not _equal(samples()[8], later)


def test_shards_hold_the_shares_of_the_mix(scene_folder: Path, tmp_path: Path) -> None:
    source = PairSource(scene_folder, "train", SMALL.model_copy(update={"size": 32}))
    list(make_shards(tmp_path, 1, source.simulated, {"none": 3, "texture": 1}, seed=1, workers=0))
    kinds = [
        row.partition(",")[0] for row in (tmp_path / "rows-00000.csv").read_text().splitlines()
    ]
    assert [kinds.count(kind) for kind in KINDS] == [192, 0, 0, 64]
    with pytest.raises(
        UsageError, match="hold no pair of kind screen: they were made for another data.mix"
    ):
        PairSource(scene_folder, "train", SMALL.model_copy(update={"size": 32}), tmp_path).pair(
            "screen", np.random.default_rng(0)
        )


def test_a_shard_that_is_there_is_not_made_again(shards: Path) -> None:
    def never(kind: MoireKind, rng: np.random.Generator) -> MadePair:
        raise AssertionError("made again")

    assert list(make_shards(shards, 1, never, EVENLY, seed=1, workers=0)) == []


def test_workers_make_the_same_shards(scene_folder: Path, tmp_path: Path) -> None:
    source = PairSource(scene_folder, "train", SMALL.model_copy(update={"size": 32}))
    clean: dict[MoireKind, float] = {"none": 1.0}
    for folder, workers in (("alone", 0), ("helped", 2)):
        assert sorted(
            make_shards(tmp_path / folder, 2, source.simulated, clean, seed=1, workers=workers)
        ) == [0, 1]
    names = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "helped" / name).read_bytes()


def test_workers_end_well_whatever_their_parent_has_planned_for_its_own_end(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect plans to end its threads, which a forked worker does not have."""

    def drain() -> None:
        raise RuntimeError("the threads to be ended are not here")

    monkeypatch.setattr(threading, "_threading_atexits", [drain])
    config = SMALL.model_copy(update={"workers": 2})
    assert len(list(batches(_samples(scene_folder), 0, 3, config))) == 3
    source = PairSource(scene_folder, "train", SMALL.model_copy(update={"size": 32}))
    clean: dict[MoireKind, float] = {"none": 1.0}
    made = make_shards(tmp_path, 2, source.simulated, clean, seed=1, workers=2)
    assert sorted(made) == [0, 1]


def test_shards_that_are_too_small_or_missing_are_one_sentence(
    scene_folder: Path, shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"are of 80 px and data\.size is 96"):
        PairSource(scene_folder, "train", SMALL.model_copy(update={"size": 96}), shards)
    with pytest.raises(UsageError, match="holds no shards"):
        PairSource(scene_folder, "train", SMALL, tmp_path)


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda p: p / "nosuch", "There is no folder"), (lambda p: p, "holds no images")],
)
def test_folder_without_images(tmp_path: Path, make: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        PairSource(make(tmp_path), "train", SMALL)  # type: ignore[operator]


def test_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no JPEG")
    name = next(
        name for name in (f"broken-{i}.jpg" for i in range(50)) if split_of(name) == "train"
    )
    (tmp_path / "broken.jpg").rename(tmp_path / name)
    with pytest.raises(UsageError, match=name):
        PairSource(tmp_path, "train", SMALL)
