"""Pairs for training, made as they are needed.

Sample `i` of a run is drawn by a generator seeded with the run's seed and `i`, and by nothing else:
any number of worker processes, and any resumed run, see the same samples in the same order. Scenes
come from a folder of clean images, from the project's own drawings, or, already simulated, from
shards (`demoire.training.shards`).

Simulating a pair of 256 px takes 15 to 50 ms on one core: as long as training on it.

Images are split into train, validation and test by a hash of their file names, so that no scene is
in two of them.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from demoire.errors import UsageError
from demoire.moire import KINDS, MoireKind
from demoire.simulate.arrays import Scene, to_bytes
from demoire.simulate.scenes.drawings import draw_scene
from demoire.simulate.simulator import Style, simulate, simulate_exposed
from demoire.simulate.splits import Split
from demoire.training.config import DataConfig, Task
from demoire.training.field_source import LOOKALIKE_SHARE, FieldSource
from demoire.training.scene_store import SceneStore, images_of_split
from demoire.training.shards import MadePair, Shards
from demoire.training.workers import begin_training_worker

_TRIES = 20
# A scene is cut to at most so many crop sides before it is simulated: more would only cost time.
_SCENE_SIDES = 3


def _everywhere() -> Tensor:
    return torch.full((1, 1, 1), 255, dtype=torch.uint8)


@dataclass(frozen=True)
class Sample:
    """One pair, ready for the network, or one batch of them."""

    moire: Tensor  # (3, S, S) or (N, 3, S, S) uint8 sRGB
    clean: Tensor  # the same
    kind: Tensor  # () or (N,) int64, index into KINDS
    # (1, S, S) or (N, 1, S, S) uint8: how far the clean one is known to be right, 255 for wholly;
    # of one pixel where it is so everywhere
    known: Tensor = field(default_factory=_everywhere)


def _window(scene: Scene, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a rectangle at random."""
    top = int(rng.integers(max(1, scene.shape[0] - height + 1)))
    left = int(rng.integers(max(1, scene.shape[1] - width + 1)))
    return slice(top, top + height), slice(left, left + width)


def _cut(scene: Scene, height: int, width: int, rng: np.random.Generator) -> Scene:
    return scene[_window(scene, height, width, rng)]


@dataclass(frozen=True)
class _Turn:
    """A rotation by quarter turns and a reflection."""

    quarters: int
    mirrored: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Turn":
        quarters = int(rng.integers(4))
        mirrored = bool(rng.integers(2))
        return cls(quarters, mirrored)

    def of(self, picture: Scene, config: DataConfig) -> Scene:
        """The picture turned, as far as the configuration wants it."""
        if config.rotate:
            picture = np.rot90(picture, self.quarters)
        if config.flip and self.mirrored:
            picture = picture[:, ::-1]
        return picture


def _prepare(scene: Scene, config: DataConfig, rng: np.random.Generator) -> Scene:
    """Random scale, cut, rotation and reflection of a scene before the simulation."""
    scale = rng.uniform(*config.scales)
    most = max(64, int(_SCENE_SIDES * config.size / scale))
    scene = _cut(scene, most, most, rng)
    height = max(64, round(scene.shape[0] * scale))
    width = max(64, round(scene.shape[1] * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scene = cv2.resize(scene, (width, height), interpolation=interpolation)
    return np.ascontiguousarray(_Turn.draw(rng).of(scene, config))


def _tone_curves(spread: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Tables (1, 256, 3) of a random gain and gamma for each colour, mostly shared by the three."""
    shared = rng.normal(0, spread, 2)
    own = rng.normal(0, spread / 3, (2, 3))
    gain, gamma = np.exp(shared[:, None] + own)
    levels = np.linspace(0, 1, 256)[:, None]
    return to_bytes(255 * gain * levels**gamma)[None]


def _is_drawn(share: float, rng: np.random.Generator) -> bool:
    """True for a share of all calls; one of 0 draws nothing."""
    return share > 0 and rng.random() < share


def _shares(config: DataConfig) -> NDArray[np.float64]:
    shares = np.array([config.mix.get(kind, 0.0) for kind in KINDS], dtype=np.float64)
    return shares / float(shares.sum())


class PairSource:
    """Where the pairs of one split come from: `pair(kind, rng)` gives input, truth and strength."""

    def __init__(
        self, images: Path, split: Split, config: DataConfig, shards: Path | None = None
    ) -> None:
        """Read what there is.

        Args:
            images: A folder of clean images. Where none of a small folder's images falls to
                validation or test, drawn scenes take their place.
            split: Which of the images are used.
            config: How pairs are made.
            shards: A folder of pairs of this split, which are then taken instead of being
                simulated.

        Raises:
            UsageError: There are no images, or none falls to training.
        """
        self._config = config
        self._shards = Shards(shards, config.size) if shards is not None else None
        paths = images_of_split(images, split)
        if not paths and split == "train":
            raise UsageError(
                f"None of the few images in {images} falls to training; give some dozens."
            )
        if self._shards and not config.originals:
            paths = []  # no scene would ever be looked at
        self._scenes = SceneStore(paths, config.cache_megapixels)

    def under(self, config: DataConfig) -> "PairSource":
        """The same images or shards under another configuration.

        Its crops must be no larger than the pairs of the shards.
        """
        other = copy(self)
        other._config = config
        return other

    def pair(self, kind: MoireKind, rng: np.random.Generator) -> MadePair:
        """Input and truth, (size, size, 3) uint8 sRGB, and the strength of the pattern in 1/255."""
        if kind == "none":
            share = rng.random()
            if share < self._config.twins:
                _, clean, _ = self.pair(KINDS[int(rng.integers(1, len(KINDS)))], rng)
                return clean, clean, 0.0
            if share < self._config.twins + self._config.originals and len(self._scenes):
                clean = self._original(rng)
                return clean, clean, 0.0
        if self._shards is None:
            return self.simulated(kind, rng)
        return self._from_shards(self._shards, kind, rng)

    def simulated(self, kind: MoireKind, rng: np.random.Generator) -> MadePair:
        """As `pair`, and always simulated anew."""
        make = simulate_exposed if self._config.exposed_twins else simulate
        scene = self.scene(kind, rng)
        made = make(kind, scene, self._config.size, rng, self._style(kind, rng))
        return made.moire, made.clean, made.strength

    def _style(self, kind: MoireKind, rng: np.random.Generator) -> Style:
        """How a pair is simulated.

        A share of 0 draws nothing, so that pairs of before stay what they were.
        """
        if kind == "halftone" and _is_drawn(self._config.press, rng):
            return "press"
        if kind == "screen" and _is_drawn(self._config.grids, rng):
            return "grid"
        return "mixed"

    def scene(self, kind: MoireKind, rng: np.random.Generator) -> Scene:
        """A clean scene (h, w, 3) uint8 sRGB, ready to simulate a pair of this kind."""
        config = self._config
        drawn = config.drawn_clean if kind == "none" else config.drawn
        if len(self._scenes) and rng.random() >= drawn:
            return _prepare(self._scenes.draw(rng), config, rng)
        # Clean drawings keep their size: made smaller, a look-alike's lines could beat and be moiré
        # in earnest.
        side = config.size if kind == "none" else int(config.size * rng.uniform(1.2, 2.0))
        lookalike_share = LOOKALIKE_SHARE if kind == "none" else 0.0
        return draw_scene(rng, side, lookalike_share=lookalike_share).scene

    def _original(self, rng: np.random.Generator) -> Scene:
        """A crop at 1:1, with the blocks and the sharpening that resizing would take away."""
        size = self._config.size
        crop = _cut(self._scenes.draw(rng), size, size, rng)
        below = size - crop.shape[0]
        right = size - crop.shape[1]
        crop = cv2.copyMakeBorder(crop, 0, below, 0, right, cv2.BORDER_REFLECT)
        return np.ascontiguousarray(_Turn.draw(rng).of(crop, self._config))

    def _from_shards(self, shards: Shards, kind: MoireKind, rng: np.random.Generator) -> MadePair:
        stored = shards.draw(kind, rng)
        size = self._config.size
        window = _window(stored.moire, size, size, rng)
        turn = _Turn.draw(rng)
        moire = turn.of(stored.moire[window], self._config)
        clean = turn.of(stored.clean[window], self._config)
        return moire, clean, stored.strength


def _tensor(picture: Scene, curves: NDArray[np.uint8] | None) -> Tensor:
    toned = picture if curves is None else cv2.LUT(np.ascontiguousarray(picture), curves)
    return torch.from_numpy(np.array(toned.transpose(2, 0, 1), order="C"))


class Samples(Dataset[Sample]):
    """Samples by number, without end.

    Pairs whose pattern is doubtful are drawn again, and those with a faint one count as clean.
    """

    def __init__(
        self,
        source: PairSource,
        task: Task,
        config: DataConfig,
        seed: Sequence[int],
        pictures: FieldSource | None = None,
    ) -> None:
        """`pictures` of the field take the place of their share of the samples."""
        self._source = source
        self._pictures = pictures
        self._task = task
        self._config = config
        self._seed = tuple(seed)
        self._shares = _shares(config)

    def __getitem__(self, number: int) -> Sample:
        rng = np.random.default_rng([*self._seed, number])
        if self._pictures is not None and rng.random() < self._pictures.share:
            return self._of_field(self._pictures, rng)
        kind = KINDS[int(rng.choice(len(KINDS), p=self._shares))]
        return self.of_kind(kind, rng)

    def _of_field(self, pictures: FieldSource, rng: np.random.Generator) -> Sample:
        # They are as large as the largest stage of the curriculum wants them.
        twins = pictures.twins(rng).cut(self._config.size, rng)
        curves = _tone_curves(self._config.tone, rng) if self._config.tone else None
        shown = _tensor(twins.moire, curves)
        alone = twins.clean is twins.moire
        clean = shown if alone else _tensor(twins.clean, curves)
        kind = torch.tensor(KINDS.index(twins.kind))
        # A copy: torch takes no array with negative strides, which turning may leave.
        known = torch.from_numpy(np.array(twins.known[None]))
        return Sample(shown, clean, kind, known)

    def of_kind(self, kind: MoireKind, rng: np.random.Generator) -> Sample:
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
            seen: MoireKind = "none" if strength < self._config.invisible else kind
            return Sample(shown, twin, torch.tensor(KINDS.index(seen)))
        return self.of_kind("none", rng)


def collate(samples: Sequence[Sample]) -> Sample:
    """Stack samples to a batch."""
    moire = torch.stack([sample.moire for sample in samples])
    alone = all(sample.clean is sample.moire for sample in samples)
    clean = moire if alone else torch.stack([sample.clean for sample in samples])
    kinds = torch.stack([sample.kind for sample in samples])
    # Known everywhere is one pixel, which fills the tile where others of the batch need one.
    side = max(sample.known.shape[-1] for sample in samples)
    known = torch.stack([sample.known.expand(1, side, side) for sample in samples])
    return Sample(moire, clean, kinds, known)


class _BatchNumbers:
    """The sample numbers of each batch from step `first` to step `last`."""

    def __init__(self, first: int, last: int, batch: int) -> None:
        self._steps = range(first, last)
        self._batch = batch

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield list(range(step * self._batch, (step + 1) * self._batch))

    def __len__(self) -> int:
        return len(self._steps)


def batches(samples: Samples, first: int, last: int, config: DataConfig) -> DataLoader[Sample]:
    """The batches of the steps from `first` up to `last`, the same for any number of workers.

    OpenCV is set to one thread in this process: a worker that is forked from a process with its
    thread pool hangs.
    """
    cv2.setNumThreads(1)
    return DataLoader(
        samples,
        batch_sampler=_BatchNumbers(first, last, config.batch),
        num_workers=config.workers,
        collate_fn=collate,
        worker_init_fn=begin_training_worker,
        prefetch_factor=8 if config.workers else None,
        persistent_workers=False,
    )


def validation_set(samples: Samples, config: DataConfig, seed: Sequence[int]) -> Sample:
    """A fixed batch: of each kind in the mix `validation_per_kind`, or `validation_clean`."""
    made: list[Sample] = []
    for kind_number, kind in enumerate(KINDS):
        if config.mix.get(kind, 0.0) <= 0:
            continue
        count = config.validation_per_kind
        if kind == "none" and config.validation_clean:
            count = config.validation_clean
        for number in range(count):
            rng = np.random.default_rng([*seed, kind_number, number])
            made.append(samples.of_kind(kind, rng))
    return collate(made)
