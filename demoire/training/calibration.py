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
from demoire.measure.detection import calibration_error, detector_figures, reliability
from demoire.models.detector import Calibration, Detector, image_score
from demoire.moire import CELL, KINDS
from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import read_scene
from demoire.simulate.processing import MARGIN, process
from demoire.simulate.scenes.drawings import draw_scene
from demoire.training.config import DataConfig
from demoire.training.data import PairSource
from demoire.training.field import FieldPart
from demoire.training.field_source import LOOKALIKE_SHARE
from demoire.training.scene_store import images_of_split

CLEAN_TOUCHED = 0.005  # at most this share of clean images may reach the threshold
# and this one of drawings made to be taken for moiré: archives hold few of them
_LOOKALIKES_TOUCHED = 0.03
_LEAST_THRESHOLD = 0.5
# Probabilities are fitted on as many clean tiles as others. In an image that was found nine tiles
# in ten hold moiré, by which a tenth becomes even odds; and a clean tile that is restored changes
# by 1 in 255, one left out stays spoilt.
_CELL_THRESHOLD = 0.1
# The detector is sure where at most this share of clean images scores as high. A validation set of
# some hundred images says little of so small a share: so doubt also reaches to these times the
# threshold's odds, which is what suits the shipped detector (0.85 and 0.96).
_SURE_OF_CLEAN = 0.001
_ODDS_OF_SURE = 4.2
# Chosen on real pictures that detectors had not seen, of which seven in eight clean ones score less
_FREE_OF_DOUBT = 0.3
_DRAWN_SIDE = 3 * CELL
_CAMERA_SIDE = 2 * CELL
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
    """Whole clean pictures, one tensor each.

    The tensor holds the picture's tiles (T, 3, 256, 256) uint8, or later their logits (T, 4).
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
    """Gather the clean pictures of the validation.

    They are whole pictures, since of four tiles one is taken for moiré almost four times as often
    as of one.

    Args:
        images: A folder of clean images, of which the validation split is taken.
        source: Of the validation pairs from `images`.
        config: How many pictures there are to be.

    Returns:
        The images, as they are and through simulated cameras, and drawn look-alikes.
    """
    natural = [_tiles(read_scene(path)) for path in images_of_split(images, "validation")]
    if natural:
        cameras = source.under(config.model_copy(update={"size": _CAMERA_SIDE, "drawn_clean": 0.0}))
        for number in range(config.validation_per_kind):
            rng = np.random.default_rng([config.seed, 3, number])
            _, clean, _ = cameras.simulated("none", rng)
            natural.append(_tiles(clean))
    lookalikes: list[Tensor] = []
    count = config.validation_per_kind if config.drawn_clean else 0
    for number in range(count):
        rng = np.random.default_rng([config.seed, 2, number])
        drawn = draw_scene(rng, _DRAWN_SIDE, lookalike_share=LOOKALIKE_SHARE)
        lookalikes.append(_tiles(drawn.scene))
    return CleanPictures(tuple(natural), tuple(lookalikes))


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

    The threshold is the least, from 0.5 on, that at most 0.5 in 100 clean tiles, natural pictures
    and field pictures reach, and at most 3 in 100 drawn look-alikes. The score from which the
    detector is sure is the least, from 4.2 times the threshold's odds on, that at most 1 in 1000
    natural or field pictures reaches. The tile threshold and the score that is free of doubt are
    the same for all.

    Args:
        logits: (N, 4) of labelled tiles.
        kinds: (N,) of the tiles, as indices into KINDS.
        clean: Logits (T, 4) of the tiles of whole clean pictures.
    """
    temperature = _temperature(logits, kinds)
    alone = 1 - _probabilities(logits[kinds == 0], temperature)[:, 0]
    natural = _scores(clean.natural, temperature)
    field = _scores(clean.field, temperature)
    threshold = max(
        _LEAST_THRESHOLD,
        _limit(alone, CLEAN_TOUCHED),
        _limit(natural, CLEAN_TOUCHED),
        _limit(_scores(clean.lookalikes, temperature), _LOOKALIKES_TOUCHED),
        _limit(field, CLEAN_TOUCHED),
    )
    least_sure = _ODDS_OF_SURE * threshold / (1 + (_ODDS_OF_SURE - 1) * threshold)
    sure = max(least_sure, _limit(np.concatenate([natural, field]), _SURE_OF_CLEAN))
    return Calibration(temperature, threshold, _CELL_THRESHOLD, sure, _FREE_OF_DOUBT)


def validation_figures(
    logits: Tensor, kinds: Tensor, clean: CleanPictures, calibration: Calibration
) -> dict[str, Any]:
    """How right the detector is on the validation data, as JSON.

    Those of `demoire.measure.detection` at the threshold, 0.0 for ratios without a denominator,
    where each labelled tile counts as an image; ROC and confusion by kind; and besides:

    - `partial_auc`: the area under the ROC up to 5 false alarms in 100, scaled so that chance is
      0.5.
    - `clean_touched`, `lookalikes_touched`: the shares of whole clean pictures, natural and drawn,
      that reach the threshold.

    Args:
        logits: (N, 4) of labelled tiles.
        kinds: (N,) of the tiles, as indices into KINDS.
        clean: Logits (T, 4) of the tiles of whole clean pictures.
        calibration: What turns logits into a decision.

    References:
        McClish, "Analyzing a Portion of the ROC Curve", Medical Decision Making 9, 1989 (partial
        AUC).
    """
    probabilities = _probabilities(logits, calibration.temperature)
    scores = 1 - probabilities[:, 0]
    truth = (kinds != 0).numpy()
    figures = detector_figures(truth, scores, calibration.threshold)
    partial_auc = None
    if figures.auc is not None:
        partial_auc = metrics.roc_auc_score(truth, scores, max_fpr=_FALSE_ALARMS)
    shares = {
        "accuracy": figures.accuracy,
        "precision": figures.precision,
        "recall": figures.recall,
        "f1": figures.f1,
        "auc": figures.auc,
        "partial_auc": partial_auc,
        "clean_touched": _share_touched(clean.natural, calibration),
        "lookalikes_touched": _share_touched(clean.lookalikes, calibration),
        "calibration_error": calibration_error(reliability(truth, scores)),
    }
    rounded = {name: round(float(value or 0.0), 5) for name, value in shares.items()}
    # The curve begins at (0, 0), which DetectorFigures leaves out.
    false_positive_rates = [0.0, *(point.false_positive_rate for point in figures.roc)]
    true_positive_rates = [0.0, *(point.true_positive_rate for point in figures.roc)]
    return {
        "n": figures.n,
        **rounded,
        "roc": {
            "false_positive_rate": np.round(false_positive_rates, 5).tolist(),
            "true_positive_rate": np.round(true_positive_rates, 5).tolist(),
        },
        "confusion": _confusion(kinds, probabilities),
    }


def _share_touched(pictures: Sequence[Tensor], calibration: Calibration) -> float | None:
    """The share of pictures that reach the threshold; None without pictures."""
    if not pictures:
        return None
    scores = _scores(pictures, calibration.temperature)
    return float((scores >= calibration.threshold).mean())


def _confusion(kinds: Tensor, probabilities: NDArray[np.float64]) -> dict[str, dict[str, int]]:
    """True kind -> kind with the highest probability -> tiles."""
    counts = metrics.confusion_matrix(
        kinds.numpy(), probabilities.argmax(axis=1), labels=range(len(KINDS))
    )
    confusion: dict[str, dict[str, int]] = {}
    for kind, row in zip(KINDS, counts.tolist(), strict=True):
        confusion[kind] = dict(zip(KINDS, row, strict=True))
    return confusion
