"""Named tensors out of the checkpoints that torch.save writes (.pth, .pt), without running code.

A checkpoint is a pickle, and unpickling can run anything. It is therefore read by torch's
restricted reader, which knows tensors and plain containers and nothing else. A file that asks for
more is refused.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demoire.errors import WeightsError

# Where training programs keep the weights beside their other state. The running mean (ema) comes
# first, since it is better than the last step.
_WRAPPERS = ("params_ema", "params-ema", "state_dict", "model_state_dict", "params", "model", "net")
_PARALLEL_PREFIX = "module."  # of every name, where training ran on several GPUs


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU.

    Raises:
        WeightsError: The file is damaged, holds more than tensors, or holds no tensors by name.
    """
    content = _unwrapped(_load(path))
    tensors = {}
    if isinstance(content, dict):
        for name, value in content.items():
            if isinstance(value, Tensor):
                tensors[str(name)] = value
    if not tensors:
        raise WeightsError(
            f"{path} holds no weights by name; save the model's state_dict or name other weights."
        )
    if all(name.startswith(_PARALLEL_PREFIX) for name in tensors):
        return {name.removeprefix(_PARALLEL_PREFIX): value for name, value in tensors.items()}
    return tensors


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is damaged or holds more than tensors, and code from a weights file is never "
            "run; save its state_dict alone or name other weights."
        ) from error
    except Exception as error:  # torch passes on whatever its zip reader raises
        raise WeightsError(
            f"{path} is no whole checkpoint, or one of a newer torch; "
            "fetch it again or name other weights."
        ) from error


def _unwrapped(content: Any) -> Any:
    """What lies under the first of the usual names, or the content itself where there is none."""
    if isinstance(content, dict):
        for name in _WRAPPERS:
            if isinstance(content.get(name), dict):
                return content[name]
    return content
