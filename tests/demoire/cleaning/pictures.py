"""Pictures as files, and a restorer whose output depends on all that it sees."""

import io

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from demoire.models.restorer import Restorer, RestorerConfig, build_restorer


def png(pixels: NDArray) -> bytes:
    if pixels.dtype == np.uint16:
        return bytes(imagecodecs.png_encode(pixels))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def scanned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a scanner makes of drawn pixels: hardly any two of them are alike."""
    noise = np.random.default_rng(2).integers(-2, 3, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def webp(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=60)
    return out.getvalue()


def area(
    height: int, width: int, top: int, left: int, bottom: int, right: int
) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def drawn_restorer(config: RestorerConfig) -> Restorer:
    """A restorer of this structure with random weights: what it adds depends on all that it
    sees.
    """
    torch.manual_seed(3)  # the biases, which are drawn when it is made
    generator = torch.Generator().manual_seed(5)
    network = build_restorer(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 4:
                scale = 0.7 / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return network
