"""Weights on their way to the workers: kept under DST by digest, and read from there by each worker
that starts.

Shipped weights are on every node under their name. A file, or what a registry gave, is on the
machine where the run started and perhaps nowhere else; DST is the one place that every worker
reaches. What is kept there also says, long after, what an archive was cleaned with. A few
megabytes, written once; read once by each worker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from demoire.cleaning.config import CleanerConfig
from demoire.errors import WeightsError
from pipelines.layout import BOOKKEEPING
from pipelines.storage.open import open_place

WEIGHTS = f"{BOOKKEEPING}/weights"


@dataclass(frozen=True)
class KeptWeights:
    """Weights that lie under DST."""

    model: Literal["detector", "restorer"]
    digest: str  # sha256 of the file
    suffix: str

    @property
    def path(self) -> str:
        """Under DST."""
        return f"{WEIGHTS}/{self.digest}{self.suffix}"


def keep_weights(dst: str, config: CleanerConfig) -> tuple[KeptWeights, ...]:
    """Put what is not shipped of a configuration's weights under DST, unless it is there already.

    Raises WeightsError for weights that cannot be used, StorageError where DST cannot be written.
    """
    from demoire.models.weights import find_weights, shipped_weights

    place, kept = open_place(dst), []
    models: tuple[tuple[Literal["detector", "restorer"], str], ...]
    models = ("detector", config.detector), ("restorer", config.restorer)
    for model, name in models:
        if name in shipped_weights():
            continue
        weights = find_weights(name)
        kept.append(KeptWeights(model, weights.digest, weights.path.suffix))
        if not place.exists(kept[-1].path):
            place.put_file(weights.path, kept[-1].path)
    return tuple(kept)


@contextmanager
def local_weights(
    dst: str, config: CleanerConfig, kept: tuple[KeptWeights, ...]
) -> Iterator[CleanerConfig]:
    """The configuration with its weights as files of this machine, for as long as the block takes
    to load them.

    Raises WeightsError where what lies under DST is not what was kept there.
    """
    with TemporaryDirectory(prefix="demoire-") as folder:
        for weights in kept:
            data = open_place(dst).read(weights.path)
            if sha256(data).hexdigest() != weights.digest:
                raise WeightsError(
                    f"{open_place(dst).full(weights.path)} was altered: delete it and run the same command again."
                )
            local = Path(folder, Path(weights.path).name)
            open_place(folder).write(local.name, data)
            path: dict[str, Any] = {weights.model: str(local)}
            config = replace(config, **path)
        yield config
