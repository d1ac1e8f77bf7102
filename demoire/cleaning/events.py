"""What the decoding and encoding threads report to the thread that asks for results."""

from dataclasses import dataclass
from typing import Generic, TypeAlias

from demoire.cleaning.image_job import ImageJob, K
from demoire.errors import MachineError


@dataclass(frozen=True)
class FromDecoder(Generic[K]):
    """An image is decoded, or could not be."""

    job: ImageJob[K]


@dataclass(frozen=True)
class FromEncoder(Generic[K]):
    """An image is blended and written, or could not be."""

    job: ImageJob[K]


@dataclass(frozen=True)
class DecoderEnded:
    """A decoding thread has ended: there are no more images."""


@dataclass(frozen=True)
class MachineFailed:
    """A thread cannot go on, and no image is to blame."""

    error: MachineError


Event: TypeAlias = FromDecoder[K] | FromEncoder[K] | DecoderEnded | MachineFailed
