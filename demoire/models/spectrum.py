"""Power spectra of cells, where moiré, dots and pixel grids stand out as peaks.

A pattern of two steps in 255 hides in the texture of a photograph, but its energy lies in a few
frequencies, and the texture's in all of them. Averaging the periodograms of many windows makes the
peaks steady.

References:
    Welch: "The use of fast Fourier transform for the estimation of power spectra", IEEE
    Transactions on Audio and Electroacoustics, 1967.
"""

import torch
from torch import Tensor

from demoire.models.precision import full_precision

WINDOW = 64  # px: a peak is 2 cycles in 64 px wide, so periods of 8 px and of 10 px are apart
PLANES = 2  # green, and red less blue
_FLOOR = 1e-5  # added to the power: eight times what rounding to 8 bits leaves at each frequency


def log_spectra(x: Tensor) -> Tensor:
    """The logarithm of the mean power spectrum, of green and of red less blue.

    Windows of 64 px lie side by side; what is left over at the right and at the bottom is ignored.

    Args:
        x: (N, 3, H, W) sRGB 0..1, H and W at least 64.

    Returns:
        (N, 2, 64, 33), natural logarithms. Rows are the frequencies 0, 1 ... 31, -32 ... -1 in
        cycles per window downwards, columns 0 ... 32 to the right.
    """
    # What the steps leave for one cell fits into a CPU's cache; a GPU would wait for the loop.
    batch = 1 if x.device.type == "cpu" else len(x)
    with full_precision(x.device), torch.no_grad():
        window = _window(x)
        spectra = [_spectra(part, window) for part in torch.split(x, batch)]
        return (torch.cat(spectra) + _FLOOR).log()


def _window(like: Tensor) -> Tensor:
    """Hann's window in both directions, of unit energy."""
    bell = torch.hann_window(WINDOW, device=like.device, dtype=like.dtype)
    window = bell[:, None] * bell
    return window / window.square().sum().sqrt()


def _spectra(cells: Tensor, window: Tensor) -> Tensor:
    """Mean power over the windows of each cell: (N, 3, H, W) -> (N, 2, 64, 33)."""
    rows = cells.shape[2] // WINDOW
    columns = cells.shape[3] // WINDOW
    whole = cells[:, :, : rows * WINDOW, : columns * WINDOW]
    red, green, blue = whole.unbind(dim=1)
    # Written in place where that goes: what one step leaves is still in the cache for the next.
    windows = cells.new_empty(PLANES, len(cells), rows, columns, WINDOW, WINDOW)
    for number, plane in enumerate((green, red - blue)):
        side_by_side = plane.reshape(-1, rows, WINDOW, columns, WINDOW).transpose(2, 3)
        torch.mul(side_by_side, window, out=windows[number])
    squares = torch.view_as_real(torch.fft.rfft2(windows)).square_()
    power = squares.flatten(2, 3).sum(dim=2).sum(dim=-1)
    return power.transpose(0, 1) / (rows * columns)
