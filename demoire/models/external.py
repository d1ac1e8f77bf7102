"""Restorers of others: any published checkpoint that the library spandrel knows (the extra
`[models]`).

spandrel recognises what network a checkpoint is for by the names and shapes of its tensors, and
says what sizes of pictures it takes. Nothing else is known of it: how far it looks is guessed, and
whether it takes moiré away is for `demoire evaluate` to say.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from demoire.errors import WeightsError
from demoire.moire import CELL

_MULTIPLE = 32  # px at least, so that tiles are cut as for the own restorers
_HALO = 64  # px at least; no checkpoint says how much it needs


class External(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 -> the same shape, 0..1, by a model that spandrel has loaded.

    H and W have to be multiples of `multiple`; where that of the model does not divide a cell, each
    tile is continued by reflection to what the model asks for. It runs in bfloat16 only where it is
    known to.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        asked = max(descriptor.size_requirements.multiple_of, _MULTIPLE)
        self.multiple = asked if CELL % asked == 0 else _MULTIPLE
        self.halo = max(_HALO, self.multiple)
        self.model = descriptor.model  # so that it moves with this module
        self._descriptor = descriptor

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        narrow = torch.is_autocast_enabled(device) and self._descriptor.supports_bfloat16
        with torch.autocast(device, torch.bfloat16, enabled=narrow):
            # it takes one picture at a time
            return torch.cat([self._descriptor(picture[None]) for picture in x])


def load_external(path: Path, tensors: Mapping[str, Tensor]) -> External:
    """The model that these tensors of `path` are for, with them.

    Raises WeightsError where spandrel is not installed or does not know it, and for a model that
    does not give an RGB picture of the same size for an RGB picture.
    """
    try:
        import spandrel
    except ImportError as error:
        raise WeightsError(
            f"{path} is a checkpoint of another program, which takes the extra models: pip install 'demoire[models]'."
        ) from error
    except RuntimeError as error:  # torchvision's, when it was built for another torch
        raise WeightsError(
            f"{path} needs spandrel, whose torchvision was built for another torch; install both from the same index."
        ) from error
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(dict(tensors))
    except spandrel.UnsupportedModelError as error:
        raise WeightsError(
            f"spandrel does not know what {path} is for; name other weights."
        ) from error
    except Exception as error:  # each of its architectures raises what it happens to raise
        raise WeightsError(
            f"{path} is not whole: a part of the network that it seems to be for is missing."
        ) from error
    name = descriptor.architecture.name
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise WeightsError(
            f"{path} is for {name}, which wants a mask with each picture; name weights of a restorer."
        )
    if descriptor.scale != 1:
        raise WeightsError(
            f"{path} is for {name}, which enlarges {descriptor.scale} times; name weights of a restorer."
        )
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (3, 3):
        raise WeightsError(
            f"{path} is for {name} with {channels[0]} channels in and {channels[1]} out; name weights of a restorer."
        )
    return External(descriptor)
