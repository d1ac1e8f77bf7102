"""Photographs of screens that are simulated while training, on the device that trains.

A GPU learns from pairs faster than cores can simulate them: 27 a second and core, where a batch of
48 takes it a tenth of a second. From shards it would soon know every pair by heart. So a run may
keep clean scenes on the device (`data.fresh_scenes`), and in every batch the screens are replaced
by new ones of these scenes (`demoire.simulate.batched`). What is drawn for them depends on the seed
and on the number of the step alone, so a run can be cut and resumed.

Cameras and panels are drawn on the CPU, 0.8 ms a pair, in a thread beside the training. A scene
takes 0.8 MB of the device's memory.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from demoire.moire import KINDS
from demoire.simulate.batched.screens import ShotBatch, draw_shots, photograph_screens
from demoire.simulate.capture import crop_scene
from demoire.training.config import DataConfig
from demoire.training.data import PairSource, Sample

_SEED = 6  # of these draws, beside the run's own
_SIDE = 512  # px, of a scene
_SPARE = 1.7  # times as many are simulated as are wanted: a third shows no moiré
_UNEVEN = 1.3  # times as many are drawn as a batch has screens on average


@dataclass(frozen=True)
class _Ahead:
    """Shots that are drawn while the step before theirs is trained."""

    step: int
    size: int  # px
    shots: Future[ShotBatch]


class FreshScreens:
    """Takes new photographs of screens into batches."""

    def __init__(self, source: PairSource, config: DataConfig, device: str) -> None:
        """Draw the scenes.

        Args:
            source: Where they come from.
            config: How many there are, and of what seed.
            device: Where they are kept.
        """
        self._config = config
        self._device = torch.device(device)
        rng = np.random.default_rng([config.seed, _SEED])
        scenes = []
        for _ in range(config.fresh_scenes):
            scene = crop_scene(source.scene("screen", rng), _SIDE, rng, least=0.7)
            scenes.append(torch.from_numpy(scene.transpose(2, 0, 1).copy()))
        self._scenes = torch.stack(scenes).to(self._device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="screens")
        self._ahead: _Ahead | None = None

    def into(self, batch: Sample, step: int) -> Sample:
        """The batch of a step with new screens in the place of its own.

        Where fewer of the new ones show moiré than are wanted, the last of the batch's own stay.

        Args:
            batch: Pairs of one size. They may lie anywhere; the result lies on the device.
            step: The number of the step.
        """
        screens = (batch.kind == KINDS.index("screen")).nonzero().flatten().to(self._device)
        size = batch.moire.shape[-1]
        if not len(screens):
            return batch
        shots = self._drawn(math.ceil(_SPARE * len(screens)), size, step)
        count = len(shots.shots)
        generator = torch.Generator(self._device).manual_seed(self._number(step))
        chosen = torch.randint(
            len(self._scenes), (count,), device=self._device, generator=generator
        )
        with torch.no_grad():
            pairs = photograph_screens(shots, self._scenes[chosen], generator)
        shown = (pairs.strength >= self._config.visible).nonzero().flatten()[: len(screens)]
        replaced = screens[: len(shown)]
        moire = _on(batch.moire, self._device, replaced, pairs.moire[shown])
        clean = _on(batch.clean, self._device, replaced, pairs.clean[shown])
        return replace(batch, moire=moire, clean=clean)

    def _drawn(self, count: int, size: int, step: int) -> ShotBatch:
        """The shots of a step; those of the next one are begun."""
        ahead = self._ahead
        if ahead is not None and ahead.step == step and ahead.size == size:
            shots = ahead.shots.result()
        else:
            shots = self._draw(count, size, step)
        if len(shots.shots) < count:
            # The same generator gives the same shots again, and those that are missing after them.
            shots = self._draw(count, size, step)
        following = self._thread.submit(self._draw, self._usual_count(), size, step + 1)
        self._ahead = _Ahead(step + 1, size, following)
        return replace(shots, shots=shots.shots[:count])

    def _usual_count(self) -> int:
        """How many shots most batches want: how many screens the next one has is not known."""
        share = self._config.mix.get("screen", 0.0) / sum(self._config.mix.values())
        return math.ceil(_SPARE * _UNEVEN * share * self._config.batch)

    def _draw(self, count: int, size: int, step: int) -> ShotBatch:
        rng = np.random.default_rng([self._config.seed, _SEED, step])
        return draw_shots(count, size, rng)

    def _number(self, step: int) -> int:
        return int(np.random.SeedSequence([self._config.seed, _SEED, step]).generate_state(1)[0])


def _on(pictures: Tensor, device: torch.device, replaced: Tensor, new: Tensor) -> Tensor:
    """A copy of the pictures on the device, in which those of these numbers are new."""
    copy = pictures.to(device, copy=True)
    copy[replaced] = new
    return copy
