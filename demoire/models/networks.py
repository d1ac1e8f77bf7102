"""Networks out of weights files, and back into them.

Loading runs no code from the file: safetensors holds numbers alone, and checkpoints are read by
torch's restricted reader (`demoire.models.checkpoints`). Saving the same network twice gives the
same bytes, and therefore the same digest.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from demoire.errors import UsageError, WeightsError
from demoire.files import write_whole
from demoire.models.checkpoints import read_checkpoint
from demoire.models.detector import Calibration, Detector, DetectorConfig
from demoire.models.external import External, load_external
from demoire.models.layers import channels_last
from demoire.models.restorer import (
    ARCHITECTURES,
    Restorer,
    RestorerConfig,
    build_restorer,
    restorer_config,
    structure,
)
from demoire.models.weights import (
    CHECKPOINT_SUFFIXES,
    DETECTOR,
    EXTERNAL,
    FORMAT,
    Weights,
    find_model,
    find_weights,
)

_RESTORERS = {f"restorer-{name}": name for name in ARCHITECTURES}

# How a header names the fields of a calibration. Cells were once called tiles, and headers stay.
# What an older header lacks has the value that was right for the detectors of its time.
_CALIBRATION_KEYS = {
    "temperature": "temperature",
    "threshold": "threshold",
    "cell_threshold": "tile_threshold",
    "sure": "sure",
    "free_of_doubt": "free_of_doubt",
}


def load_detector(name_or_path: str = "detector", device: str = "cpu") -> Detector:
    """A detector with its calibration, in evaluation mode, channels last.

    Args:
        name_or_path: Weights as `find_weights` takes them.
        device: Where the detector is to be, as torch names devices.

    Raises:
        WeightsError: The weights are missing, damaged or not a detector's.
        UsageError: There is no such device.
    """
    weights = find_model("detector", name_or_path)
    network = Detector(detector_structure(weights), _read_calibration(weights))
    fill_network(network, weights)
    _move_to(device, network)
    return network


def load_restorer(name_or_path: str = "restorer", device: str = "cpu") -> Restorer | External:
    """A restorer in evaluation mode, channels last.

    A checkpoint (.pth, .pt) is a published ESDNet, or whatever else spandrel knows it for.

    Args:
        name_or_path: Weights as `find_weights` takes them.
        device: Where the restorer is to be, as torch names devices.

    Raises:
        WeightsError: The weights are missing, damaged or not a restorer's.
        UsageError: There is no such device.
    """
    weights = find_model("restorer", name_or_path)
    network: Restorer | External
    if weights.architecture == EXTERNAL:
        network = load_external(weights.path, read_checkpoint(weights.path))
    else:
        network = build_restorer(restorer_structure(weights))
        fill_network(network, weights)
    _move_to(device, network)
    return network


def detector_structure(weights: Weights) -> DetectorConfig:
    """The structure of the detector that weights are for.

    Raises:
        WeightsError: This version does not know it.
    """
    try:
        return DetectorConfig(**weights.config)
    except (ValidationError, TypeError) as error:
        raise _unknown_structure(weights) from error


def restorer_structure(weights: Weights) -> RestorerConfig:
    """The structure of the restorer that weights are for.

    Raises:
        WeightsError: This version does not know it; so it is with other programs' but ESDNet's.
    """
    try:
        return restorer_config(_RESTORERS[weights.architecture], weights.config)
    except (KeyError, ValidationError, TypeError) as error:
        raise _unknown_structure(weights) from error


def fill_network(network: nn.Module, weights: Weights) -> None:
    """Give the network these weights.

    Raises:
        WeightsError: Names or shapes of the tensors do not fit the network.
    """
    tensors = _read_tensors(weights.path)
    misfit = _first_misfit(tensors, network.state_dict())
    if misfit is not None:
        raise WeightsError(
            f"The weights {weights.path} do not fit the structure {weights.architecture}: "
            f"{misfit}; name other weights."
        )
    network.load_state_dict(tensors)


def save_weights(
    network: nn.Module,
    path: Path,
    *,
    architecture: str,
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> Weights:
    """Write a weights file in one step: the old one stays until the new one is whole.

    Args:
        network: The network whose parameters and buffers are stored.
        path: The file to write; its folder is made.
        architecture: What the network is, as `Weights.architecture` says it.
        config: The structure of the network, which has to be JSON.
        metadata: Calibration, figures and the like, which has to be JSON.
        dtype: How numbers are stored. Networks compute in float32 whatever it is.
    """
    tensors = {name: _stored(value, dtype) for name, value in network.state_dict().items()}
    header = {
        "format": FORMAT,
        "architecture": architecture,
        "config": json.dumps(config, sort_keys=True),
        "metadata": json.dumps(metadata, sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _with_sorted_header(save(tensors, header)))
    return find_weights(str(path))


def save_detector(network: Detector, path: Path, metadata: Mapping[str, Any]) -> Weights:
    """Write a detector with its structure and calibration; `metadata` adds to the latter."""
    calibration = {}
    for field, value in asdict(network.calibration).items():
        calibration[_CALIBRATION_KEYS[field]] = value
    return save_weights(
        network,
        path,
        architecture=DETECTOR,
        config=asdict(network.config),
        metadata={**metadata, **calibration},
    )


def save_restorer(network: Restorer, path: Path, metadata: Mapping[str, Any]) -> Weights:
    """Write a restorer with its structure.

    Its numbers are stored as float16, in half the space. On validation pairs that costs 0.002 dB,
    0.03 at most.
    """
    return save_weights(
        network,
        path,
        architecture=f"restorer-{network.config.architecture}",
        config=structure(network.config),
        metadata=metadata,
        dtype=torch.float16,
    )


def _read_calibration(weights: Weights) -> Calibration:
    """The calibration that a detector's header holds among other facts."""
    values = {}
    try:
        for field, key in _CALIBRATION_KEYS.items():
            if key in weights.metadata:
                values[field] = float(weights.metadata[key])
    except (TypeError, ValueError) as error:
        raise _unknown_structure(weights) from error
    return Calibration(**values)


def _unknown_structure(weights: Weights) -> WeightsError:
    return WeightsError(
        f"The header of {weights.path} names a structure that this version does not know."
    )


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix in CHECKPOINT_SUFFIXES:
        return read_checkpoint(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise WeightsError(
            f"The numbers in {path} are damaged; fetch the file again or name other weights."
        ) from error


def _first_misfit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the first tensor that does not fit; None where all fit."""
    for name in sorted(tensors.keys() | expected.keys()):
        if name not in tensors:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} has no place in it"
        if tensors[name].shape != expected[name].shape:
            return f"{name} is {tuple(tensors[name].shape)}, not {tuple(expected[name].shape)}"
    return None


def _move_to(device: str, network: nn.Module) -> None:
    """Make the network ready to run on the device."""
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"The device {device} is not there; use cpu or another one.") from error
    channels_last(network).requires_grad_(False).eval()


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Contiguous and on the CPU. Whole numbers, such as counts of batches, keep their type."""
    if not tensor.is_floating_point():
        dtype = tensor.dtype
    return tensor.detach().to("cpu", dtype).contiguous()


def _with_sorted_header(file: bytes) -> bytes:
    """The same safetensors file with the keys of its header in order.

    The library writes them in a random order, and equal weights are to have equal digests. The
    file begins with the length of the header, eight bytes in little-endian order. The header is
    JSON, filled up with spaces so that the numbers after it begin at a multiple of eight bytes.

    References:
        https://huggingface.co/docs/safetensors (section "Format")
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[end:]
