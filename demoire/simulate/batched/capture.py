"""What cameras do to a batch of lights: `demoire.simulate.capture`, in torch.

The cameras are the same `Development`s, one for each picture, and every step is done as it is
there, so that a network cannot tell which of the two made its pairs. Tests compare the two picture
by picture.

Pictures are (N, 3, S, S) float32 on any device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from demoire.simulate.batched.filters import blur_each, resize_each
from demoire.simulate.batched.jpeg import compress
from demoire.simulate.bayer import BAYER_CHANNELS
from demoire.simulate.capture import Development

_CHROMA_RADIUS = 7  # px, of the widest smoothing of chroma: four times its sigma
_SHARPEN_RADIUS = 6
_BRIGHTEST = 2.0  # light, beyond which a raw value of 16 bits clips
# What bilinear demosaicing makes of a plane that has every second or fourth of its pixels.
_OF_GREEN = ((0, 1, 0), (1, 4, 1), (0, 1, 0))
_OF_RED_AND_BLUE = ((1, 2, 1), (2, 4, 2), (1, 2, 1))


@dataclass(frozen=True)
class Cameras:
    """The settings of one camera a picture, on the pictures' device.

    Attributes:
        layout: (N, 3, 2, 2), 1 where a pixel of the mosaic has the colour, else 0.
        has_mosaic: (N,) bool.
        is_edge_aware: (N,) bool.
        tone: (N, T), light to sRGB 0..1.
        gains: (N, 3).
        resampling: Of each picture with moiré, for OpenCV.
        jpeg: Of each JPEG on the way: (N,) qualities, (N,) whether chroma has half the size, and
            (N,) whether the picture was written so often.
        The others: (N,), as `Development` has them.
    """

    layout: Tensor
    has_mosaic: Tensor
    is_edge_aware: Tensor
    shot_noise: Tensor
    read_noise: Tensor
    denoise: Tensor
    vignette: Tensor
    gains: Tensor
    tone: Tensor
    sharpen: Tensor
    sharpen_sigma: Tensor
    resampling: tuple[int, ...]
    jpeg: tuple[tuple[Tensor, Tensor, Tensor], ...]

    @staticmethod
    def of(developments: Sequence[Development], device: torch.device) -> "Cameras":
        """The cameras that are described by these."""

        def numbers(name: str) -> Tensor:
            return torch.tensor([getattr(one, name) for one in developments], device=device)

        return Cameras(
            layout=torch.stack([_layout(one.bayer) for one in developments]).to(device),
            has_mosaic=torch.tensor([one.bayer is not None for one in developments], device=device),
            is_edge_aware=numbers("edge_aware"),
            shot_noise=numbers("shot_noise"),
            read_noise=numbers("read_noise"),
            denoise=numbers("denoise"),
            vignette=numbers("vignette"),
            gains=numbers("gains"),
            tone=torch.stack([torch.from_numpy(one.tone) for one in developments]).to(device),
            sharpen=numbers("sharpen"),
            sharpen_sigma=numbers("sharpen_sigma"),
            resampling=tuple(one.resampling for one in developments),
            jpeg=_jpegs(developments, device),
        )


def develop_each(
    with_moire: Tensor, without: Tensor, size: int, cameras: Cameras, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Take the lights of some scenes, with the pattern and without it, to pictures.

    Args:
        with_moire: (N, 3, S, S) with S even, at least `size`.
        without: The same shape.
        size: Side of the pictures, px.
        cameras: N of them.
        generator: Draws the noise; on the device of the lights.

    Returns:
        The pictures with moiré and their targets, (N, 3, size, size) uint8, and the strength of
        each pattern, (N,), as `pattern_strength` has it.
    """
    area = (cv2.INTER_AREA,) * len(with_moire)
    noise = torch.randn(with_moire.shape, device=with_moire.device, generator=generator)
    noisy = _finish(_sensor(with_moire, cameras, noise), cameras, size, cameras.resampling)
    target = _finish(without, cameras, size, area)
    seen = []
    for light in (with_moire, without):
        picture = _finish(_sensor(light, cameras, None), cameras, size, cameras.resampling)
        seen.append(picture.clamp(0, 1))
    pattern, plain = seen
    strength = 255 * (pattern - plain).square().mean(dim=(1, 2, 3)).sqrt()
    picture = _in_whole_numbers(noisy)
    for qualities, has_half_chroma, is_written in cameras.jpeg:
        compressed = compress(picture, qualities, has_half_chroma)
        picture = torch.where(is_written[:, None, None, None], compressed, picture)
    return picture.to(torch.uint8), _in_whole_numbers(target).to(torch.uint8), strength


def _layout(bayer: int | None) -> Tensor:
    layout = torch.zeros(3, 2, 2)
    for number, channel in enumerate(BAYER_CHANNELS[bayer or 0]):
        row, column = divmod(number, 2)
        layout[channel, row, column] = 1
    return layout


def _jpegs(
    developments: Sequence[Development], device: torch.device
) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    times = max(len(one.jpeg) for one in developments)
    steps = []
    for number in range(times):
        settings = []
        for one in developments:
            is_written = number < len(one.jpeg)
            quality, has_half_chroma = one.jpeg[number] if is_written else (100, False)
            settings.append((quality, has_half_chroma, is_written))
        qualities, halves, written = zip(*settings, strict=True)
        steps.append(
            (
                torch.tensor(qualities, device=device),
                torch.tensor(halves, device=device),
                torch.tensor(written, device=device),
            )
        )
    return tuple(steps)


def _each(numbers: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1), to go with pictures."""
    return numbers[:, None, None, None]


def _sensor(light: Tensor, cameras: Cameras, noise: Tensor | None) -> Tensor:
    """What the sensors' pixels make of light, in three colours at each pixel."""
    has_mosaic = _each(cameras.has_mosaic)
    if noise is not None:
        # A pixel of a mosaic has one value, and so one noise.
        noise = torch.where(has_mosaic, noise[:, :1], noise)
        variance = _each(cameras.shot_noise) * light.clamp_min(0) + _each(cameras.read_noise) ** 2
        light = light + variance.sqrt() * noise
    seen = torch.where(has_mosaic, _demosaiced(light, cameras), light)
    if not cameras.denoise.any():
        return seen
    luma = seen.mean(dim=1, keepdim=True)
    return luma + blur_each(seen - luma, cameras.denoise, _CHROMA_RADIUS)


def _demosaiced(light: Tensor, cameras: Cameras) -> Tensor:
    """What is left of three colours once each pixel had only one of them."""
    height, width = light.shape[-2:]
    has = cameras.layout.repeat(1, 1, height // 2, width // 2)
    planes = light.clamp(0, _BRIGHTEST) * has
    kernels = light.new_tensor((_OF_RED_AND_BLUE, _OF_GREEN, _OF_RED_AND_BLUE)) / 4
    padded = F.pad(planes, (1, 1, 1, 1), "reflect")
    colours = F.conv2d(padded, kernels[:, None], groups=3)
    if not cameras.is_edge_aware.any():
        return colours
    # OpenCV's edge-aware method: green along the direction in which its neighbours differ less.
    green = padded[:, 1:2]
    left, right = green[..., 1:-1, :-2], green[..., 1:-1, 2:]
    above, below = green[..., :-2, 1:-1], green[..., 2:, 1:-1]
    is_vertical = (left - right).abs() > (above - below).abs()
    along = torch.where(is_vertical, above + below, left + right) / 2
    along = torch.where(has[:, 1:2] > 0, planes[:, 1:2], along)
    along = torch.where(_each(cameras.is_edge_aware), along, colours[:, 1:2])
    return torch.cat([colours[:, :1], along, colours[:, 2:]], dim=1)


def _finish(light: Tensor, cameras: Cameras, size: int, methods: Sequence[int]) -> Tensor:
    """Vignetting, white balance, tone, resizing and sharpening: light to sRGB 0..1."""
    side = light.shape[-1]
    axis = torch.linspace(-1, 1, side, device=light.device) ** 2
    far = axis[:, None] + axis[None, :]  # squared distance from the centre, 2 in the corners
    light = light * (1 - _each(cameras.vignette) * 0.5 * far)
    last = cameras.tone.shape[1] - 1
    index = (light * cameras.gains[:, :, None, None] * last).clamp(0, last) + 0.5
    toned = cameras.tone.gather(1, index.long().flatten(1)).reshape(light.shape)
    picture = resize_each(toned, size, methods)
    if not cameras.sharpen.any():
        return picture
    blurred = blur_each(picture, cameras.sharpen_sigma, _SHARPEN_RADIUS)
    return picture + _each(cameras.sharpen) * (picture - blurred)


def _in_whole_numbers(picture: Tensor) -> Tensor:
    return (picture * 255 + 0.5).clamp(0, 255).floor()
