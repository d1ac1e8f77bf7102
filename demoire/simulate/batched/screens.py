"""Photographs of screens by the batch: `demoire.simulate.screen`, in torch.

Cameras, panels and poses are drawn as they are there, by the same functions, on the CPU (0.6 ms a
pair); all that has pixels is done on the device. Two things are simpler. A batch shares how much
smaller its files are than the sensor, since its pictures have to be of one size. And the scene is
not first resized to the screen's pixels: it is looked up at their centres, in the coarser of its
copies that fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from demoire.simulate.batched.capture import Cameras, develop_each
from demoire.simulate.batched.filters import blur_each
from demoire.simulate.capture import (
    MOST_ENLARGED,
    Development,
    draw_development,
    draw_shrink,
    sensor_side,
)
from demoire.simulate.screen import TEXELS, Panel, Pose, draw_panel, draw_pose, draw_ratio

_LENS_RADIUS = 6  # px: four times the largest sigma
_ATLAS = 2 * TEXELS  # texels: after so many every panel repeats
_COARSEST = 3  # times that a scene is halved, at most
_CLOSE = 1.2  # camera pixels a screen pixel, from which on pixels' edges are seen


@dataclass(frozen=True)
class Shot:
    """All that is drawn of one photograph but for its scene."""

    development: Development
    ratio: float  # camera pixels per screen pixel
    panel: Panel
    pose: Pose
    extent: float  # share of the scene's side that the screen shows
    corner: tuple[float, float]  # where it begins, of what is left: across and down, 0..1
    enlarged: float  # times, where the screen has more pixels than the scene
    ambient: float  # the room's light on the glass
    exposure: float
    blur: float  # px of the camera, sigma: optics and anti-aliasing filter


@dataclass(frozen=True)
class ShotBatch:
    """Photographs of one size before they are taken."""

    shots: Sequence[Shot]
    size: int  # px, of the files
    side: int  # px, of the sensor's part that they show
    oversampling: int


@dataclass(frozen=True)
class PairBatch:
    """Pictures with moiré and their exact twins without, on the device."""

    moire: Tensor  # (N, 3, size, size) uint8 sRGB
    clean: Tensor  # the same
    strength: Tensor  # (N,), as in `demoire.simulate.simulator.Pair`


def draw_shots(count: int, size: int, rng: np.random.Generator) -> ShotBatch:
    """Draw some photographs of screens.

    Args:
        count: How many.
        size: Side of the pictures to be, px, even.
        rng: Decides everything.
    """
    shrink = draw_shrink(rng)
    side = sensor_side(size, shrink)
    oversampling = 2 if shrink > 0.75 else 1
    shots = []
    for _ in range(count):
        development = draw_development(rng)
        ratio = draw_ratio(rng)
        shots.append(
            Shot(
                development=development,
                ratio=ratio,
                panel=draw_panel(rng, 0.35 / (oversampling * ratio)),
                pose=draw_pose(rng),
                extent=float(rng.uniform(0.4, 1.0)),
                corner=(float(rng.random()), float(rng.random())),
                enlarged=float(rng.uniform(1, MOST_ENLARGED)),
                ambient=float(rng.uniform(0, 0.02)),
                exposure=float(rng.uniform(0.6, 1.0)),
                blur=float(rng.uniform(0.2, 0.65)),
            )
        )
    return ShotBatch(shots, size, side, oversampling)


def photograph_screens(batch: ShotBatch, scenes: Tensor, generator: torch.Generator) -> PairBatch:
    """Take photographs of scenes that screens show.

    Not every pair shows its moiré: whoever wants those that do looks at their strength.

    Args:
        batch: What was drawn.
        scenes: (N, 3, S, S) uint8 sRGB, one a photograph; S a multiple of 8. The device decides
            where all is done.
        generator: Draws the noise; on the same device.
    """
    device = scenes.device
    u, v = screen_coordinates(batch, device)
    plain = _looked_at(_to_linear(scenes), batch, u, v)
    lit = plain * _subpixels([shot.panel for shot in batch.shots], u, v)
    ambient = _numbers([shot.ambient for shot in batch.shots], device)
    exposure = _numbers([shot.exposure for shot in batch.shots], device)
    blur = _numbers([shot.blur for shot in batch.shots], device).flatten()
    lights = []
    for light in (lit, plain):
        light = blur_each(exposure * light + ambient, blur * batch.oversampling, _LENS_RADIUS)
        lights.append(F.avg_pool2d(light, batch.oversampling))
    with_moire, without = lights
    cameras = Cameras.of([shot.development for shot in batch.shots], device)
    return PairBatch(*develop_each(with_moire, without, batch.size, cameras, generator))


def screen_coordinates(batch: ShotBatch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which screen pixel each camera sample looks at, from the middle of the patch: u and v.

    Each is (N, side * oversampling, side * oversampling). See `screen.posed_coordinates`.
    """
    side = batch.side
    poses = [shot.pose for shot in batch.shots]
    ratio = _planes([shot.ratio for shot in batch.shots], device)
    angle = _planes([pose.angle for pose in poses], device)
    count = side * batch.oversampling
    axis = (torch.arange(count, device=device) + 0.5) / batch.oversampling - side / 2
    x = axis[None, None, :]
    y = axis[None, :, None]
    far = (x**2 + y**2) / (side**2 / 2)
    lens = 1 + _planes([pose.lens for pose in poses], device) * far
    x, y = x * lens, y * lens
    right = _planes([pose.tilt[0] for pose in poses], device)
    down = _planes([pose.tilt[1] for pose in poses], device)
    depth = (1 + (right * x + down * y) / side) * ratio
    u = (angle.cos() * x - angle.sin() * y) / depth
    v = (angle.sin() * x + angle.cos() * y) / depth
    u = u + _planes([pose.bend for pose in poses], device) * v**2 * ratio / side
    across = _planes([pose.shift[0] for pose in poses], device)
    along = _planes([pose.shift[1] for pose in poses], device)
    return u + across, v + along


def _numbers(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None, None]


def _planes(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def _to_linear(scenes: Tensor) -> Tensor:
    """sRGB bytes to linear light 0..1 (IEC 61966-2-1)."""
    codes = torch.arange(256, device=scenes.device) / 255
    curve = torch.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return curve[scenes.long()]


def _looked_at(scenes: Tensor, batch: ShotBatch, u: Tensor, v: Tensor) -> Tensor:
    """The screens' pixels as the samples see them, without subpixels, (N, 3, H, W)."""
    device = scenes.device
    side = scenes.shape[-1]
    extents = []  # of the scene's side that all screen pixels show; above 1 the rest is mirrored
    shares = []  # and that one screen pixel shows
    for shot in batch.shots:
        # As many as the patch shows, and a tenth more.
        pixels = max(32, int(batch.side / shot.ratio * 1.1))
        extent_of_shot = max(shot.extent, pixels / side)
        if pixels > side:
            extent_of_shot = pixels / side / shot.enlarged
        extents.append(extent_of_shot)
        shares.append(extent_of_shot / pixels)
    extent = _planes(extents, device)
    spare = (1 - extent).clamp_min(0)
    share = _planes(shares, device)
    is_close = _planes([shot.ratio for shot in batch.shots], device) > _CLOSE
    u = torch.where(is_close, u.floor() + 0.5, u)
    v = torch.where(is_close, v.floor() + 0.5, v)
    left = _planes([shot.corner[0] for shot in batch.shots], device) * spare
    top = _planes([shot.corner[1] for shot in batch.shots], device) * spare
    across = left + extent / 2 + u * share
    along = top + extent / 2 + v * share
    grid = torch.stack([across, along], dim=-1) * 2 - 1
    seen = scenes.new_empty(len(scenes), 3, *u.shape[1:])
    levels = [_level(one * side) for one in shares]
    for level in sorted(set(levels)):
        chosen = torch.tensor([one == level for one in levels], device=device)
        coarse = F.avg_pool2d(scenes[chosen], 2**level)
        seen[chosen] = F.grid_sample(
            coarse, grid[chosen], "bilinear", padding_mode="reflection", align_corners=False
        )
    return seen


def _level(step: float) -> int:
    """How often a scene is halved that is looked at every `step` px."""
    return int(np.clip(round(np.log2(max(step, 1.0))), 0, _COARSEST))


def _subpixels(panels: Sequence[Panel], u: Tensor, v: Tensor) -> Tensor:
    """The light of the subpixels under each sample, (N, 3, H, W)."""
    masks = []
    for panel in panels:
        repeats = 2 // panel.period
        mask = np.tile(panel.mask, (repeats, repeats, 1)).transpose(2, 0, 1)
        masks.append(torch.from_numpy(np.ascontiguousarray(mask)))
    atlas = torch.stack(masks).to(u.device)
    column = (u * TEXELS).int() % _ATLAS
    row = (v * TEXELS).int() % _ATLAS
    index = (row * _ATLAS + column).long().flatten(1)[:, None].expand(-1, 3, -1)
    light = atlas.flatten(2).gather(2, index)
    return light.reshape(len(panels), 3, *u.shape[1:])
