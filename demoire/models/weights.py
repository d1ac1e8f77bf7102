"""Weights files: which ones there are, what they are for, and their digests.

A weights file is a safetensors file whose header names the architecture it is for, the structure of
the network, and what was fitted and measured after training. The shipped files are listed with
their sha256 in `weights_data/index.json`. A file that differs from the list is refused, since the
report of every cleaned image names that digest.

A restorer may also be a checkpoint of another program (.pth, .pt). It has no header, so the names
and shapes of its tensors tell what it is for.

Whoever plans or reports asks for weights without running them, so nothing here imports torch, with
one exception: the tensors of a checkpoint cannot be read without it. `demoire.models.networks`
makes networks out of weights files.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open

from demoire.errors import WeightsError

FORMAT = "demoire-weights/1"
DETECTOR = "detector-cnn"
UNET = "restorer-unet"
ESDNET = "restorer-esdnet"
EXTERNAL = "restorer-external"  # a checkpoint of which only `demoire.models.external` knows more

Model = Literal["detector", "restorer"]

CHECKPOINT_SUFFIXES = (".pth", ".pt")
INDEX = "index.json"
SHIPPED_FOLDER = Path(__file__).parents[1] / "weights_data"


@dataclass(frozen=True)
class Weights:
    """A weights file that exists and whose header is sound. Its numbers are read on loading."""

    name: str  # shipped name, or the file's own without suffix
    path: Path
    digest: str  # sha256 of the file, 64 hex digits
    architecture: str
    config: dict[str, Any]  # structure of the network
    metadata: dict[str, Any]  # calibration, and how it was trained, with figures of that training

    @property
    def model(self) -> Model:
        """Which of the two models they are for."""
        return "detector" if self.architecture == DETECTOR else "restorer"


@dataclass(frozen=True)
class ShippedFile:
    """What the index says of one shipped file."""

    file: str  # name in the index's folder
    sha256: str


_INDEX_ENTRIES = TypeAdapter(dict[str, ShippedFile])


def shipped_files(folder: Path) -> dict[str, ShippedFile]:
    """The weights that a folder's index lists, by name; none where there is no index."""
    index = folder / INDEX
    if not index.is_file():
        return {}
    return _INDEX_ENTRIES.validate_json(index.read_bytes())


def shipped_weights() -> tuple[str, ...]:
    """The names of the weights that come with the package."""
    return tuple(sorted(shipped_files(SHIPPED_FOLDER)))


def find_weights(name_or_path: str) -> Weights:
    """Find weights by shipped name or by path, and check their digest and header.

    Args:
        name_or_path: A name of `shipped_weights`, or the path of a weights file or a checkpoint.

    Raises:
        WeightsError: There is no such file, a shipped file was altered, or the file is damaged or
            of another format.
    """
    shipped = shipped_files(SHIPPED_FOLDER).get(name_or_path)
    if shipped is None:
        path = Path(name_or_path)
        name = path.stem
    else:
        path = SHIPPED_FOLDER / shipped.file
        name = name_or_path
    if not path.is_file():
        known = ", ".join(shipped_weights()) or "none"
        raise WeightsError(
            f"There are no weights {name_or_path}; give the path of a .safetensors or .pth file "
            f"or a name ({known})."
        )
    digest = _digest(path)
    if shipped is not None and digest != shipped.sha256:
        raise WeightsError(
            f"The shipped weights {name_or_path} are not the ones that were shipped; "
            "install them again."
        )
    if path.suffix in CHECKPOINT_SUFFIXES:
        return _checkpoint(name, path, digest)
    return _weights_file(name, path, digest)


def find_model(model: Model, name_or_path: str) -> Weights:
    """Find weights as `find_weights` does, and check that they are those of this model.

    Raises:
        WeightsError: They cannot be used, or are another model's.
    """
    weights = find_weights(name_or_path)
    if weights.model != model:
        raise WeightsError(
            f"{weights.path} holds a {weights.architecture}, not a {model}; name other weights."
        )
    return weights


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}.") from error


def _weights_file(name: str, path: Path, digest: str) -> Weights:
    header = _header(path)
    try:
        return Weights(
            name=name,
            path=path,
            digest=digest,
            architecture=header["architecture"],
            config=json.loads(header["config"]),
            metadata=json.loads(header["metadata"]),
        )
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"The header of {path} is damaged; fetch the file again or name other weights."
        ) from error


def _header(path: Path) -> Mapping[str, str]:
    """The header's own entries; opening the file also checks that it is as long as it says."""
    try:
        with safe_open(path, framework="numpy") as file:
            header: Mapping[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is no whole safetensors file; fetch it again or name other weights."
        ) from error
    file_format = header.get("format", "no format")
    if file_format != FORMAT:
        raise WeightsError(
            f"{path} says {file_format}, this version reads {FORMAT}; "
            "use weights that this version can read."
        )
    return header


def _checkpoint(name: str, path: Path, digest: str) -> Weights:
    # Only these need torch, and they are rare: see the module's docstring.
    from demoire.models.checkpoints import read_checkpoint
    from demoire.models.esdnet import published_structure
    from demoire.models.restorer import structure

    config = published_structure(read_checkpoint(path))
    if config is None:
        return Weights(name, path, digest, EXTERNAL, config={}, metadata={})
    return Weights(name, path, digest, ESDNET, config=structure(config), metadata={})
