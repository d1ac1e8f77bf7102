"""Named weights with digests: shipped inside the package, or a file of one's own.

A weights file is a safetensors file whose header says which architecture it is for, with which
structure, and what was fitted and measured after training. Loading runs no code from the file. The
shipped files are listed with their sha256 in `weights_data/index.json`; a file that differs is
refused, since the report of every cleaned image names that digest.

A restorer may also be a checkpoint of others (.pth, .pt), which says nothing of itself: what it is
for is told by its tensors' names and shapes.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from demoire.errors import UsageError, WeightsError
from demoire.models.checkpoints import SUFFIXES, read_checkpoint
from demoire.models.detector import Calibration, Detector, DetectorConfig
from demoire.models.esdnet import published_structure
from demoire.models.external import External, load_external
from demoire.models.layers import channels_last
from demoire.models.restorer import (
    ARCHITECTURES,
    Restorer,
    build_restorer,
    restorer_config,
    structure,
)

FORMAT = "demoire-weights/1"
DETECTOR = "detector-cnn"
RESTORERS = {f"restorer-{name}": name for name in ARCHITECTURES}
UNET, ESDNET = "restorer-unet", "restorer-esdnet"
EXTERNAL = "restorer-external"  # a checkpoint of which the `external` module has to say what it is

_INDEX = "index.json"
_SHIPPED = Path(__file__).parents[1] / "weights_data"


@dataclass(frozen=True)
class Weights:
    """A weights file that was found and whose header is sound. The numbers themselves are read on
    loading.
    """

    name: str  # shipped name, or the file's own without suffix
    path: Path
    digest: str  # sha256 of the file, 64 hex digits
    architecture: str
    config: dict[str, Any]  # structure of the network
    metadata: dict[str, Any]  # calibration, figures, how it was trained


def _read_index(registry: Path) -> dict[str, dict[str, str]]:
    index = registry / _INDEX
    return json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}


def _write_in_one_step(path: Path, data: bytes) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)


def shipped_weights() -> tuple[str, ...]:
    """The names of the weights that come with the package."""
    return tuple(sorted(_read_index(_SHIPPED)))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}.") from error


def _header(path: Path) -> Mapping[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is no whole safetensors file; fetch it again or name other weights."
        ) from error
    if header.get("format") != FORMAT:
        found = header.get("format", "no format")
        raise WeightsError(
            f"{path} says {found}, this version reads {FORMAT}; use weights that this version can read."
        )
    return header


def find_weights(name_or_path: str) -> Weights:
    """Find weights by shipped name or by path, and check their digest and header.

    The path may be that of a checkpoint (.pth, .pt), whose tensors stand in for a header. Raises
    WeightsError when there are none, when a shipped file was altered, or when the file is damaged
    or of another format.
    """
    shipped = _read_index(_SHIPPED).get(name_or_path)
    path = _SHIPPED / shipped["file"] if shipped else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(shipped_weights()) or "none"
        raise WeightsError(
            f"There are no weights {name_or_path}; give the path of a .safetensors or .pth file or a name ({known})."
        )
    digest = _digest(path)
    if shipped and digest != shipped["sha256"]:
        raise WeightsError(
            f"The shipped weights {name_or_path} are not the ones that were shipped; install them again."
        )
    name = name_or_path if shipped else path.stem
    if path.suffix in SUFFIXES:
        config = published_structure(read_checkpoint(path))
        return Weights(
            name, path, digest, *((ESDNET, structure(config)) if config else (EXTERNAL, {})), {}
        )
    header = _header(path)
    try:
        config, metadata = json.loads(header["config"]), json.loads(header["metadata"])
        architecture = header["architecture"]
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"The header of {path} is damaged; fetch the file again or name other weights."
        ) from error
    return Weights(name, path, digest, architecture, config, metadata)


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix in SUFFIXES:
        return read_checkpoint(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
    except SafetensorError as error:
        raise WeightsError(
            f"The numbers in {path} are damaged; fetch the file again or name other weights."
        ) from error


def _misfit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the first name of which something is; None where all fits."""
    for name in sorted(tensors.keys() | expected.keys()):
        if name not in tensors:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} has no place in it"
        if tensors[name].shape != expected[name].shape:
            return f"{name} is {tuple(tensors[name].shape)}, not {tuple(expected[name].shape)}"
    return None


def read_weights(weights: Weights, network: nn.Module) -> None:
    """Fill the network with these weights. Raises WeightsError where names or shapes do not fit."""
    tensors = _tensors(weights.path)
    misfit = _misfit(tensors, network.state_dict())
    if misfit:
        raise WeightsError(
            f"The weights {weights.path} do not fit the structure {weights.architecture}: {misfit}; name other weights."
        )
    network.load_state_dict(tensors)


def _place(network: nn.Module, device: str) -> None:
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"The device {device} is not there; use cpu or another one.") from error
    channels_last(network).requires_grad_(False).eval()


def _expect(weights: Weights, architectures: Collection[str], what: str) -> None:
    if weights.architecture not in architectures:
        raise WeightsError(
            f"{weights.path} holds a {weights.architecture}, not a {what} of this version; name other weights."
        )


def load_detector(name_or_path: str = "detector", device: str = "cpu") -> Detector:
    """The detector of these weights with its calibration, in evaluation mode, channels last, on
    this device.

    Raises WeightsError for weights that are missing, damaged or not a detector's.
    """
    weights = find_weights(name_or_path)
    _expect(weights, {DETECTOR}, "detector")
    known = {field.name for field in fields(Calibration)}
    try:
        calibration = Calibration(
            **{key: float(value) for key, value in weights.metadata.items() if key in known}
        )
        network = Detector(DetectorConfig(**weights.config), calibration)
    except (ValidationError, TypeError, ValueError) as error:
        raise WeightsError(
            f"The header of {weights.path} names a structure that this version does not know."
        ) from error
    read_weights(weights, network)
    _place(network, device)
    return network


def load_restorer(name_or_path: str = "restorer", device: str = "cpu") -> Restorer | External:
    """The restorer of these weights, in evaluation mode, channels last, on this device.

    A checkpoint (.pth, .pt) is a published ESDNet, or whatever else spandrel knows it for.
    Raises WeightsError for weights that are missing, damaged or not a restorer's.
    """
    weights = find_weights(name_or_path)
    _expect(weights, {*RESTORERS, EXTERNAL}, "restorer")
    network = _external(weights) if weights.architecture == EXTERNAL else _own(weights)
    _place(network, device)
    return network


def _external(weights: Weights) -> External:
    return load_external(weights.path, read_checkpoint(weights.path))


def _own(weights: Weights) -> Restorer:
    try:
        network = build_restorer(restorer_config(RESTORERS[weights.architecture], weights.config))
    except (ValidationError, TypeError) as error:
        raise WeightsError(
            f"The header of {weights.path} names a structure that this version does not know."
        ) from error
    read_weights(weights, network)
    return network


def _with_sorted_header(file: bytes) -> bytes:
    """The same safetensors file with the header's keys in order: the library writes them in a
    random one.
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[end:]


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Contiguous and on the CPU; counts stay what they are."""
    return (
        tensor.detach()
        .to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        .contiguous()
    )


def save_weights(
    model: nn.Module,
    path: Path,
    *,
    architecture: str,
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> Weights:
    """Write a weights file in one step: the old one stays until the new one is whole. Equal input
    gives equal bytes.

    config and metadata have to be JSON. dtype: what numbers are stored as; networks compute in
    float32 whatever it is.
    """
    tensors = {name: _stored(value, dtype) for name, value in model.state_dict().items()}
    header = {
        "format": FORMAT,
        "architecture": architecture,
        "config": json.dumps(config, sort_keys=True),
        "metadata": json.dumps(metadata, sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_in_one_step(path, _with_sorted_header(save(tensors, header)))
    return find_weights(str(path))


def register_weights(path: Path, name: str, registry: Path = _SHIPPED) -> Weights:
    """Copy a sound weights file into a registry, by default the package's own, and note its digest
    under this name.

    Weights of that name that were there are replaced. Raises WeightsError when the file is not
    sound.
    """
    weights = find_weights(str(path))
    registry.mkdir(parents=True, exist_ok=True)
    file = name + path.suffix
    _write_in_one_step(registry / file, path.read_bytes())
    index = {**_read_index(registry), name: {"file": file, "sha256": weights.digest}}
    _write_in_one_step(
        registry / _INDEX, (json.dumps(index, indent=1, sort_keys=True) + "\n").encode()
    )
    return find_weights(str(registry / file))


def save_detector(network: Detector, path: Path, metadata: Mapping[str, Any]) -> Weights:
    """Write a detector with its structure and calibration; `metadata` adds to it."""
    facts = {**metadata, **asdict(network.calibration)}
    return save_weights(
        network, path, architecture=DETECTOR, config=asdict(network.config), metadata=facts
    )


def save_restorer(network: Restorer, path: Path, metadata: Mapping[str, Any]) -> Weights:
    """Write a restorer with its structure.

    Its numbers are stored as float16, in half the space: on validation pairs that costs 0.002 dB,
    0.03 at most.
    """
    architecture, config = f"restorer-{network.config.architecture}", structure(network.config)
    return save_weights(
        network,
        path,
        architecture=architecture,
        config=config,
        metadata=metadata,
        dtype=torch.float16,
    )
