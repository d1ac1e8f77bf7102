"""The restorers: what all of them are, which there are, and how a configuration chooses one.

Every restorer is a network (N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without,
that declares

    multiple   px; H and W have to be multiples of it, and tiles are cut on its grid. It divides a detector cell's side
    halo       px of its surroundings that a tile needs on each side, so that neighbouring tiles agree
    config     its structure, whose field `architecture` names it

`unet` is the default and the fastest. Costs, from 5 to 439 kMAC a pixel, are in the files of
`demoire.models`.
"""

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter

from demoire.models.dmcnn import DMCNN, DMCNNConfig
from demoire.models.esdnet import ESDNet, ESDNetConfig
from demoire.models.transformer import Transformer, TransformerConfig
from demoire.models.unet import FAST, UNet, UNetConfig

__all__ = [
    "ARCHITECTURES",
    "DMCNNConfig",
    "ESDNetConfig",
    "FAST",
    "Restorer",
    "RestorerConfig",
    "TransformerConfig",
    "UNetConfig",
    "build_restorer",
    "restorer_config",
    "structure",
]

Restorer = UNet | DMCNN | Transformer | ESDNet

ARCHITECTURES: dict[str, type[Restorer]] = {
    "unet": UNet,
    "dmcnn": DMCNN,
    "transformer": Transformer,
    "esdnet": ESDNet,
}


def _architecture(config: Any) -> Any:
    """What decides which kind of configuration this is: `architecture`, and where it is not said,
    the default.
    """
    return (
        config.get("architecture", "unet")
        if isinstance(config, dict)
        else getattr(config, "architecture", None)
    )


RestorerConfig = Annotated[
    Annotated[UNetConfig, Tag("unet")]
    | Annotated[DMCNNConfig, Tag("dmcnn")]
    | Annotated[TransformerConfig, Tag("transformer")]
    | Annotated[ESDNetConfig, Tag("esdnet")],
    Discriminator(
        _architecture,
        custom_error_type="unknown_architecture",
        custom_error_message=f"there is no such architecture; use one of {', '.join(ARCHITECTURES)}",
    ),
]
"""The structure of a restorer of any architecture. Equal ones make networks that can load each other's weights."""


def build_restorer(config: RestorerConfig) -> Restorer:
    """A restorer of this structure with fresh weights, drawn from torch's random numbers."""
    return ARCHITECTURES[config.architecture](config)  # type: ignore[arg-type]  # each is built by its own kind


def structure(config: RestorerConfig) -> dict[str, Any]:
    """The fields of a configuration without the architecture's name, as a weights file holds
    them.
    """
    return {name: value for name, value in asdict(config).items() if name != "architecture"}


def restorer_config(architecture: str, structure: dict[str, Any]) -> RestorerConfig:
    """The inverse of `structure`. Raises pydantic's ValidationError for what is not known."""
    return TypeAdapter(RestorerConfig).validate_python({**structure, "architecture": architecture})
