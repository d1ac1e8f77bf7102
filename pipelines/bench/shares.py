"""How much work a collection asks for, and the rate that no job over it can exceed."""

from collections.abc import Sequence

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.engine import Engine, plan_for
from demoire.cleaning.windows import Window
from demoire.imaging.images import decode
from pipelines.bench.ceilings import PictureWork
from pipelines.bench.figures import Ceilings, Shares


def find_shares(pictures: Sequence[bytes], cleaner: Cleaner, engine: Engine) -> Shares:
    """Find the shares that the cleaner will meet in these pictures, which are all of one size."""
    cleaned = 0
    cells = 0
    flagged_cells = 0
    whole_area = 0
    restored_area = 0
    side = cleaner.config.tile
    for data in pictures:
        work = PictureWork.of(decode(data), engine, side)
        if cleaner.config.gate == "off":
            flagged: Sequence[int] = range(len(work.grid))
        else:
            flagged = cleaner.detect(data).flagged
        windows = plan_for(engine, work.grid, flagged, side=side)
        if flagged:
            cleaned += 1
        cells += len(work.grid)
        flagged_cells += len(flagged)
        whole_area += _area(work.windows)
        restored_area += _area(windows)
    return Shares(
        cleaned=cleaned / len(pictures),
        judged_again=flagged_cells / cells,
        restored=restored_area / whole_area,
    )


def possible_rate(ceilings: Ceilings, shares: Shares, *, overlapped: bool) -> float:
    """MP/s that a job cannot exceed whose stages are as fast as they are alone.

    Args:
        ceilings: MP/s of each stage.
        shares: How much of each stage's work the collection asks for.
        overlapped: Whether the models run beside the other stages, on a GPU, instead of taking
            turns with them on the CPU.
    """
    # Seconds a megapixel. A restored cell is judged a second time.
    judging = (1 + shares.judged_again) / ceilings.detect
    restoring = shares.restored / ceilings.restore
    models = judging + restoring
    reading = 1 / ceilings.fetch + 1 / ceilings.decode
    writing = shares.cleaned / ceilings.encode + shares.cleaned / ceilings.commit
    if overlapped:
        return 1 / max(models, reading + writing)
    return 1 / (models + reading + writing)


def _area(windows: Sequence[Window]) -> int:
    """Pixels that the restorer sees."""
    return sum(window.shape[0] * window.shape[1] for window in windows)
