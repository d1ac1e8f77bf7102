"""What becomes of an image once all its cells are judged."""

from demoire.cleaning.dots import dots_taken
from demoire.cleaning.engine import Engine, plan_for
from demoire.cleaning.few_colours import is_in_few_colours
from demoire.cleaning.image_job import (
    BeingJudged,
    BeingJudgedAgain,
    BeingRestored,
    BeingTurned,
    Copied,
    Decision,
    grid_of,
)
from demoire.cleaning.lattice import cells_of_same_print
from demoire.cleaning.result import Detection
from demoire.cleaning.verdict import (
    Rules,
    are_certain,
    are_dots_gone,
    detection_from,
    has_gained,
    is_clear_pattern,
    is_only_softened,
)
from demoire.imaging.images import Picture
from demoire.reasons import Reason


def decide(
    state: BeingJudged | BeingTurned, rules: Rules, engine: Engine
) -> BeingRestored | Copied:
    """Copy the image, or plan the windows that the restorer gets of it."""
    picture = state.picture
    grid = grid_of(picture)
    probabilities = state.scores.probabilities
    detection = detection_from(probabilities, rules)
    flagged = tuple(range(len(grid))) if rules.restore_all else detection.flagged
    if picture.obstacle or not flagged:
        return Copied(picture.obstacle, detection)
    if not rules.restore_all:
        flagged = _without_dithering(picture, flagged)
        if not flagged:
            return Copied(Reason.DITHERED, detection)
        if detection.kind == "halftone":
            is_certain = are_certain(probabilities, rules)
            certain = [cell for cell in flagged if is_certain[cell]]
            added = cells_of_same_print(picture.pixels, grid, flagged, certain)
            flagged = tuple(sorted((*flagged, *_without_dithering(picture, added))))
    windows = plan_for(engine, grid, flagged, side=rules.tile_side)
    return BeingRestored.begin(Decision(picture, probabilities, detection, flagged), windows)


def _without_dithering(picture: Picture, cells: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the cells that are not in few colours."""
    if picture.facts.format == "JPEG":  # saved so, a picture in few colours has many
        return cells
    grid = grid_of(picture)
    kept = []
    for cell in cells:
        if not is_in_few_colours(grid.view(picture.pixels, cell)):
            kept.append(cell)
    return tuple(kept)


def is_gain(state: BeingJudgedAgain, after: Detection, rules: Rules) -> bool:
    """Whether a restored image has less moiré: by its score, or because a print's dots are gone.

    Where the detector was not sure in the first place, a lower score alone does not do: it falls
    for a clean image too if its fine detail is gone. Then more than a little of some frequencies
    must be gone, and the score must fall far, or what was taken away must clearly be a pattern.

    Args:
        state: The restored image.
        after: What the detector says about it now; without cells, it has not looked.
        rules: The thresholds.
    """
    if rules.restore_all or not after.cells:
        return True
    before = state.decision.detection
    is_lower = has_gained(before.moire, after.moire, rules.threshold)
    if is_lower and before.moire >= rules.sure:
        return True
    picture = state.picture
    flagged = state.decision.flagged
    dots = dots_taken(picture.pixels, state.pixels, grid_of(picture), flagged)
    if are_dots_gone(dots):
        return True
    was_moire = after.moire <= rules.free_of_doubt or is_clear_pattern(dots)
    return is_lower and was_moire and not is_only_softened(dots)
