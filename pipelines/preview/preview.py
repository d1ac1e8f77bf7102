"""Look before you clean: what `demoire clean` would do to a sample of an archive.

Nothing is written but the page, and nothing to a mirror. Some 200 images take about two minutes on
two cores; most of that goes into restoring the ones with moiré.
"""

from collections.abc import Sequence

from demoire.cleaning.config import CleanerConfig
from demoire.progress import Progress, in_silence
from pipelines.preview.figures import PreviewFigures, preview_figures
from pipelines.preview.looks import look_at
from pipelines.preview.sample import draw_sample


def preview(
    src: str,
    config: CleanerConfig,
    count: int,
    progress: Progress = in_silence,
    *,
    also: Sequence[str] = (),
) -> PreviewFigures:
    """Clean a sample of SRC in this process.

    Args:
        src: A folder, an archive, a URL or a glob of them.
        config: As for cleaning.
        count: Images in the sample.
        progress: Told of archives that are looked into, then of images that are cleaned.
        also: Further ones like SRC.

    Raises:
        UsageError: SRC does not exist or holds no image, or the device is not there.
        WeightsError: The weights cannot be used.
    """
    sample = draw_sample(src, count, progress, also=also, office=config.office)
    return preview_figures(sample, look_at(sample.images, config, progress))
