"""What becomes of an image once all its cells are judged."""

from demoire.cleaning.engine import Engine
from demoire.cleaning.image_job import BeingJudged, BeingRestored, Copied, Decision, grid_of
from demoire.cleaning.verdict import Rules, detection_from
from demoire.cleaning.windows import plan_windows


def decide(state: BeingJudged, rules: Rules, engine: Engine) -> BeingRestored | Copied:
    """Copy the image, or plan the windows that the restorer gets of it."""
    picture = state.picture
    grid = grid_of(picture)
    probabilities = state.scores.probabilities
    detection = detection_from(probabilities, rules)
    flagged = tuple(range(len(grid))) if rules.restore_all else detection.flagged
    if picture.obstacle or not flagged:
        return Copied(picture.obstacle, detection)
    windows = plan_windows(
        grid, flagged, side=rules.tile_side, halo=engine.halo, multiple=engine.multiple
    )
    return BeingRestored.begin(Decision(picture, probabilities, detection, flagged), windows)
