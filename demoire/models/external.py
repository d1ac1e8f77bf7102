"""Restorers of others: any published checkpoint that the library spandrel knows.

spandrel (the extra `[models]`) recognises what network a checkpoint is for by the names and shapes
of its tensors, and says what sizes of pictures it takes. Nothing else is known of it: how far it
looks is guessed, and whether it takes moiré away is for `demoire evaluate` to say.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from demoire.errors import WeightsError
from demoire.moire import CELL

_LEAST_MULTIPLE = 32  # px, so that tiles are cut as for the own restorers
_LEAST_HALO = 64  # px; no checkpoint says how much it needs

# The operators whose absence keeps torchvision from being imported, with their signatures.
_BOXES_AND_SCORES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_TORCHVISION_OPERATORS = ("nms", "qnms")


class External(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 -> the same shape, 0..1, by a model that spandrel has loaded.

    H and W have to be multiples of `multiple`. Where what the model asks for does not divide a
    cell, each tile is continued by reflection to fit the model. It runs in bfloat16 only where it
    is known to.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        asked = max(descriptor.size_requirements.multiple_of, _LEAST_MULTIPLE)
        self.multiple = asked if CELL % asked == 0 else _LEAST_MULTIPLE
        self.halo = max(_LEAST_HALO, self.multiple)
        self.model = descriptor.model  # so that it moves with this module
        self._descriptor = descriptor

    def forward(self, x: Tensor) -> Tensor:
        """The model's result; see the class."""
        device = x.device.type
        narrow = torch.is_autocast_enabled(device) and self._descriptor.supports_bfloat16
        with torch.autocast(device, torch.bfloat16, enabled=narrow):
            # A descriptor takes one picture at a time.
            restored = [self._descriptor(picture[None]) for picture in x]
        return torch.cat(restored)


def load_external(path: Path, tensors: Mapping[str, Tensor]) -> External:
    """The model that these tensors are for, with them.

    Args:
        path: Where the tensors come from, for the sentences of errors.
        tensors: All tensors of the checkpoint by name.

    Raises:
        WeightsError: spandrel is not installed or does not know the model, or the model does not
            give an RGB picture of the same size for an RGB picture.
    """
    try:
        spandrel = import_spandrel()
    except ImportError as error:
        raise WeightsError(
            f"{path} is a checkpoint of another program, which takes the extra models: "
            "pip install 'demoire[models]'."
        ) from error
    except RuntimeError as error:  # torchvision's, when it does not fit this torch
        raise WeightsError(
            f"{path} needs spandrel, whose torchvision was built for another torch; "
            "install both from the same index."
        ) from error
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(dict(tensors))
    except spandrel.UnsupportedModelError as error:
        raise WeightsError(
            f"spandrel does not know what {path} is for; name other weights."
        ) from error
    except Exception as error:  # each of its architectures raises in its own way
        raise WeightsError(
            f"{path} is not whole: a part of the network that it seems to be for is missing."
        ) from error
    name = descriptor.architecture.name
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise WeightsError(
            f"{path} is for {name}, which wants a mask with each picture; "
            "name weights of a restorer."
        )
    if descriptor.scale != 1:
        raise WeightsError(
            f"{path} is for {name}, which enlarges {descriptor.scale} times; "
            "name weights of a restorer."
        )
    channels_in = descriptor.input_channels
    channels_out = descriptor.output_channels
    if (channels_in, channels_out) != (3, 3):
        raise WeightsError(
            f"{path} is for {name} with {channels_in} channels in and {channels_out} out; "
            "name weights of a restorer."
        )
    return External(descriptor)


def import_spandrel() -> Any:
    """The module spandrel, also where torchvision was built for CUDA and torch was not.

    spandrel uses some of torchvision's functions on tensors, and none of its compiled operators.
    The torchvision of the package index is built for the CUDA torch of the same version. Beside the
    CPU build of that torch its compiled part does not load, which torchvision would bear, if it did
    not describe two operators that then do not exist. So these two are declared, without an
    implementation, and the import is tried once more.

    Raises:
        ImportError: spandrel is not installed.
        RuntimeError: torchvision does not fit this torch at all.
    """
    try:
        return importlib.import_module("spandrel")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for operator in _TORCHVISION_OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(f"torchvision::{operator}", _BOXES_AND_SCORES)
    return importlib.import_module("spandrel")
