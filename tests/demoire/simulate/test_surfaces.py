"""Photographs of patterned surfaces: regular, and clean."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from demoire.simulate.capture import draw_development
from demoire.simulate.surfaces import draw_surface, moire_of, photograph_aliased, photograph_surface


def _stripes(side: int, period: float) -> np.ndarray:
    wave = 0.5 + 0.45 * np.sin(2 * np.pi * np.arange(side) / period)
    return np.ascontiguousarray(
        np.broadcast_to(wave[None, :, None], (side, side, 3)).astype(np.float32)
    )


@pytest.mark.parametrize(("period", "shows"), [(2.1, True), (12.0, False)])
def test_moire_is_measured_where_the_sensor_is_too_coarse(period: float, shows: bool) -> None:
    camera = replace(draw_development(np.random.default_rng(0)), bayer=0, denoise=0.0)
    light = _stripes(384, 3 * period)
    seen = np.ascontiguousarray(light[1::3, 1::3])
    assert (moire_of(seen, light, camera) > 4) == shows


def test_false_colours_count_as_moire_though_they_are_fine() -> None:
    camera = replace(draw_development(np.random.default_rng(0)), denoise=0.0, edge_aware=False)
    light = _stripes(384, 3 * 3.0)
    seen = cv2.resize(light, (128, 128), interpolation=cv2.INTER_AREA)
    with_mosaic = moire_of(seen, light, replace(camera, bayer=0))
    without_mosaic = moire_of(seen, light, replace(camera, bayer=None))
    assert with_mosaic > 4 > without_mosaic


def test_a_texture_too_fine_for_the_sensor_looks_as_its_mean_does() -> None:
    fine = np.zeros((256, 256, 3), np.uint8)
    fine[:, ::2] = 255
    mean = np.full_like(fine, 188)  # sRGB of half the light
    for seed in range(6):
        seen, plain = (
            photograph_surface(texture, 96, np.random.default_rng(seed)).astype(np.float32)
            for texture in (fine, mean)
        )
        bands = cv2.GaussianBlur(seen - plain, (0, 0), 4)
        assert bands[8:-8, 8:-8].std() < 2.5


def test_a_surface_that_the_sensor_resolves_keeps_its_structure() -> None:
    texture = np.full((512, 512, 3), 40, np.uint8)
    texture[(np.arange(512) // 48) % 2 == 0] = 220
    spreads = [
        float(photograph_surface(texture, 96, np.random.default_rng(seed)).std())
        for seed in range(4)
    ]
    assert max(spreads) > 25


def test_a_fine_weave_photographed_twice_aliases_where_no_filter_is() -> None:
    weave = np.full((512, 512, 3), 40, np.uint8)
    rows, columns = np.mgrid[0:512, 0:512] // 8
    weave[(rows + columns) % 2 == 0] = 220
    pairs = [photograph_aliased(weave, 96, np.random.default_rng(seed)) for seed in range(6)]
    shown = [pair for pair in pairs if pair is not None]
    assert len(shown) >= 3
    strongest = []
    for pair in shown:
        assert pair.strength >= 2
        moire = pair.moire.astype(np.float32) - pair.clean
        bands = cv2.GaussianBlur(moire, (0, 0), 2)[4:-4, 4:-4].std()
        colours = (moire - moire.mean(axis=2, keepdims=True)).std()
        strongest.append(max(bands, colours))
    assert min(strongest) > 0.7
    assert np.mean(strongest) > 2


def test_what_is_too_coarse_to_alias_makes_no_pair() -> None:
    plain = np.full((256, 256, 3), 120, np.uint8)
    assert photograph_aliased(plain, 64, np.random.default_rng(0)) is None


def test_the_same_seed_gives_the_same_photograph() -> None:
    one, other = (
        photograph_surface(draw_surface(rng), 64, rng)
        for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    assert one.shape == (64, 64, 3)
    assert np.array_equal(one, other)
