"""The three simulators through their one call: pairs that differ by moiré and by nothing else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.errors import UsageError
from demoire.moire import KINDS, MoireKind
from demoire.simulate import halftone
from demoire.simulate.print_process import PrintStyle, draw_prints
from demoire.simulate.simulator import Style, simulate, simulate_exposed

MOIRE_KINDS = tuple(kind for kind in KINDS if kind != "none")


@pytest.fixture(scope="module")
def landscape() -> np.ndarray:
    """A soft colourful scene of 400 x 500 px: sky above, hills below, one sharp tower."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(40, 220, (6, 8, 3)).astype(np.float32)
    scene = cv2.resize(coarse, (500, 400), interpolation=cv2.INTER_CUBIC)
    scene[120:360, 220:260] = (70, 40, 30)
    return np.clip(scene, 0, 255).astype(np.uint8)


def _spectrum_above(picture: np.ndarray, cycles: float) -> float:
    """Energy of the luma above a spatial frequency in cycles per pixel."""
    grey = picture.astype(np.float32).mean(axis=2)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    fy, fx = np.meshgrid(
        np.fft.fftfreq(grey.shape[0]), np.fft.fftfreq(grey.shape[1]), indexing="ij"
    )
    return float(power[np.hypot(fx, fy) > cycles].sum())


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_pair(kind: MoireKind, landscape: np.ndarray) -> None:
    first = simulate(kind, landscape, 128, np.random.default_rng(5))
    again = simulate(kind, landscape, 128, np.random.default_rng(5))
    other = simulate(kind, landscape, 128, np.random.default_rng(6))
    assert np.array_equal(first.moire, again.moire) and np.array_equal(first.clean, again.clean)
    assert not np.array_equal(first.moire, other.moire)


@pytest.mark.parametrize("kind", MOIRE_KINDS)
def test_tone_and_place_agree_between_input_and_target(
    kind: MoireKind, landscape: np.ndarray
) -> None:
    """Averaged over 32 px the two pictures are alike.

    What differs is the pattern, not the exposure or the framing.
    """
    differences = []
    for seed in range(24):
        pair = simulate(kind, landscape, 128, np.random.default_rng(seed))
        moire = cv2.resize(pair.moire, (4, 4), interpolation=cv2.INTER_AREA).astype(float)
        clean = cv2.resize(pair.clean, (4, 4), interpolation=cv2.INTER_AREA).astype(float)
        differences.append(np.abs(moire - clean).mean())
    assert np.median(differences) < 4


def test_a_coarse_print_shows_no_finer_picture_than_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of stripes of 4 px under a screen of 8 px, 1.25 samples to a period leave little."""
    row = np.where(np.arange(256) % 4 < 2, 88, 168).astype(np.uint8)
    stripes = row[None, :, None].repeat(256, 0).repeat(3, 2)
    flat = np.full_like(stripes, 128)
    draw_prints = halftone.draw_prints

    def contrast(quality: float) -> float:
        def coarse(
            style: PrintStyle, oversampling: int, rng: np.random.Generator
        ) -> list[halftone.Print]:
            (drawn,) = draw_prints(style, oversampling, rng)
            return [replace(drawn, period=8.0 * oversampling, quality=quality)]

        monkeypatch.setattr(halftone, "draw_prints", coarse)
        contrasts = []
        for seed in range(12):
            _, striped, _ = halftone.scan_print(stripes, 128, np.random.default_rng(seed))
            _, plain, _ = halftone.scan_print(flat, 128, np.random.default_rng(seed))
            contrasts.append((striped - plain).mean(axis=(0, 2))[32:-32].std())
        return float(np.mean(contrasts))

    assert contrast(1.25) < 0.4 * contrast(np.inf)
    assert contrast(np.inf) > 0.03


@pytest.mark.parametrize("kind", MOIRE_KINDS)
def test_moire_adds_what_the_target_does_not_have(kind: MoireKind, landscape: np.ndarray) -> None:
    pairs = [simulate(kind, landscape, 128, np.random.default_rng(seed)) for seed in range(32)]
    visible = [pair for pair in pairs if pair.strength > 5]
    assert len(visible) >= 8
    richer = [
        _spectrum_above(pair.moire, 0.25) > _spectrum_above(pair.clean, 0.25) for pair in visible
    ]
    assert np.mean(richer) > 0.7  # a sensor also softens the tower's edge, which the target keeps


def test_presses_print_coarser_screens_and_two_of_them_on_a_page() -> None:
    pages = {}
    for style in ("mixed", "press"):
        pages[style] = [draw_prints(style, 1, np.random.default_rng(seed)) for seed in range(200)]
    periods = {style: [page[0].period for page in drawn] for style, drawn in pages.items()}
    assert max(periods["mixed"]) <= 9
    assert 12 < max(periods["press"]) <= 16
    assert {len(page) for page in pages["mixed"]} == {1}
    assert {len(page) for page in pages["press"]} == {1, 2}
    inks = {len(page[0].printed) for page in pages["press"]}
    assert inks == {1, 2, 4}
    stochastic = sum(page[0].shape == "stochastic" for page in pages["press"])
    assert stochastic < 12


@pytest.mark.parametrize(("kind", "style"), [("halftone", "press"), ("screen", "grid")])
def test_the_target_of_a_strong_pattern_has_the_mean_tone_of_every_region(
    kind: MoireKind, style: Style, landscape: np.ndarray
) -> None:
    for seed in range(8):
        pair = simulate(kind, landscape, 256, np.random.default_rng(seed), style)
        moire = cv2.resize(pair.moire.astype(np.float32), (2, 2), interpolation=cv2.INTER_AREA)
        clean = cv2.resize(pair.clean.astype(np.float32), (2, 2), interpolation=cv2.INTER_AREA)
        assert np.abs(moire - clean).max() < 1.5


def test_a_screen_with_a_grid_has_strong_waves_of_a_few_pixels(landscape: np.ndarray) -> None:
    """As photographs of screens have them: of one or two directions, most of them grey."""
    strengths: dict[Style, list[float]] = {"mixed": [], "grid": []}
    periods = []
    for seed in range(24):
        for style, found in strengths.items():
            pair = simulate("screen", landscape, 128, np.random.default_rng(seed), style)
            period, strength = _strongest_wave(pair.moire.astype(np.float32) - pair.clean)
            found.append(strength)
            if style == "grid":
                periods.append(period)
    assert np.quantile(strengths["grid"], 0.75) > 2 * np.quantile(strengths["mixed"], 0.75)
    assert np.mean([2 < period < 12 for period in periods]) > 0.8
    assert np.mean([4 < period < 12 for period in periods]) > 0.4


def test_some_grids_have_two_waves_along_one_direction() -> None:
    plain = np.full((300, 300, 3), (120, 140, 110), np.uint8)
    shares = []
    for seed in range(60):
        pair = simulate("screen", plain, 128, np.random.default_rng(seed), "grid")
        shares.append(_second_wave_along(pair.moire.astype(np.float32) - pair.clean))
    # 0.05 of the strongest wave's power or more; 3 of 60 with a single wave along each direction
    assert 0.1 < np.mean([share > 0.05 for share in shares]) < 0.5


def _second_wave_along(change: np.ndarray) -> float:
    """Power of another wave along the direction of the strongest one, as a share of its power.

    Harmonics of the strongest one are no other waves, and no more is what is slower than 13 px.
    """
    side = len(change)
    grey = change.mean(axis=2)
    window = np.outer(np.hanning(side), np.hanning(side))
    spectrum = np.fft.fft2((grey - grey.mean()) * window)
    places = side * np.fft.fftfreq(side)
    fy, fx = np.meshgrid(places, places, indexing="ij")
    power = np.where(np.hypot(fy, fx) < 10, 0, np.abs(spectrum) ** 2)
    row, column = np.unravel_index(power.argmax(), power.shape)
    strongest = np.hypot(fy[row, column], fx[row, column])
    along = (fy * fy[row, column] + fx * fx[row, column]) / strongest
    aside = np.abs(fy * fx[row, column] - fx * fy[row, column]) / strongest
    is_on_line = (aside < 4) & (along > 10)
    for multiple in (0.5, 1, 2):
        is_on_line &= np.abs(along - multiple * strongest) > 5
    return float(power[is_on_line].max(initial=0) / power.max())


def _strongest_wave(change: np.ndarray) -> tuple[float, float]:
    """Period in px and RMS in 1/255 of the strongest wave of the luma of a square."""
    side = len(change)
    grey = change.mean(axis=2)
    window = np.outer(np.hanning(side), np.hanning(side))
    spectrum = np.fft.fft2((grey - grey.mean()) * window)
    power = np.abs(spectrum) ** 2 / np.square(window).sum() / side**2
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    row, column = np.unravel_index(power.argmax(), power.shape)
    beside = np.hypot(fy - fy[row, column], fx - fx[row, column]) < 2.5 / side
    period = 1 / max(np.hypot(fy[row, column], fx[row, column]), 1 / side)
    return float(period), float(np.sqrt(2 * power[beside].sum()))


def test_halftone_keeps_the_local_mean(landscape: np.ndarray) -> None:
    """The target is the mean of the dots, so that a perfect descreening shifts no colour."""
    shifts = []
    for seed in range(30):
        pair = simulate("halftone", landscape, 128, np.random.default_rng(seed))
        shift = pair.moire.astype(float).mean((0, 1)) - pair.clean.astype(float).mean((0, 1))
        shifts.append(np.abs(shift).max())
    assert np.median(shifts) < 3


def test_the_target_of_a_texture_shows_no_weave_that_a_colour_sensor_cannot_carry() -> None:
    plain = np.full((300, 300, 3), (120, 140, 110), np.uint8)
    left = []
    for seed in range(40):
        pair = simulate("texture", plain, 128, np.random.default_rng(seed))
        left.append(np.sqrt(_spectrum_above(pair.clean, 0.3) / _spectrum_above(pair.moire, 0.3)))
    # up to 4.5 with a target that shows what the green pixels alone could carry
    assert max(left) < 0.5


def test_a_clean_pair_holds_no_pattern() -> None:
    """On a plain scene moiré is one sharp peak of the spectrum, and what cameras add is not."""
    plain = np.full((300, 300, 3), (120, 140, 110), np.uint8)
    assert _sharpest_peak("none", plain) < 25
    assert _sharpest_peak("texture", plain) > 50


def _sharpest_peak(kind: MoireKind, scene: np.ndarray) -> float:
    """The median, over some pairs, of the highest power over the mean power."""
    peaks = []
    for seed in range(24):
        picture = simulate(kind, scene, 128, np.random.default_rng(seed)).moire
        grey = picture.astype(np.float32).mean(axis=2)
        window = np.outer(np.hanning(128), np.hanning(128))
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        power[[0, 1, 2, -1, -2]] = 0  # the slow fall of light towards the corners
        power[:, [0, 1, 2, -1, -2]] = 0
        peaks.append(power.max() / max(power.mean(), 1e-9))
    return float(np.median(peaks))


@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(32, 300),
    width=st.integers(32, 300),
    size=st.integers(16, 80).map(lambda half: 2 * half),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_any_scene_and_size(kind: MoireKind, height: int, width: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pair = simulate(kind, scene, size, rng)
    for picture in (pair.moire, pair.clean):
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8
    assert np.isfinite(pair.strength)


def test_unknown_kind_names_the_known_ones(landscape: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"screen \(mixed\).*halftone \(mixed\).*texture"):
        simulate("wallpaper", landscape, 64, np.random.default_rng(0))  # type: ignore[arg-type]


def test_a_kind_has_no_style_of_another(landscape: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"'texture' \(grid\) .* screen \(grid\)"):
        simulate("texture", landscape, 64, np.random.default_rng(0), "grid")


@pytest.mark.parametrize("kind", MOIRE_KINDS)
def test_an_exposed_twin_has_its_cameras_noise(kind: MoireKind, landscape: np.ndarray) -> None:
    exposed = simulate_exposed(kind, landscape, 128, np.random.default_rng(5))
    target = simulate(kind, landscape, 128, np.random.default_rng(5))
    assert np.array_equal(exposed.moire, target.moire)
    assert _spectrum_above(exposed.clean, 0.4) > _spectrum_above(target.clean, 0.4)
