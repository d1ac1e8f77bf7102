"""The simulator of screens in batches: the same photographs as one by one, but for rounding."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from demoire.simulate import screen
from demoire.simulate.batched.capture import Cameras, develop_each
from demoire.simulate.batched.jpeg import compress
from demoire.simulate.batched.screens import (
    PairBatch,
    Shot,
    ShotBatch,
    draw_shots,
    photograph_screens,
)
from demoire.simulate.capture import (
    MOST_ENLARGED,
    Development,
    develop,
    draw_development,
    pattern_strength,
)
from demoire.simulate.realism import BANDS, measure
from demoire.simulate.scenes.drawings import SCENES
from demoire.simulate.simulator import simulate

SIZE = 128
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scene() -> NDArray[np.uint8]:
    return SCENES["photograph"](np.random.default_rng(0), 256, 256).copy()


def tensor(pictures: Sequence[NDArray[Any]]) -> torch.Tensor:
    """(H, W, 3) each -> (N, 3, H, W)."""
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())


def arrays(pictures: torch.Tensor) -> NDArray[np.uint8]:
    return pictures.permute(0, 2, 3, 1).numpy()


def without_chance(development: Development) -> Development:
    return replace(development, shot_noise=0.0, read_noise=0.0)


def test_every_camera_develops_as_it_does_alone() -> None:
    rng = np.random.default_rng(2)
    cameras = []
    for bayer in (None, 0, 1, 2, 3, 0, 1, 2, 3):
        camera = without_chance(draw_development(rng))
        cameras.append(replace(camera, bayer=bayer, jpeg=()))
    assert {camera.edge_aware for camera in cameras} == {True, False}
    base = cv2.GaussianBlur(rng.random((160, 160, 3)).astype(np.float32), (0, 0), 3) * 4 - 1.5
    without = np.clip(base, 0, 1)
    with_moire = without * (1 + 0.3 * np.sin(np.arange(160, dtype=np.float32) * 2))[None, :, None]
    count = len(cameras)
    moire, clean, strength = develop_each(
        tensor([with_moire] * count),
        tensor([without] * count),
        SIZE,
        Cameras.of(cameras, CPU),
        torch.Generator(),
    )
    for number, camera in enumerate(cameras):
        wanted, target = develop(with_moire, without, SIZE, camera, rng)
        inner = slice(6, -6)  # OpenCV takes care of a mosaic's margin in another way
        off = np.abs(arrays(moire)[number].astype(int) - wanted)[inner, inner]
        assert off.mean() < 0.1, camera
        assert np.abs(arrays(clean)[number].astype(int) - target).max() <= 1, camera
        alone = pattern_strength(with_moire, without, SIZE, camera)
        assert float(strength[number]) == pytest.approx(alone, rel=0.03)


def test_noise_is_as_strong_as_a_camera_has_it() -> None:
    rng = np.random.default_rng(3)
    camera = replace(draw_development(rng), jpeg=(), sharpen=0.0, denoise=0.0, bayer=None)
    for shot_noise, read_noise in ((6e-4, 0.0), (0.0, 0.005)):
        noisy = replace(camera, shot_noise=shot_noise, read_noise=read_noise)
        grey = np.full((SIZE, SIZE, 3), 0.3, np.float32)
        wanted, _ = develop(grey, grey, SIZE, noisy, rng)
        generator = torch.Generator().manual_seed(0)
        light = tensor([grey])
        moire, _, _ = develop_each(light, light, SIZE, Cameras.of([noisy], CPU), generator)
        assert arrays(moire).std() == pytest.approx(wanted.std(), rel=0.1)


@pytest.mark.parametrize("has_half_chroma", [False, True])
def test_jpeg_loses_what_a_jpeg_file_loses(scene: NDArray[np.uint8], has_half_chroma: bool) -> None:
    picture = scene[:90, :90]
    qualities = (40, 60, 90)
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    if has_half_chroma:
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    halves = torch.full((len(qualities),), has_half_chroma)
    compressed = compress(tensor([picture] * 3).float(), torch.tensor(qualities), halves)
    for number, quality in enumerate(qualities):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
        _, data = cv2.imencode(".jpg", picture[..., ::-1], options)
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        wanted = decoded[..., ::-1].astype(int)
        off = np.abs(arrays(compressed)[number] - wanted).mean()
        assert off < 0.35 * np.abs(wanted - picture).mean()


class Drawn:
    """A generator that gives what a shot has drawn already, in `photograph_screen`'s order."""

    def __init__(self, shot: Shot) -> None:
        self._enlarged = shot.enlarged
        self._values = iter((1.0, shot.ambient, shot.exposure, shot.blur))

    def uniform(self, low: float, high: float) -> float:
        if high == MOST_ENLARGED:
            return self._enlarged
        return next(self._values)

    def integers(self, high: int) -> int:
        return 0


def alone(
    shot: Shot, batch: ShotBatch, scene: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The pair that the simulator makes of a shot by itself."""
    with monkeypatch.context() as patch:
        patch.setattr(screen, "draw_development", lambda rng: shot.development)
        patch.setattr(screen, "draw_shrink", lambda rng: batch.size / batch.side)
        patch.setattr(screen, "draw_ratio", lambda rng: shot.ratio)
        patch.setattr(screen, "draw_panel", lambda rng, footprint: shot.panel)
        patch.setattr(screen, "draw_pose", lambda rng: shot.pose)
        lights = screen.photograph_screen(scene, batch.size, Drawn(shot))  # type: ignore[arg-type]
    with_moire, without, development = lights
    return develop(with_moire, without, batch.size, development, np.random.default_rng(0))


def shots() -> Iterator[ShotBatch]:
    """Shots of a whole scene without noise, whose screens have no more pixels than the scene."""
    rng = np.random.default_rng(5)
    while True:
        batch = draw_shots(3, SIZE, rng)
        chosen = []
        for shot in batch.shots:
            if batch.side / shot.ratio * 1.1 < 256:
                development = without_chance(shot.development)
                whole = replace(shot, development=development, extent=1.0, corner=(0.0, 0.0))
                chosen.append(whole)
        if chosen:
            yield replace(batch, shots=chosen)


def test_spectra_colour_and_tone_of_a_batch_are_those_of_photographs_taken_alone(
    scene: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[NDArray[np.uint8]] = []
    one_by_one: list[NDArray[np.uint8]] = []
    drawn = shots()
    while len(together) < 6:
        batch = next(drawn)
        scenes = tensor([scene] * len(batch.shots))
        pairs = photograph_screens(batch, scenes, torch.Generator())
        together += list(arrays(pairs.moire))
        for number, shot in enumerate(batch.shots):
            moire, clean = alone(shot, batch, scene, monkeypatch)
            one_by_one.append(moire)
            off = arrays(pairs.clean)[number].astype(float) - clean
            assert np.abs(off.mean(axis=(0, 1))).max() < 1
    here, there = measure(one_by_one), measure(together)
    assert there.luma_contrast == pytest.approx(here.luma_contrast, rel=0.2)
    assert there.chroma_contrast == pytest.approx(here.chroma_contrast, rel=0.2, abs=0.2)
    tones = [np.mean(pictures, axis=(0, 1, 2)) for pictures in (one_by_one, together)]
    assert np.abs(tones[0] - tones[1]).max() < 0.5
    assert len(BANDS) == len(here.luma_contrast)


@pytest.mark.parametrize("enlarged", [1.0, 1.9])
def test_a_scene_smaller_than_the_screen_is_enlarged_as_it_is_alone(
    scene: NDArray[np.uint8], enlarged: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = next(shots())
    first = batch.shots[0]
    level = replace(first.pose, lens=0.0, tilt=(0.0, 0.0), angle=0.0, bend=0.0, shift=(0.0, 0.0))
    # 300 screen pixels show a scene of 256 px.
    near = replace(first, pose=level, ratio=1.1 * SIZE / 300.5, enlarged=enlarged, extent=0.5)
    plain = replace(near.development, bayer=None, jpeg=(), denoise=0.0, sharpen=0.0)
    wide = ShotBatch([replace(near, development=plain)], SIZE, SIZE, 2)
    clean = arrays(photograph_screens(wide, tensor([scene]), torch.Generator()).clean)[0]
    _, wanted = alone(wide.shots[0], wide, scene, monkeypatch)
    assert np.abs(clean.astype(int) - wanted).mean() < 0.15 * wanted.std()


def test_a_batch_depends_on_its_seeds_alone(scene: NDArray[np.uint8]) -> None:
    def make(seed: int) -> PairBatch:
        batch = draw_shots(2, 64, np.random.default_rng(seed))
        return photograph_screens(batch, tensor([scene] * 2), torch.Generator().manual_seed(seed))

    first, again, other = make(1), make(1), make(2)
    assert torch.equal(first.moire, again.moire) and torch.equal(first.clean, again.clean)
    assert not torch.equal(first.moire, other.moire)
    assert first.moire.shape == (2, 3, 64, 64) and first.moire.dtype == torch.uint8


def test_the_strength_tells_pairs_that_show_their_moire(scene: NDArray[np.uint8]) -> None:
    pair = simulate("screen", scene, 64, np.random.default_rng(0))
    batch = draw_shots(8, 64, np.random.default_rng(4))
    strength = photograph_screens(batch, tensor([scene] * 8), torch.Generator()).strength
    assert pair.strength >= 2
    assert 0 <= strength.min() < 2 < strength.max() < 60
