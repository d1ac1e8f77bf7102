"""The two things that are trained: the network of each, its loss, its figures on validation data.

The loop knows nothing of moiré; what differs between detector and restorer is here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from demoire.models.detector import Detector
from demoire.models.networks import save_detector, save_restorer
from demoire.models.precision import multiplies_bfloat16
from demoire.models.restorer import Restorer
from demoire.moire import KINDS
from demoire.training.adversarial import Adversary
from demoire.training.calibration import (
    calibrate,
    clean_pictures,
    field_pictures,
    tile_logits,
    validation_figures,
)
from demoire.training.config import TrainConfig
from demoire.training.data import PairSource, Sample, Samples, validation_set
from demoire.training.field import FieldFolder
from demoire.training.losses import detector_loss, restorer_loss

_PSNR_LIMIT = 60.0
_VALIDATION_SEED = 1


@dataclass(frozen=True)
class Validation:
    """What a validation found."""

    score: float  # the larger the better; decides which weights are kept
    curve: dict[str, float]  # columns of the learning curve
    figures: dict[str, Any]  # all of it, as JSON


class TrainingTask(Protocol):
    """What the loop needs of a task."""

    adversary: Adversary | None  # what has to be stepped after the network, and saved with it

    def loss(self, network: nn.Module, batch: Sample) -> Tensor:
        """The loss of a batch, a scalar to take the gradient of."""
        ...

    def validate(self, network: nn.Module) -> Validation:
        """How good the network is on validation data."""
        ...

    def save(self, network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
        """Write the network's weights to a file, in one step."""
        ...


def to_input(pictures: Tensor, device: str) -> Tensor:
    """(N, 3, S, S) uint8 to float32 0..1, channels last, on the device."""
    return pictures.to(device).contiguous(memory_format=torch.channels_last).float().div_(255)


def _outputs(network: nn.Module, pictures: Tensor, config: TrainConfig) -> Tensor:
    """What the network gives for a batch, float32; its layers compute as `precision` says.

    Weights, gradients, loss and validation stay float32. On a CPU with bfloat16 instructions a step
    takes half as long; without them ten times as long, so there the layers compute in float32, too.
    """
    device = torch.device(config.device)
    narrow = config.precision == "bfloat16" and multiplies_bfloat16(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
        outputs: Tensor = network(pictures)
        return outputs.float()


def _slices(count: int, batch: int) -> Iterator[slice]:
    for first in range(0, count, batch):
        yield slice(first, first + batch)


def _held_out(config: TrainConfig, source: PairSource) -> Sample:
    """The validation pairs, in the tones that they have."""
    data = config.data.model_copy(update={"tone": 0.0})
    samples = Samples(source, config.task, data, (data.seed,))
    return validation_set(samples, data, (data.seed, _VALIDATION_SEED))


def _psnr(one: Tensor, other: Tensor) -> Tensor:
    """PSNR of each picture of (N, 3, S, S) 0..1 in dB, at most 60."""
    error = (one - other).square().mean(dim=(1, 2, 3))
    return (-10 * error.clamp_min(1e-12).log10()).clamp_max(_PSNR_LIMIT)


def _psnr_by_kind(kinds: Tensor, before: Tensor, after: Tensor) -> dict[str, dict[str, float]]:
    """The mean PSNR in dB of each kind that there is, before and after; all are (N,)."""
    means: dict[str, dict[str, float]] = {}
    for number, kind in enumerate(KINDS):
        of_kind = kinds == number
        if of_kind.any():
            means[kind] = {
                "psnr_before": round(before[of_kind].mean().item(), 3),
                "psnr_after": round(after[of_kind].mean().item(), 3),
            }
    return means


class RestorerTask:
    """Moiré in, the clean twin out."""

    def __init__(self, config: TrainConfig, images: Path, field: FieldFolder | None) -> None:
        self._config = config
        self._held_out = _held_out(config, PairSource(images, "validation", config.data))
        wanted = config.restorer_loss.adversarial > 0
        self.adversary = Adversary(config.discriminator, config.device) if wanted else None

    def loss(self, network: nn.Module, batch: Sample) -> Tensor:
        """The restorer's loss, with the discriminator's part where there is one."""
        config = self._config.restorer_loss
        moire = to_input(batch.moire, self._config.device)
        clean = to_input(batch.clean, self._config.device)
        restored = _outputs(network, moire, self._config)
        known = batch.known.to(self._config.device).float().div_(255)
        loss = restorer_loss(restored, clean, known, config)
        if self.adversary is not None:
            loss = loss + config.adversarial * self.adversary.loss(moire, restored, clean)
        return loss

    def validate(self, network: nn.Module) -> Validation:
        """Measure PSNR before and after; the score is the mean gain of the kinds with moiré, dB."""
        before: list[Tensor] = []
        after: list[Tensor] = []
        with torch.inference_mode():
            for part in _slices(len(self._held_out.kind), self._config.data.batch):
                moire = to_input(self._held_out.moire[part], self._config.device)
                clean = to_input(self._held_out.clean[part], self._config.device)
                before.append(_psnr(moire, clean).cpu())
                after.append(_psnr(network(moire).clamp(0, 1), clean).cpu())
        kinds = _psnr_by_kind(self._held_out.kind, torch.cat(before), torch.cat(after))
        gains: list[float] = []
        curve: dict[str, float] = {}
        for kind, row in kinds.items():
            curve[f"psnr_{kind}"] = row["psnr_after"]
            if kind != "none":
                gains.append(row["psnr_after"] - row["psnr_before"])
        score = float(np.mean(gains)) if gains else kinds["none"]["psnr_after"]
        curve["gain"] = round(score, 4)
        figures = {"gain": round(score, 4), "kinds": kinds, "n": len(self._held_out.kind)}
        return Validation(score, curve, figures)

    def save(self, network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
        """Write the weights to a file, in one step."""
        assert isinstance(network, Restorer)
        save_restorer(network, path, metadata)


class DetectorTask:
    """A tile in, the kind of moiré out."""

    adversary: Adversary | None = None

    def __init__(self, config: TrainConfig, images: Path, field: FieldFolder | None) -> None:
        self._config = config
        source = PairSource(images, "validation", config.data)
        self._held_out = _held_out(config, source)
        clean = clean_pictures(images, source, config.data)
        if field is not None:
            clean = replace(clean, field=field_pictures(field.part("validation"), config.data))
        self._clean = clean

    def loss(self, network: nn.Module, batch: Sample) -> Tensor:
        """Cross entropy of the batch's kinds."""
        device = self._config.device
        logits = _outputs(network, to_input(batch.moire, device), self._config)
        return detector_loss(logits, batch.kind.to(device), self._config.detector_loss)

    def validate(self, network: nn.Module) -> Validation:
        """Calibrate the network and measure it.

        The score is the partial AUC: thresholds lie where false alarms are few.
        """
        assert isinstance(network, Detector)
        logits = tile_logits(network, self._held_out.moire, self._config.device)
        clean = self._clean.map(lambda tiles: tile_logits(network, tiles, self._config.device))
        kinds = self._held_out.kind
        network.calibration = calibrate(logits, kinds, clean)
        figures = validation_figures(logits, kinds, clean, network.calibration)
        loss = nn.functional.cross_entropy(logits / network.calibration.temperature, kinds).item()
        names = ("accuracy", "recall", "auc", "partial_auc", "clean_touched", "lookalikes_touched")
        curve = {"cross_entropy": round(loss, 5)} | {name: float(figures[name]) for name in names}
        facts = {**figures, "cross_entropy": round(loss, 5), **asdict(network.calibration)}
        return Validation(float(figures["partial_auc"]), curve, facts)

    def save(self, network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
        """Write the weights to a file, in one step."""
        assert isinstance(network, Detector)
        save_detector(network, path, metadata)


TASKS: dict[str, type[RestorerTask] | type[DetectorTask]] = {
    "restorer": RestorerTask,
    "detector": DetectorTask,
}
