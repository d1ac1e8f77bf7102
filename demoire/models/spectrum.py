"""Power spectra of tiles: where moiré, dots and pixel grids stand out as peaks, however faint they
are to the eye.

A pattern of two steps in 255 hides in the texture of a photograph, but its energy lies in a few
frequencies and the texture's in all of them. Averaging the periodograms of many windows makes the
peaks steady (Welch, 1967).
"""

import torch
from torch import Tensor

from demoire.models.layers import full_precision

WINDOW = 64  # px: a peak is 2 cycles in 64 px wide, so periods of 8 px and of 10 px are apart
PLANES = 2  # green, and red less blue
_FLOOR = 1e-5  # added to the power: eight times what rounding to 8 bits leaves at each frequency


def _window(like: Tensor) -> Tensor:
    """Hann's window in both directions, of unit energy."""
    bell = torch.hann_window(WINDOW, device=like.device, dtype=like.dtype)
    window = bell[:, None] * bell
    return window / window.square().sum().sqrt()


def _spectra(tiles: Tensor, window: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 2, 64, 33). A plane at a time: what a step leaves stays in a CPU's cache
    for the next.
    """
    down, across = tiles.shape[2] // WINDOW, tiles.shape[3] // WINDOW
    red, green, blue = tiles[:, :, : down * WINDOW, : across * WINDOW].unbind(dim=1)
    spectra = []
    for plane in (green, red - blue):
        windows = plane.reshape(-1, down, WINDOW, across, WINDOW).transpose(2, 3) * window
        power = torch.view_as_real(torch.fft.rfft2(windows)).square().sum(dim=(1, 2)).sum(dim=-1)
        spectra.append(power / (down * across))
    return torch.stack(spectra, dim=1)


def log_spectra(x: Tensor) -> Tensor:
    """(N, 3, H, W) sRGB 0..1, H and W at least 64 -> (N, 2, 64, 33), the natural logarithm of mean
    power.

    Of green and of red less blue, over windows of 64 px side by side; what is left over at the
    right and the bottom is passed by. Rows are the frequencies 0, 1 ... 31, -32 ... -1 in cycles
    per window downwards, columns 0 ... 32 to the right.
    """
    with full_precision(x.device), torch.no_grad():
        window = _window(x)
        # a cache holds one tile; a GPU waits for a loop
        at_once = 1 if x.device.type == "cpu" else len(x)
        return (torch.cat([_spectra(tiles, window) for tiles in x.split(at_once)]) + _FLOOR).log()
