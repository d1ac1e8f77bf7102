"""What becomes of a judged image: copied, or cut into windows, and kept if that was a gain."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from demoire.cleaning.decision import decide, is_gain
from demoire.cleaning.image_job import (
    BeingJudged,
    BeingJudgedAgain,
    BeingRestored,
    Copied,
    Restoration,
    Written,
)
from demoire.cleaning.verdict import Rules, detection_from
from demoire.imaging.images import Picture, decode
from demoire.moire import KINDS, MoireKind
from demoire.reasons import Reason
from tests.demoire.cleaning.patterns import dots
from tests.demoire.cleaning.pictures import scanned
from tests.demoire.cleaning.rules import RULES


@dataclass
class RestorerNeeds:
    """What an engine says of its restorer."""

    halo: int = 64
    multiple: int = 32
    most: int = 4_000_000


@pytest.fixture(scope="module")
def picture() -> Picture:
    """512 x 768 px: two rows of three cells."""
    data = cv2.imencode(".png", np.full((512, 768, 3), 90, np.uint8))[1].tobytes()
    return decode(data)


def judged(picture: Picture, *found: int, kind: MoireKind = "screen") -> BeingJudged:
    """A picture whose detector is sure of these cells and of no other."""
    state = BeingJudged.begin(picture)
    for look in state.scores.looks:
        probabilities = np.zeros(len(KINDS), np.float32)
        probabilities[KINDS.index(kind) if look.cell in found else 0] = 1
        state.scores.put(look, probabilities)
    return state


def test_a_clean_image_is_copied_for_no_reason(picture: Picture) -> None:
    state = decide(judged(picture), RULES, RestorerNeeds())  # type: ignore[arg-type]
    assert isinstance(state, Copied)
    assert (state.reason, state.detection.kind, state.detection.cells) == (None, "none", 6)


def test_windows_hold_the_flagged_cells_with_the_room_that_the_restorer_wants(
    picture: Picture,
) -> None:
    state = decide(judged(picture, 1, 2, 4), RULES, RestorerNeeds())  # type: ignore[arg-type]
    assert isinstance(state, BeingRestored)
    assert state.decision.flagged == state.decision.detection.flagged == (1, 2, 4)
    (window,) = state.windows
    covered = sum(tile.core.height * tile.core.width for tile in window.tiles)
    assert covered == 3 * 256 * 256
    assert max(tile.core.width for tile in window.tiles) == 512
    assert window.box.left == 256 - 64
    assert window.shape == (512, 512 + 64)


@pytest.mark.parametrize(("kind", "flagged"), [("halftone", (0, 1)), ("screen", (0,))])
def test_the_rest_of_a_print_is_restored_with_the_cells_that_were_found(
    kind: MoireKind, flagged: tuple[int, ...]
) -> None:
    page = np.full((512, 768, 3), 225, np.uint8)
    page[:256, :300] = 200 - 90 * dots(5, 45)[:256, :300, None]
    data = cv2.imencode(".png", scanned(page))[1].tobytes()
    state = judged(decode(data), 0, kind=kind)
    restoring = decide(state, RULES, RestorerNeeds())  # type: ignore[arg-type]
    assert isinstance(restoring, BeingRestored)
    assert restoring.decision.flagged == flagged
    assert restoring.decision.detection.flagged == (0,)


def test_with_the_gate_off_every_cell_is_restored_and_the_detection_is_still_told(
    picture: Picture,
) -> None:
    rules = replace(RULES, restore_all=True)
    state = decide(judged(picture, 1, 2, 4), rules, RestorerNeeds())  # type: ignore[arg-type]
    assert isinstance(state, BeingRestored)
    assert state.decision.flagged == tuple(range(6))
    assert state.decision.detection.flagged == (1, 2, 4)


@pytest.mark.parametrize("restore_all", [False, True])
def test_what_cannot_be_written_back_is_copied_and_says_why(
    picture: Picture, restore_all: bool
) -> None:
    signed = replace(picture, raster=replace(picture.raster, obstacle=Reason.SIGNED))
    rules = replace(RULES, restore_all=restore_all)
    state = decide(judged(signed, 1, 2, 4), rules, RestorerNeeds())  # type: ignore[arg-type]
    assert isinstance(state, Copied)
    assert state.reason == Reason.SIGNED
    assert state.detection.kind == "screen"


SIDE = 512  # px
FELT = np.random.default_rng(3).normal(0, 15, (SIDE, SIDE, 1))
STRIPES = 20 * np.sin(np.arange(SIDE) * 2 * np.pi / 6)[:, None, None] * np.ones((1, SIDE, 1))


def gains(
    before: np.ndarray, after: np.ndarray, score: float, left: float = 0.1, rules: Rules = RULES
) -> bool:
    """Whether a grey picture is kept that scored this before it was restored, and `left` after."""
    data = cv2.imencode(".png", before.astype(np.uint8))[1].tobytes()
    state = BeingJudged.begin(decode(data))
    for look in state.scores.looks:
        state.scores.put(look, np.array([1 - score, score, 0, 0], np.float32))
    restoring = decide(state, rules, RestorerNeeds())  # type: ignore[arg-type]
    assert isinstance(restoring, BeingRestored)
    restoration = Restoration(
        pixels=after.astype(np.uint8), data=b"", psnr=30.0, ssim=0.9, colour_shift=1.0
    )
    again = BeingJudgedAgain.begin(Written(restoring.decision, restoration))
    for look in again.scores.looks:
        again.scores.put(look, np.array([1 - left, left, 0, 0], np.float32))
    return is_gain(again, detection_from(again.scores.probabilities, rules), rules)


def test_where_the_detector_is_not_sure_a_texture_that_was_only_softened_stays_as_it_was() -> None:
    assert not gains(110 + FELT, 110 + 0.9 * FELT, score=0.93)


def test_where_it_is_sure_the_lower_score_will_do() -> None:
    assert gains(110 + FELT, 110 + 0.9 * FELT, score=0.99)


def test_where_a_pattern_is_gone_the_lower_score_will_do_likewise() -> None:
    assert gains(110 + FELT + STRIPES, 110 + FELT, score=0.93)


@pytest.mark.parametrize(("score", "kept"), [(0.93, False), (0.99, True)])
def test_where_it_is_not_sure_it_must_see_hardly_a_pattern_any_more(
    score: float, kept: bool
) -> None:
    """Stripes of plastic, cloth and water lose what looks like a pattern, and still look like one.

    The score of 0.4 would do for a threshold of 0.5.
    """
    assert gains(110 + FELT + STRIPES, 110 + FELT + 0.5 * STRIPES, score, left=0.4) is kept


@pytest.mark.parametrize(("free_of_doubt", "kept"), [(0.3, False), (0.45, True)])
def test_how_low_a_score_is_free_of_doubt_is_the_detectors_own_matter(
    free_of_doubt: float, kept: bool
) -> None:
    rules = replace(RULES, free_of_doubt=free_of_doubt)
    after = 110 + FELT + 0.5 * STRIPES
    assert gains(110 + FELT + STRIPES, after, score=0.93, left=0.4, rules=rules) is kept


def test_where_the_dots_of_a_print_are_gone_the_score_does_not_matter() -> None:
    dots = STRIPES + STRIPES.transpose(1, 0, 2)
    paper = 110 + 0.1 * FELT
    assert gains(paper + dots, paper, score=0.93, left=0.92)
