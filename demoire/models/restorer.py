"""The restorers: what they have in common, which there are, and how a configuration chooses one.

Every restorer is a network (N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without. It
declares these facts:

    multiple   px. H and W have to be multiples of it, and windows are cut on its grid.
               It divides the side of a cell.
    halo       px of its surroundings that a window needs on each side, so that it comes out as the
               same part of the whole picture does.
    most       Pixels that a window may have at most: as many as take some 0.8 GB on a CPU. One that
               does not declare it gets 4 MP.
    config     Its structure, whose field `architecture` names it.

`unet` is the default and the fastest. Costs, from 5 to 439 kMAC a pixel, are in the docstrings of
the architectures' modules.
"""

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter

from demoire.models.dmcnn import DMCNN, DMCNNConfig
from demoire.models.esdnet import ESDNet, ESDNetConfig
from demoire.models.transformer import Transformer, TransformerConfig
from demoire.models.unet import UNet, UNetConfig

Restorer = UNet | DMCNN | Transformer | ESDNet

ARCHITECTURES: dict[str, type[Restorer]] = {
    "unet": UNet,
    "dmcnn": DMCNN,
    "transformer": Transformer,
    "esdnet": ESDNet,
}


def _architecture(config: Any) -> Any:
    """The name by which pydantic chooses a configuration's class; "unet" where there is none."""
    if isinstance(config, dict):
        return config.get("architecture", "unet")
    return getattr(config, "architecture", None)


RestorerConfig = Annotated[
    Annotated[UNetConfig, Tag("unet")]
    | Annotated[DMCNNConfig, Tag("dmcnn")]
    | Annotated[TransformerConfig, Tag("transformer")]
    | Annotated[ESDNetConfig, Tag("esdnet")],
    Discriminator(
        _architecture,
        custom_error_type="unknown_architecture",
        custom_error_message=(
            f"there is no such architecture; use one of {', '.join(ARCHITECTURES)}"
        ),
    ),
]
"""The structure of a restorer of any architecture.

Networks of equal configurations can load each other's weights.
"""

_CONFIG: TypeAdapter[RestorerConfig] = TypeAdapter(RestorerConfig)


def build_restorer(config: RestorerConfig) -> Restorer:
    """A restorer of this structure with fresh weights, drawn from torch's random numbers."""
    architecture: Any = ARCHITECTURES[config.architecture]
    restorer: Restorer = architecture(config)
    return restorer


def structure(config: RestorerConfig) -> dict[str, Any]:
    """The fields of a configuration as a weights file holds them, without the architecture."""
    fields = asdict(config)
    del fields["architecture"]
    return fields


def restorer_config(architecture: str, structure: dict[str, Any]) -> RestorerConfig:
    """The inverse of `structure`.

    Raises:
        pydantic.ValidationError: There is no such architecture, or it has no such structure.
    """
    return _CONFIG.validate_python({**structure, "architecture": architecture})
