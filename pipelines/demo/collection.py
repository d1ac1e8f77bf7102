"""The sample collection of `demoire demo`: archives as they come out of a cellar.

The project's own code draws it: two tar archives, a zip and a folder of loose files, with
photographs, pages, user interfaces and look-alikes, half of them with simulated moiré, in five file
formats, among text and XML files, one truncated JPEG and one text that calls itself .jpg. The clean
twins lie apart, so that figures can tell what the cleaning did. Every byte depends on the seed
alone, modification times included. Some 30 s on one core.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from demoire.errors import UsageError
from demoire.files import writing_to
from demoire.progress import Progress, in_silence
from pipelines.demo.containers import write_container
from pipelines.demo.drawing import CONTAINERS, DrawnFile, KnownTruth, draw_container

PICTURES_EACH = 16  # in a container

_OTHERS_EACH = 2  # README.txt and catalogue.xml
_BROKEN = 2  # in all, one in each of the first two containers
_SAMPLE = "sample"
_TRUTH_FILE = "truth.json"


@dataclass(frozen=True)
class Collection:
    """What was drawn."""

    folder: Path  # what to clean
    truth: Path  # the clean twins and truth.json
    images: int  # members that look like images, the two broken ones included
    with_moire: int

    def twins(self) -> list[KnownTruth]:
        """Every picture with moiré, with the name of its clean twin."""
        facts = json.loads((self.truth / _TRUTH_FILE).read_text(encoding="utf-8"))
        return [KnownTruth(**row) for row in facts["twins"]]


def draw_collection(
    out: Path,
    seed: int = 7,
    progress: Progress = in_silence,
    *,
    pictures_each: int = PICTURES_EACH,
) -> Collection:
    """Draw the collection into OUT/sample/collection, with its truth beside it.

    A collection that was drawn there before is taken as it is. OUT/sample appears whole or not at
    all: it is drawn as OUT/drawing first.

    Args:
        out: A folder, which need not exist.
        seed: The same seed gives the same bytes.
        progress: Told how many files are drawn, of how many.
        pictures_each: Pictures in each container.

    Raises:
        UsageError: OUT holds something else already, or cannot be written.
    """
    before = _drawn_before(out, seed)
    if before is not None:
        return before
    unfinished = out / "drawing"
    drawing = _Drawing(unfinished, seed, progress, pictures_each)
    with writing_to(out, "choose another folder with --out"):
        shutil.rmtree(unfinished, ignore_errors=True)
        drawing.draw()
        unfinished.rename(out / _SAMPLE)
    folder, truth = _folders(out / _SAMPLE)
    return Collection(folder, truth, drawing.images, len(drawing.twins))


def _folders(sample: Path) -> tuple[Path, Path]:
    """Where the collection and where its truth is."""
    return sample / "collection", sample / "truth"


def _drawn_before(out: Path, seed: int) -> Collection | None:
    """The collection of this seed if OUT holds it.

    Raises:
        UsageError: OUT holds something else.
    """
    folder, truth = _folders(out / _SAMPLE)
    if not (out / _SAMPLE).exists():
        return None
    try:
        facts = json.loads((truth / _TRUTH_FILE).read_text(encoding="utf-8"))
        if folder.is_dir() and facts["seed"] == seed:
            return Collection(folder, truth, facts["images"], len(facts["twins"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{out} holds files that demoire did not draw; choose another folder with --out."
        ) from error
    raise UsageError(f"{out} holds samples of another seed; choose another folder with --out.")


@dataclass
class _Drawing:
    """A collection that is being drawn."""

    sample: Path
    seed: int
    progress: Progress
    pictures_each: int
    images: int = 0
    twins: list[KnownTruth] = field(default_factory=list)
    _files: int = 0

    def draw(self) -> None:
        """Draw all containers, and note the truth."""
        folder, truth = _folders(self.sample)
        folder.mkdir(parents=True)
        truth.mkdir()
        for number, container in enumerate(CONTAINERS):
            # A generator for each, so that a container is the same whatever the others hold.
            rng = np.random.default_rng([self.seed, number])
            files = []
            for file in draw_container(container, self.pictures_each, truth, rng):
                files.append(file)
                self._count(file)
            write_container(folder / container, files)
        twins = [asdict(twin) for twin in self.twins]
        facts = {"seed": self.seed, "images": self.images, "twins": twins}
        (truth / _TRUTH_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")

    def _count(self, file: DrawnFile) -> None:
        self._files += 1
        if file.is_named_as_image:
            self.images += 1
        if file.truth is not None:
            self.twins.append(file.truth)
        total = len(CONTAINERS) * (self.pictures_each + _OTHERS_EACH) + _BROKEN
        self.progress("drawing a sample collection", self._files, total)
