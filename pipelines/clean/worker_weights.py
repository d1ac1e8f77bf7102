"""Weights on their way to the workers: kept under DST by digest, and read from there by each worker
that starts.

Shipped weights are on every node under their name. A file, or what a registry gave, is on the
machine where the run started and perhaps nowhere else; DST is the one place that every worker
reaches. What is kept there also says, long after, what an archive was cleaned with. A few
megabytes, written once; read once by each worker.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

from demoire.cleaning.config import CleanerConfig
from demoire.errors import StorageError, UnusablePlaceError, WeightsError
from demoire.temporary_files import new_temporary_folder
from pipelines import layout
from pipelines.storage.local import LocalPlace
from pipelines.storage.place import Place

ModelRole = Literal["detector", "restorer"]

# Seconds before another try. What fails here ends the run, so it has more patience than a read.
_PAUSES = (5.0, 15.0, 45.0)


@dataclass(frozen=True)
class KeptWeights:
    """Weights that lie under DST."""

    model: ModelRole
    given: str  # the file as the user named it
    digest: str  # SHA-256 of the file
    suffix: str

    @property
    def path(self) -> str:
        """Under DST."""
        return layout.kept_weights(self.digest, self.suffix)


def keep_weights(place: Place, config: CleanerConfig) -> tuple[KeptWeights, ...]:
    """Put what is not shipped of a configuration's weights under DST, unless it is there already.

    Raises:
        WeightsError: The weights cannot be used.
        StorageError: DST cannot be written.
    """
    from demoire.models.weights import find_weights, shipped_weights

    names: dict[ModelRole, str] = {"detector": config.detector, "restorer": config.restorer}
    kept = []
    for model, name in names.items():
        if name in shipped_weights():
            continue
        weights = find_weights(name)
        own = KeptWeights(model, name, weights.digest, weights.path.suffix)
        if not place.exists(own.path):
            place.put_file(weights.path, own.path)
        kept.append(own)
    return tuple(kept)


@contextmanager
def local_weights(
    place: Place, config: CleanerConfig, kept: tuple[KeptWeights, ...]
) -> Iterator[CleanerConfig]:
    """The configuration with its weights as files of this machine, for as long as the block takes
    to load them.

    Raises:
        WeightsError: What lies under DST is not what was kept there; or from the block, with the
            file that the user named in place of its copy.
        StorageError: DST cannot be read.
    """
    with new_temporary_folder() as folder:
        copies: dict[str, str] = {}  # of this machine: the file that the user named
        for weights in kept:
            data = _read_patiently(place, weights.path)
            if sha256(data).hexdigest() != weights.digest:
                raise WeightsError(
                    f"{place.full(weights.path)} was altered: "
                    "delete it and run the same command again."
                )
            local = folder / Path(weights.path).name
            LocalPlace(str(folder)).write(local.name, data)
            copies[str(local)] = weights.given
            if weights.model == "detector":
                config = replace(config, detector=str(local))
            else:
                config = replace(config, restorer=str(local))
        try:
            yield config
        except WeightsError as error:
            raise WeightsError(_with_given_names(str(error), copies)) from error


def _read_patiently(place: Place, path: str) -> bytes:
    """What lies there; a store that fails for the moment is asked again.

    Raises:
        StorageError: It cannot be read.
    """
    for pause in _PAUSES:
        try:
            return place.read(path)
        except UnusablePlaceError:
            raise
        except StorageError:
            time.sleep(pause)
    return place.read(path)


def _with_given_names(sentence: str, copies: Mapping[str, str]) -> str:
    for copy, given in copies.items():
        sentence = sentence.replace(copy, given)
    return sentence
