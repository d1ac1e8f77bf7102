"""The preview as one page that needs nothing else.

Unlike the other pages it has a script, which moves the dividing line of the pictures and the
threshold. The page's content policy allows that script alone, by its digest: nothing that a name
from an archive might smuggle in can run.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from pipelines.preview.figures import PreviewFigures
from pipelines.preview.looks import AMPLIFIED, ImageLook
from pipelines.report.charts import counts_by_score, histogram
from pipelines.report.pages import render, write_page

SHOWN_EACH = 20  # pictures in each of the page's two parts


def write_preview(figures: PreviewFigures, src: str, command: str, out: Path) -> None:
    """Write the page to a file of this machine.

    Args:
        figures: As for `preview_page`.
        src: As for `preview_page`.
        command: As for `preview_page`.
        out: The file to write; folders above it are made.

    Raises:
        UsageError: `out` cannot be written.
    """
    write_page(preview_page(figures, src, command), out)


def preview_page(figures: PreviewFigures, src: str, command: str) -> bytes:
    """Render the page.

    Args:
        figures: What the page tells.
        src: What was looked at, as the user named it.
        command: The command line that cleans it by the same settings.
    """
    script = (files("pipelines.report") / "templates/preview.js").read_text(encoding="utf-8")
    looks = figures.looks
    scores = [look.score for look in looks.images if look.score is not None]
    return render(
        "preview.html.j2",
        src=src,
        figures=figures,
        threshold=looks.threshold,
        scores=json.dumps(_scores_that_decide(looks.images)),
        chart=histogram([("images", "all", counts_by_score(scores))], logarithmic=True),
        most_changed=_most_changed(looks.images),
        most_doubtful=_most_doubtful(looks.images, looks.threshold),
        amplified=AMPLIFIED,
        command=command,
        script=Markup(script),  # our own file, which holds no markup
        script_digest=_digest(script),
    )


def _scores_that_decide(images: Sequence[ImageLook]) -> list[float]:
    """The scores of images that another threshold would treat otherwise.

    What is copied for a reason is copied at any threshold.
    """
    scores = []
    for look in images:
        if look.score is not None and (look.is_changed or look.reason is None):
            scores.append(round(look.score, 4))
    return scores


def _digest(script: str) -> str:
    """The script's digest as a content policy names it."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _most_changed(images: Sequence[ImageLook]) -> list[ImageLook]:
    """Images that would be changed, those that would be changed most first."""
    changed = [look for look in images if look.is_changed and look.crops is not None]
    changed.sort(key=lambda look: look.psnr or 0.0)
    return changed[:SHOWN_EACH]


def _most_doubtful(images: Sequence[ImageLook], threshold: float) -> list[ImageLook]:
    """Images on either side of the threshold, the nearest first."""
    doubtful = [look for look in images if look.score is not None and look.crops is not None]
    doubtful.sort(key=lambda look: abs((look.score or 0.0) - threshold))
    return doubtful[:SHOWN_EACH]
