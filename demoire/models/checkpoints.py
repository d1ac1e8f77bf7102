"""Named tensors out of the checkpoints that torch.save writes (.pth, .pt), without running code
from them.

A checkpoint is a pickle. It is read by torch's restricted reader, which knows tensors and plain
containers and nothing else; what asks for more is refused.
"""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from demoire.errors import WeightsError

# Under what training programs keep the weights beside their other state; the running mean is better
# than the last step.
_INNER = ("params_ema", "params-ema", "state_dict", "model_state_dict", "params", "model", "net")
_PREFIX = "module."  # of what was trained on several GPUs


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU. Raises WeightsError for a file that holds
    none, or more.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is damaged or holds more than tensors, and code from a weights file is never run; save its "
            "state_dict alone or name other weights."
        ) from error
    except Exception as error:  # torch raises what its zip reader happens to raise
        raise WeightsError(
            f"{path} is no whole checkpoint, or one of a newer torch; fetch it again or name other weights."
        ) from error
    if isinstance(found, dict):
        found = next((found[name] for name in _INNER if isinstance(found.get(name), dict)), found)
        tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
        if tensors:
            prefix = _PREFIX if all(name.startswith(_PREFIX) for name in tensors) else ""
            return {name.removeprefix(prefix): value for name, value in tensors.items()}
    raise WeightsError(
        f"{path} holds no weights by name; save the model's state_dict or name other weights."
    )
