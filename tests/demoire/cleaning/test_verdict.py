"""The rules: when an image counts as having moiré, and what no restorer can have meant."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from demoire.cleaning.dots import Dots
from demoire.cleaning.verdict import (
    ChangeKind,
    are_dots_gone,
    are_dots_in_colour,
    can_be_judged,
    change_kind,
    detection_from,
    has_gained,
    is_clear_pattern,
    is_doubted_artwork,
    is_only_softened,
    looks_like_pattern,
)
from tests.demoire.cleaning.rules import RULES


def kind_of_change(before: NDArray, change: NDArray) -> ChangeKind:
    """What is said of a tile to which a restorer adds this, in units of full scale."""
    full = np.iinfo(before.dtype).max
    restored = before / full + change
    after = np.rint(full * np.nan_to_num(restored).clip(0, 1)).astype(before.dtype)
    return change_kind(before, after, float(restored.mean()))


def screens(*moire: float) -> np.ndarray:
    """(cells, 4) probabilities of cells that are a screen or nothing."""
    return np.array([(1 - p, p, 0, 0) for p in moire], np.float32)


def test_without_cells_there_is_no_moire() -> None:
    detection = detection_from(np.zeros((0, 4), np.float32), RULES)
    assert (detection.moire, detection.kind, detection.cells, detection.flagged) == (
        0,
        "none",
        0,
        (),
    )


def test_below_the_threshold_no_cell_is_flagged_however_sure_the_detector_is_of_it() -> None:
    detection = detection_from(screens(0.6, 0.01, 0.01, 0.01, 0.01), RULES)
    assert detection.moire < 0.5
    assert (detection.kind, detection.cells, detection.flagged) == ("none", 5, ())


def test_from_the_threshold_on_cells_are_flagged_by_their_own_lower_one() -> None:
    detection = detection_from(screens(0.99, 0.31, 0.29, 0.99), RULES)
    assert (detection.kind, detection.flagged) == ("screen", (0, 1, 3))


def test_both_thresholds_are_values_from_which_on_something_is_done() -> None:
    cells = screens(0.75, 0.75, 0.75, 0.75)
    score = detection_from(cells, RULES).moire
    at_both = replace(RULES, threshold=score, cell_threshold=0.75)
    assert detection_from(cells, at_both).flagged == (0, 1, 2, 3)
    assert detection_from(cells, replace(at_both, cell_threshold=0.76)).flagged == ()
    assert detection_from(cells, replace(at_both, threshold=score + 1e-9)).flagged == ()


def test_moire_of_any_kind_flags_a_cell() -> None:
    cells = np.array([(0.1, 0.9, 0, 0), (0.1, 0, 0.9, 0), (0.1, 0, 0, 0.9), (1, 0, 0, 0)])
    assert detection_from(cells.astype(np.float32), RULES).flagged == (0, 1, 2)


@pytest.mark.parametrize(
    ("share", "may_be"), [(None, True), (0.09, False), (0.1, True), (0.9, True)]
)
def test_what_was_taken_looks_like_a_pattern_from_a_tenth_in_few_frequencies_on(
    share: float | None, may_be: bool
) -> None:
    assert looks_like_pattern(share) is may_be


@pytest.mark.parametrize(
    ("before", "after", "gained"),
    [
        (0.9, 0.4, True),  # below the threshold
        (0.9, 0.5, True),  # at it, and far down
        (0.505, 0.5, False),  # at it, and hardly any less
        (0.977, 0.912, True),  # still above, and less by a fifth of the odds and more
        (0.9, 0.892, False),  # log odds 0.086 less
        (0.9, 0.89, True),  # 0.107 less
        (0.8, 0.95, False),  # more than before
        (1.0, 1.0, False),
        (1.0, 0.0, True),
    ],
)
def test_an_image_has_gained_below_the_threshold_or_by_a_clear_fall(
    before: float, after: float, gained: bool
) -> None:
    assert has_gained(before, after, 0.5) is gained


PORTRAIT = Dots(share=0.54, lattice=0.6, period=2, colour=0, left=0)  # in a newspaper
HOUSE = Dots(share=0.29, lattice=0.9, period=5.5, colour=0.8, left=0)  # in four inks


@pytest.mark.parametrize(
    ("dots", "gone"),
    [
        (PORTRAIT, True),
        (HOUSE, True),
        (replace(PORTRAIT, left=0.014), False),  # screentone of a comic page
        (replace(PORTRAIT, lattice=0.1), False),  # hatching
        (replace(PORTRAIT, share=0.2), False),  # text and paper go with the dots
        (None, False),
    ],
)
def test_dots_are_gone_if_they_were_on_a_lattice_and_hardly_any_of_them_is_left(
    dots: Dots | None, gone: bool
) -> None:
    assert are_dots_gone(dots) is gone


@pytest.mark.parametrize(
    ("dots", "clear"),
    [
        (HOUSE, True),
        (replace(HOUSE, left=0.3), True),  # a lattice of which some is left
        (replace(PORTRAIT, lattice=0.1), True),  # gone, though no lattice was seen
        (replace(PORTRAIT, lattice=0.1, left=0.17), False),  # stripes of plastic
        (replace(PORTRAIT, lattice=0.1, share=0.16), False),  # burlap
        (None, False),
    ],
)
def test_what_was_taken_is_clearly_a_pattern_on_a_lattice_or_if_it_is_gone(
    dots: Dots | None, clear: bool
) -> None:
    assert is_clear_pattern(dots) is clear


ENGRAVING = Dots(share=0.11, lattice=0.13, period=2, colour=0.2, left=0.81)


@pytest.mark.parametrize(
    ("dots", "softened"),
    [
        (ENGRAVING, True),
        (replace(ENGRAVING, left=0.4), False),  # the pattern goes too
        (replace(ENGRAVING, share=0.4), False),  # most of what goes is a pattern
        (None, False),
    ],
)
def test_a_picture_is_only_softened_if_a_little_of_all_its_detail_was_taken(
    dots: Dots | None, softened: bool
) -> None:
    assert is_only_softened(dots) is softened


@pytest.mark.parametrize(
    ("change", "share", "is_artwork"),
    [
        (0.267, 0.129, True),  # a map of land use, of which restoring makes a blur
        (0.1, 0.129, False),
        (0.239, 0.61, False),  # a coarse print
        (0.267, None, False),
    ],
)
def test_a_strong_change_that_is_no_clear_pattern_is_artwork_where_there_is_doubt(
    change: float, share: float | None, is_artwork: bool
) -> None:
    assert is_doubted_artwork(change, share) is is_artwork


@pytest.mark.parametrize(
    ("dots", "are_print"),
    [
        (HOUSE, True),
        (replace(HOUSE, colour=0.02), False),  # the screentone of a comic page
        (replace(HOUSE, lattice=0.1), False),  # coloured stripes
        (replace(HOUSE, period=9), False),  # wider than the strokes of small type
        (replace(HOUSE, left=0.13), False),
        (None, False),
    ],
)
def test_dots_in_colour_are_print_and_black_ones_may_be_drawn(
    dots: Dots | None, are_print: bool
) -> None:
    assert are_dots_in_colour(dots) is are_print


@pytest.mark.parametrize(("size", "judged"), [((64, 64), True), ((63, 900), False)])
def test_a_picture_is_judged_from_64_pixels_on(size: tuple[int, int], judged: bool) -> None:
    assert can_be_judged(*size) is judged


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("lightness", "change", "sound"),
    [
        (0.5, 0.0, True),
        (0.5, -0.24, True),
        (0.5, 0.26, False),  # more than a quarter of full scale
        (0.2, -0.11, True),
        (0.2, -0.13, False),  # more than half of the light is gone
        (0.0, 0.01, True),
        (0.5, float("nan"), False),
        (0.5, float("inf"), False),
    ],
)
def test_what_is_added_has_to_be_small_and_finite(
    dtype: type, lightness: float, change: float, sound: bool
) -> None:
    before = np.full((64, 64, 3), round(lightness * np.iinfo(dtype).max), dtype)
    kind = kind_of_change(before, np.full((64, 64, 3), change))
    assert (kind is ChangeKind.SOUND) is sound


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_screentone_that_is_turned_into_grey_was_drawn_and_a_picture_made_of_noise_is_broken(
    dtype: type,
) -> None:
    full = np.iinfo(dtype).max
    tone = np.indices((64, 64)).sum(axis=0)[:, :, None] % 2 * np.ones((1, 1, 3))
    before = (tone * full).astype(dtype)
    assert kind_of_change(before, 0.5 - tone) is ChangeKind.DRAWN
    grey = np.full((64, 64, 3), full // 2, dtype)
    noise = np.where(np.random.default_rng(1).random((64, 64, 3)) < 0.5, -0.4, 0.4)
    assert kind_of_change(grey, noise) is ChangeKind.BROKEN
    faint = np.rint(full * (0.3 + 0.4 * tone)).astype(dtype)
    assert kind_of_change(faint, 0.6 * tone - 0.3) is ChangeKind.BROKEN
