"""Pairs for training, made as they are needed.

Sample `i` of a run is drawn by a generator seeded with the run's seed and `i`, and by nothing else:
any number of worker processes, and any resumed run, see the same samples in the same order. Scenes
come from a folder of clean images, from the project's own drawings, or, already simulated, from
shards (`demoire.training.shards`).

Simulating a pair of 256 px takes 15 to 50 ms on one core: as long as training on it.

Images are split into train, validation and test by a hash of their file names, so that no scene is
in two of them.
"""

import signal
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from demoire.errors import UsageError
from demoire.simulate import KINDS, Kind, simulate, simulate_exposed
from demoire.simulate.pairs import Scene, clean_images, read_scene
from demoire.splits import Split, split_of
from demoire.training.config import DataConfig, Task, TrainConfig
from demoire.training.field import FieldFolder
from demoire.training.field_tiles import FieldTiles
from demoire.training.shards import MadePair, Shards

_TRIES = 20
_DRAWING_SEED = 4
_LEAST_DRAWN = 256  # px: drawings need room for their parts
# a scene is cut to at most so many crop sides before it is simulated: more would only cost time
_SCENE_SIDES = 3


def find_images(folder: Path, split: Split) -> list[Path]:
    """All images of this split below the folder, in the order of their paths.

    Raises UsageError for a folder that is missing or has no image at all.
    """
    return [path for path in clean_images(folder) if split_of(path.name) == split]


class SceneStore:
    """Decoded scenes of a list of files. Those that fit are decoded now, and shared with processes
    forked later.

    A scene is drawn as often as it is large: twenty page scans show as many different crops as
    hundreds of small photographs, and chosen file by file they would hardly be seen.
    """

    def __init__(self, paths: Sequence[Path], cache_megapixels: float) -> None:
        self.paths = paths
        self._cache: dict[int, Scene] = {}
        areas = np.array([_area(path) for path in paths], dtype=np.float64)
        self._shares = areas / areas.sum() if len(paths) else areas
        room = cache_megapixels * 1e6
        for number, path in enumerate(paths):
            if room <= 0:
                break
            self._cache[number] = scene = read_scene(path)
            room -= scene.shape[0] * scene.shape[1]

    def __len__(self) -> int:
        return len(self.paths)

    def draw(self, rng: np.random.Generator) -> Scene:
        """A scene at random."""
        number = int(rng.choice(len(self.paths), p=self._shares))
        scene = self._cache.get(number)
        return read_scene(self.paths[number]) if scene is None else scene


def _area(path: Path) -> int:
    """Of an image file, in px. Raises UsageError for a file that is no image."""
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{path} cannot be read as an image; take it out of the training folder."
        ) from error


@dataclass(frozen=True)
class Sample:
    """One pair, ready for the network, or one batch of them."""

    moire: Tensor  # (3, S, S) or (N, 3, S, S) uint8 sRGB
    clean: Tensor  # the same
    kind: Tensor  # () or (N,) int64, index into KINDS


def draw_scene(side: int, lookalikes: bool, rng: np.random.Generator) -> Scene:
    """Draw a clean scene (side, side, 3) uint8, at least 256 px; with `lookalikes`, mostly what
    passes for moiré.
    """
    from demoire.simulate.scenes.lookalikes import LOOKALIKES
    from demoire.simulate.scenes.pages import SCENES

    drawings = LOOKALIKES if lookalikes and rng.random() < 0.7 else SCENES
    names = sorted(drawings)
    side = max(side, _LEAST_DRAWN)
    return drawings[names[int(rng.integers(len(names)))]](rng, side, side)


def _place(scene: Scene, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    top = int(rng.integers(max(1, scene.shape[0] - height + 1)))
    left = int(rng.integers(max(1, scene.shape[1] - width + 1)))
    return slice(top, top + height), slice(left, left + width)


def _cut(scene: Scene, height: int, width: int, rng: np.random.Generator) -> Scene:
    return scene[_place(scene, height, width, rng)]


def _turn(picture: Scene, config: DataConfig, turns: int, mirror: bool) -> Scene:
    if config.rotate:
        picture = np.rot90(picture, turns)
    return picture[:, ::-1] if config.flip and mirror else picture


def _prepare(scene: Scene, config: DataConfig, rng: np.random.Generator) -> Scene:
    """Random scale, cut, rotation and reflection of a scene before the simulation."""
    scale = rng.uniform(*config.scales)
    most = max(64, int(_SCENE_SIDES * config.size / scale))
    scene = _cut(scene, most, most, rng)
    sides = [max(64, round(side * scale)) for side in (scene.shape[1], scene.shape[0])]
    scene = cv2.resize(scene, sides, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.ascontiguousarray(_turn(scene, config, int(rng.integers(4)), bool(rng.integers(2))))


def _tone_curves(spread: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Tables (1, 256, 3) of a random gain and gamma for each colour, mostly shared by the three."""
    shared, own = rng.normal(0, spread, 2), rng.normal(0, spread / 3, (2, 3))
    gain, gamma = np.exp(shared[:, None] + own)
    levels = np.linspace(0, 1, 256)[:, None]
    return np.clip(255 * gain * levels**gamma + 0.5, 0, 255).astype(np.uint8)[None]


def _shares(config: DataConfig) -> NDArray[np.float64]:
    shares = np.array([config.mix.get(kind, 0.0) for kind in KINDS], dtype=np.float64)
    return shares / shares.sum()


class PairSource:
    """Where the pairs of one split come from: `pair(kind, rng)` gives input, truth and strength.

    images: a folder of clean images. shards: a folder of pairs of this split, which are then taken
    instead of being simulated. Where none of a small folder's images falls to validation or test,
    drawn scenes take their place.
    """

    def __init__(
        self, images: Path, split: Split, config: DataConfig, shards: Path | None = None
    ) -> None:
        self._config = config
        self._shards = Shards(shards, config.size) if shards is not None else None
        paths = find_images(images, split)
        if not paths and split == "train":
            raise UsageError(
                f"None of the few images in {images} falls to training; give some dozens."
            )
        self._scenes = SceneStore(
            [] if self._shards and not config.originals else paths, config.cache_megapixels
        )

    def under(self, config: DataConfig) -> "PairSource":
        """The same images or shards under another configuration; crops of shards must be no
        larger.
        """
        other = copy(self)
        other._config = config
        return other

    def pair(self, kind: Kind, rng: np.random.Generator) -> MadePair:
        """Input and truth, (size, size, 3) uint8 sRGB, and the strength of the pattern in 1/255."""
        if kind == "none":
            share = rng.random()
            if share < self._config.twins:
                _, clean, _ = self.pair(KINDS[int(rng.integers(1, len(KINDS)))], rng)
                return clean, clean, 0.0
            if share < self._config.twins + self._config.originals and len(self._scenes):
                clean = self._original(rng)
                return clean, clean, 0.0
        return (
            self.simulated(kind, rng)
            if self._shards is None
            else self._from_shards(self._shards, kind, rng)
        )

    def simulated(self, kind: Kind, rng: np.random.Generator) -> MadePair:
        """As `pair`, and always simulated anew."""
        make = simulate_exposed if self._config.exposed_twins else simulate
        made = make(kind, self.scene(kind, rng), self._config.size, rng)
        return made.moire, made.clean, made.strength

    def scene(self, kind: Kind, rng: np.random.Generator) -> Scene:
        """A clean scene (h, w, 3) uint8 sRGB, read or drawn, and prepared for simulating a pair of
        this kind.
        """
        config = self._config
        drawn = config.drawn_clean if kind == "none" else config.drawn
        if len(self._scenes) and rng.random() >= drawn:
            return _prepare(self._scenes.draw(rng), config, rng)
        # Clean drawings keep their size: made smaller, a look-alike's lines could beat and be moiré
        # in earnest.
        side = config.size if kind == "none" else int(config.size * rng.uniform(1.2, 2.0))
        return draw_scene(side, kind == "none", rng)

    def _original(self, rng: np.random.Generator) -> Scene:
        """A crop at 1:1: what is resized has lost the blocks and the sharpening that archives are
        full of.
        """
        size = self._config.size
        crop = _cut(self._scenes.draw(rng), size, size, rng)
        missing = size - crop.shape[0], size - crop.shape[1]
        crop = cv2.copyMakeBorder(crop, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
        return np.ascontiguousarray(
            _turn(crop, self._config, int(rng.integers(4)), bool(rng.integers(2)))
        )

    def _from_shards(self, shards: Shards, kind: Kind, rng: np.random.Generator) -> MadePair:
        found, size = shards.draw(kind, rng), self._config.size
        place = _place(found.moire, size, size, rng)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        moire, clean = (
            _turn(one[place], self._config, turns, mirror) for one in (found.moire, found.clean)
        )
        return moire, clean, found.strength


def _tensor(picture: Scene, curves: NDArray[np.uint8] | None) -> Tensor:
    toned = picture if curves is None else cv2.LUT(np.ascontiguousarray(picture), curves)
    return torch.from_numpy(np.array(toned.transpose(2, 0, 1), order="C"))


class Samples(Dataset[Sample]):
    """Samples by number, without end. For the detector doubtful pairs are drawn again and faint
    ones count as clean.
    """

    def __init__(
        self,
        source: PairSource,
        task: Task,
        config: DataConfig,
        seed: Sequence[int],
        field: FieldTiles | None = None,
    ) -> None:
        """`field` takes the place of its share of the samples."""
        self._source = source
        self._field = field
        self._task = task
        self._config = config
        self._seed = tuple(seed)
        self._shares = _shares(config)

    def __getitem__(self, number: int) -> Sample:
        rng = np.random.default_rng([*self._seed, number])
        if self._field is not None and rng.random() < self._field.share:
            return self._of_field(self._field, rng)
        kind = KINDS[int(rng.choice(len(KINDS), p=self._shares))]
        return self.of_kind(kind, rng)

    def _of_field(self, field: FieldTiles, rng: np.random.Generator) -> Sample:
        tile, kind = field.draw(rng)
        curves = _tone_curves(self._config.tone, rng) if self._config.tone else None
        shown = _tensor(tile, curves)
        return Sample(shown, shown, torch.tensor(KINDS.index(kind)))

    def of_kind(self, kind: Kind, rng: np.random.Generator) -> Sample:
        """One sample made as this kind."""
        for _ in range(_TRIES):
            moire, clean, strength = self._source.pair(kind, rng)
            if kind != "none" and self._config.invisible <= strength < self._config.visible:
                continue
            curves = _tone_curves(self._config.tone, rng) if self._config.tone else None
            shown = _tensor(moire, curves)
            # A clean picture is its own twin, and the detector looks at no twin: what is not used
            # is not even read.
            alone = kind == "none" or self._task == "detector"
            twin = shown if alone else _tensor(clean, curves)
            seen: Kind = "none" if strength < self._config.invisible else kind
            return Sample(shown, twin, torch.tensor(KINDS.index(seen)))
        return self.of_kind("none", rng)


def field_tiles(field: FieldFolder, images: Path, config: TrainConfig) -> FieldTiles:
    """Tiles of the training part of a field folder; clean images and drawings are processed too.

    Raises UsageError where the folder or its split file is not in order.
    """
    rng = np.random.default_rng([config.data.seed, _DRAWING_SEED])
    drawn = []
    for _ in range(config.field.drawn):
        side = int(rng.integers(300, 600))
        drawn.append(draw_scene(side, bool(rng.random() < 0.5), rng))
    others = find_images(images, "train")
    return FieldTiles(field.part("train"), others, drawn, config.field, config.data.size)


def collate(samples: Sequence[Sample]) -> Sample:
    """Stack samples to a batch."""
    moire = torch.stack([sample.moire for sample in samples])
    alone = all(sample.clean is sample.moire for sample in samples)
    clean = moire if alone else torch.stack([sample.clean for sample in samples])
    return Sample(moire, clean, torch.stack([sample.kind for sample in samples]))


class _BatchNumbers:
    """The sample numbers of each batch from step `first` to step `last`."""

    def __init__(self, first: int, last: int, batch: int) -> None:
        self._steps, self._batch = range(first, last), batch

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield list(range(step * self._batch, (step + 1) * self._batch))

    def __len__(self) -> int:
        return len(self._steps)


def _leave_signals_to_the_training(worker: int) -> None:
    """Ctrl-C and `kill` of a whole group reach the workers too: the training ends its step first,
    and then them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def batches(samples: Samples, first: int, last: int, config: DataConfig) -> DataLoader[Sample]:
    """The batches of the steps from `first` up to `last`, in order, the same for any number of
    workers.

    OpenCV is set to one thread in this process: a worker forked from a process with its thread pool
    hangs.
    """
    cv2.setNumThreads(1)
    return DataLoader(
        samples,
        batch_sampler=_BatchNumbers(first, last, config.batch),
        num_workers=config.workers,
        collate_fn=collate,
        worker_init_fn=_leave_signals_to_the_training,
        prefetch_factor=8 if config.workers else None,
        persistent_workers=False,
    )


def validation_set(samples: Samples, config: DataConfig, seed: Sequence[int]) -> Sample:
    """A fixed batch with `validation_per_kind` samples of each kind in the mix, and
    `validation_clean` clean ones.
    """
    made: list[Sample] = []
    for place, kind in enumerate(KINDS):
        if config.mix.get(kind, 0.0) > 0:
            count = config.validation_clean if kind == "none" else None
            for number in range(count or config.validation_per_kind):
                made.append(samples.of_kind(kind, np.random.default_rng([*seed, place, number])))
    return collate(made)
