"""What all other threads report to the thread that asks for results."""

from dataclasses import dataclass
from typing import Generic, TypeAlias

from demoire.cleaning.batches import Batch
from demoire.cleaning.image_job import ImageJob, K
from demoire.cleaning.model_run import ModelResult


@dataclass(frozen=True)
class FromDecoder(Generic[K]):
    """An image is decoded, or could not be."""

    job: ImageJob[K]


@dataclass(frozen=True)
class FromEncoder(Generic[K]):
    """An image is blended and written, or could not be."""

    job: ImageJob[K]


@dataclass(frozen=True)
class FromModel(Generic[K]):
    """A batch has been through a model."""

    batch: Batch[K]
    results: list[ModelResult[K]]


@dataclass(frozen=True)
class DecoderEnded:
    """A decoding thread has ended: there are no more images."""


@dataclass(frozen=True)
class MachineFailed:
    """A thread cannot go on, and no image is to blame."""

    error: Exception


Event: TypeAlias = FromDecoder[K] | FromEncoder[K] | FromModel[K] | DecoderEnded | MachineFailed
