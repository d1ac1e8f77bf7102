"""From logits to a decision: temperature, thresholds, and the figures that say what they are worth.

The thresholds are chosen on clean data alone, from how rarely it may be touched; how much moiré is
then found is what comes out, and is reported.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn import metrics
from torch import Tensor

from demoire.cleaning.grid import Grid
from demoire.measure.detection import calibration_error, reliability
from demoire.models.detector import TILE, Calibration, Detector, image_score
from demoire.moire import KINDS
from demoire.simulate.pairs import Scene, read_scene
from demoire.simulate.processing import MARGIN, process
from demoire.training.config import DataConfig
from demoire.training.data import PairSource, draw_scene, find_images
from demoire.training.field import FieldPart

CLEAN_TOUCHED = 0.005  # at most this share of clean images may reach the threshold
# and this one of drawings made to be taken for moiré: archives hold few of them
_LOOKALIKES_TOUCHED = 0.03
_LEAST_THRESHOLD = 0.5
# Probabilities are fitted on as many clean tiles as others. In an image that was found nine tiles
# in ten hold moiré, by which a tenth becomes even odds; and a clean tile that is restored changes
# by 1 in 255, one left out stays spoilt.
_TILE_THRESHOLD = 0.1
_DRAWN_SIDE = 3 * TILE
_CAMERA_SIDE = 2 * TILE
# between a score and a threshold above it: in other batches scores differ in their last digits
_MARGIN = 1e-4
# up to which the partial AUC looks: thresholds lie there, and the rest of the ROC is of no use
_FALSE_ALARMS = 0.05
_BATCH = 32


def _tiles(picture: Scene) -> Tensor:
    """What the cleaner shows the detector of a picture: its cells (T, 3, 256, 256) uint8."""
    grid = Grid(*picture.shape[:2])
    cells = np.stack([grid.view(picture, cell) for cell in range(len(grid))])
    return torch.from_numpy(np.ascontiguousarray(cells.transpose(0, 3, 1, 2)))


@dataclass(frozen=True)
class CleanPictures:
    """Whole clean pictures, each as one tensor: its tiles (T, 3, 256, 256) uint8, or later their
    logits (T, 4).
    """

    natural: tuple[Tensor, ...] = ()
    lookalikes: tuple[Tensor, ...] = ()  # drawn, most of them to be taken for moiré
    field: tuple[Tensor, ...] = ()  # real ones of sources that were not trained on

    def map(self, function: Callable[[Tensor], Tensor]) -> "CleanPictures":
        """The same pictures with the function applied to each."""
        return CleanPictures(
            tuple(map(function, self.natural)),
            tuple(map(function, self.lookalikes)),
            tuple(map(function, self.field)),
        )


def clean_pictures(images: Path, source: PairSource, config: DataConfig) -> CleanPictures:
    """The tiles of the validation images, as they are and through simulated cameras, and of drawn
    look-alikes.

    Whole pictures, since of four tiles one is taken for moiré almost four times as often as of one.
    source: of the validation pairs from `images`.
    """
    natural = [read_scene(path) for path in find_images(images, "validation")]
    if natural:
        cameras = source.under(config.model_copy(update={"size": _CAMERA_SIDE, "drawn_clean": 0.0}))
        for number in range(config.validation_per_kind):
            natural.append(
                cameras.simulated("none", np.random.default_rng([config.seed, 3, number]))[1]
            )
    count = config.validation_per_kind if config.drawn_clean else 0
    drawn = (
        draw_scene(_DRAWN_SIDE, True, np.random.default_rng([config.seed, 2, n]))
        for n in range(count)
    )
    return CleanPictures(tuple(map(_tiles, natural)), tuple(map(_tiles, drawn)))


def field_pictures(part: FieldPart, config: DataConfig) -> tuple[Tensor, ...]:
    """The tiles of clean field pictures: each as it is stored, and once more after processing.

    Processed ones stand for the cameras, editors and web services that the part has no picture of.
    """
    pictures = []
    for number, picture in enumerate(part.of("clean", "clean_hard")):
        scene = read_scene(picture.path)
        rng = np.random.default_rng([config.seed, 5, number])
        pictures += [_tiles(scene), _tiles(_processed(scene, rng))]
    return tuple(pictures)


def _processed(scene: Scene, rng: np.random.Generator) -> Scene:
    """A square from the middle of a picture, up to 512 px, as an archive may hold it."""
    side = min(_CAMERA_SIDE + MARGIN, *scene.shape[:2])
    top, left = (scene.shape[0] - side) // 2, (scene.shape[1] - side) // 2
    square = np.ascontiguousarray(scene[top : top + side, left : left + side])
    return process(square, side - MARGIN, rng)


def tile_logits(network: Detector, tiles: Tensor, device: str) -> Tensor:
    """Logits (T, 4) on the CPU of tiles (T, 3, S, S) uint8."""
    parts = []
    with torch.inference_mode():
        for first in range(0, len(tiles), _BATCH):
            part = (
                tiles[first : first + _BATCH]
                .to(device)
                .contiguous(memory_format=torch.channels_last)
            )
            parts.append(network(part.float().div_(255)).cpu())
    return torch.cat(parts)


def _temperature(logits: Tensor, kinds: Tensor) -> float:
    """The temperature with the least cross entropy (Guo et al., 2017), between 0.1 and 10."""

    def loss(log_temperature: float) -> float:
        return torch.nn.functional.cross_entropy(logits / math.exp(log_temperature), kinds).item()

    return math.exp(minimize_scalar(loss, bounds=(math.log(0.1), math.log(10)), method="bounded").x)


def _limit(scores: NDArray[np.float64], share: float) -> float:
    """The least threshold that at most this share of the scores reaches; 0 without scores."""
    if not len(scores):
        return 0.0
    ordered = np.sort(scores)[::-1]
    return float(min(1.0, ordered[int(share * len(ordered))] + _MARGIN))


def _probabilities(logits: Tensor, temperature: float) -> NDArray[np.float64]:
    return (logits.double() / temperature).softmax(dim=1).numpy()


def _scores(pictures: Sequence[Tensor], temperature: float) -> NDArray[np.float64]:
    return np.array([image_score(_probabilities(logits, temperature))[0] for logits in pictures])


def calibrate(logits: Tensor, kinds: Tensor, clean: CleanPictures) -> Calibration:
    """Fit temperature and thresholds.

    logits (N, 4) and kinds (N,) of labelled tiles; clean: the tiles' logits (T, 4) of whole clean
    pictures. The threshold is the least, from 0.5 on, that at most 0.5 in 100 clean tiles,
    natural pictures and field pictures reach, and at most 3 in 100 drawn look-alikes. The tile
    threshold is the same for all.
    """
    temperature = _temperature(logits, kinds)
    alone = 1 - _probabilities(logits[kinds == 0], temperature)[:, 0]
    threshold = max(
        _LEAST_THRESHOLD,
        _limit(alone, CLEAN_TOUCHED),
        _limit(_scores(clean.natural, temperature), CLEAN_TOUCHED),
        _limit(_scores(clean.lookalikes, temperature), _LOOKALIKES_TOUCHED),
        _limit(_scores(clean.field, temperature), CLEAN_TOUCHED),
    )
    return Calibration(temperature, threshold, _TILE_THRESHOLD)


def detector_figures(
    logits: Tensor, kinds: Tensor, clean: CleanPictures, calibration: Calibration
) -> dict[str, Any]:
    """Accuracy, precision, recall, F1 at the threshold, AUC and ROC, confusion by kind, calibration
    error; as JSON.

    `partial_auc` is the area under the ROC up to 5 false alarms in 100, scaled so that chance is
    0.5 (McClish, 1989). Each labelled tile counts as an image of one tile. `clean_touched` and
    `lookalikes_touched` are the shares of whole clean pictures, natural and drawn, that reach the
    threshold.
    """
    probabilities = _probabilities(logits, calibration.temperature)
    moire = 1 - probabilities[:, 0]
    truth = (kinds != 0).numpy()
    both = 0 < truth.sum() < len(truth)
    said = moire >= calibration.threshold
    natural = _scores(clean.natural, calibration.temperature) >= calibration.threshold
    lookalikes = _scores(clean.lookalikes, calibration.temperature) >= calibration.threshold
    figures: dict[str, Any] = {
        "n": len(truth),
        "accuracy": metrics.accuracy_score(truth, said),
        "precision": metrics.precision_score(truth, said, zero_division=0.0),
        "recall": metrics.recall_score(truth, said, zero_division=0.0),
        "f1": metrics.f1_score(truth, said, zero_division=0.0),
        "auc": metrics.roc_auc_score(truth, moire) if both else 0.0,
        "partial_auc": metrics.roc_auc_score(truth, moire, max_fpr=_FALSE_ALARMS) if both else 0.0,
        "clean_touched": natural.mean() if natural.size else 0.0,
        "lookalikes_touched": lookalikes.mean() if lookalikes.size else 0.0,
        "calibration_error": calibration_error(reliability(truth.tolist(), moire.tolist())),
    }
    figures = {
        name: round(float(value), 5) if name != "n" else value for name, value in figures.items()
    }
    false, true, _ = metrics.roc_curve(truth, moire)
    figures["roc"] = {
        "false_positive_rate": false.round(5).tolist(),
        "true_positive_rate": true.round(5).tolist(),
    }
    confusion = metrics.confusion_matrix(
        kinds.numpy(), probabilities.argmax(axis=1), labels=range(len(KINDS))
    )
    figures["confusion"] = {
        kind: dict(zip(KINDS, row.tolist(), strict=True))
        for kind, row in zip(KINDS, confusion, strict=True)
    }
    return figures
