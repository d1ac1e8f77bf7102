"""Samples as the networks take them, and what they give as samples again.

Both cost passes over 12 bytes a pixel: about 1.5 ms a megapixel on a core.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from demoire.imaging.codecs.raster import Pixels


def floats_of(cuts: Sequence[Pixels], device: torch.device) -> Tensor:
    """What the networks take of some pixels.

    Args:
        cuts: (H, W, 1 or 3) uint8 or uint16 over the full range of their type, all alike.
        device: Where the networks are.

    Returns:
        (N, 3, H, W) float32 0..1 there, channels last.
    """
    full_scale = float(np.iinfo(cuts[0].dtype).max)
    if device.type == "cpu":
        x = torch.empty((len(cuts), *cuts[0].shape))
        for cut, floats in zip(cuts, x.numpy(), strict=True):
            # numpy converts what is in the cache, where torch writes whole pictures in between.
            np.divide(cut, np.float32(full_scale), out=floats)
    else:
        stacked = np.stack(cuts)
        if stacked.dtype != np.uint8:
            stacked = stacked.astype(np.float32)  # torch does little with uint16
        x = torch.from_numpy(stacked).to(device).to(torch.float32).div_(full_scale)
    x = x.permute(0, 3, 1, 2)
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def rounded_samples(values: Tensor, dtype: np.dtype[Any]) -> Pixels:
    """(h, w, C) 0..1 as samples here: rounded half to even and kept in the range of the type.

    On a CPU by OpenCV, which takes a quarter of torch's time; what lies on a GPU becomes smaller
    there, since each byte that comes from it costs this machine time.
    """
    full_scale = float(np.iinfo(dtype).max)
    if values.device.type == "cpu":
        depth = cv2.CV_8U if dtype == np.uint8 else cv2.CV_16U
        rows = values.reshape(len(values), -1).numpy()
        # The one call that multiplies, rounds and converts at once; the second term is nothing.
        samples = cv2.addWeighted(rows, full_scale, rows, 0, 0, dtype=depth)
        return np.asarray(samples).reshape(values.shape)
    levels = values.mul(full_scale).round_().clamp_(0, full_scale)
    if dtype == np.uint8:
        levels = levels.to(torch.uint8)
    return levels.contiguous().cpu().numpy().astype(dtype, copy=False)
