"""The two models on one device: batches of cells and tiles in, probabilities and changes out.

Pixels come as they were decoded and are turned into floats on the device. Batches are bounded in
pixels; one that does not fit the GPU's memory is halved and tried again, and the bound is
remembered. Calls are taken one at a time, so an engine may be shared by threads.
"""

import logging
import threading
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demoire.cleaning.grid import Tile
from demoire.errors import UsageError
from demoire.imaging.codecs.raster import Pixels
from demoire.models.detector import Detector
from demoire.models.layers import exact_float32
from demoire.moire import CELL

_LOG = logging.getLogger(__name__)
_BATCH_PIXELS = {"cpu": 1 << 20, "cuda": 1 << 22}
_HALO, _MULTIPLE = 64, 32  # of a restorer that does not declare its own


def find_device(name: str) -> torch.device:
    """The device of this name; "auto" is the first GPU if there is one, else the CPU. Raises
    UsageError.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise UsageError(f"There is no device '{name}'; use auto, cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise UsageError(
            f"The device {name} is not there ({count} GPUs are seen); use --device auto or cpu."
        )
    return torch.device("cuda", int(number or 0))


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; without them bfloat16 is slower than float32."""
    if device.type == "cuda":
        return True
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


class Engine:
    """A detector and a restorer on a device.

    On a GPU both compute in bfloat16, the restorer for 8-bit pictures alone, since 16-bit ones hold
    finer steps. On a CPU that can, the restorer does too: 1.6 times the speed of one core, for a
    rounding error of 0.2 in 255 (RMS). The detector stays with float32 there, so that a score is
    the same on all CPUs but for its last digits.
    """

    def __init__(self, detector: Detector, restorer: nn.Module, device: torch.device) -> None:
        exact_float32(device)  # for what the networks keep out of bfloat16, and for 16-bit pictures
        self.device = device
        self.batch_pixels = _BATCH_PIXELS[device.type]
        self.judges_in_bfloat16 = device.type == "cuda"
        self.restores_in_bfloat16 = _multiplies_bfloat16(device)
        # where one tile keeps all threads busy, a batch gains nothing
        self.restores_together = device.type != "cpu"
        self.halo = int(getattr(restorer, "halo", _HALO))
        self.multiple = int(getattr(restorer, "multiple", _MULTIPLE))
        self._detector = detector
        self._restorer = restorer
        self._lock = threading.Lock()

    def judge(self, cells: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Cells of (256, 256, 3) uint8 -> probabilities (N, 4) in the order of `detector.KINDS`.

        A short batch is filled up: which cells meet in a batch depends on timing, and a network's
        last digits on the batch's size, but a score must be the same in every run.
        """
        found: list[NDArray[np.float32]] = []
        while len(found) < len(cells):
            count = max(1, self.batch_pixels // CELL**2)
            batch = list(cells[len(found) : len(found) + count])
            batch += [np.zeros_like(cells[0])] * (count - len(batch))
            with self._lock:
                found += self._fitting(batch, self._judge)
        return np.stack(found[: len(cells)])

    def restore(self, tiles: Sequence[Tile], windows: Sequence[Pixels]) -> list[NDArray]:
        """What the restorer adds to each tile over its reach, (h, w, C), in units of full scale.

        windows: the tiles' cuts, all of one shape (H, W, 1 or 3) and type. float16 for 8-bit
        windows, float32 for 16-bit. What is not finite stays so. Tiles are restored one by one, or
        in batches that are filled up, for the same reason as in `judge`.
        """
        found: list[NDArray] = []
        pixels = windows[0].shape[0] * windows[0].shape[1]
        filling = tiles[0], np.zeros_like(windows[0])
        while len(found) < len(tiles):
            count = max(1, self.batch_pixels // pixels) if self.restores_together else 1
            part = slice(len(found), len(found) + count)
            batch = list(zip(tiles[part], windows[part], strict=True))
            batch += [filling] * (count - len(batch))
            with self._lock:
                found += self._fitting(batch, self._restore)
        return found[: len(tiles)]

    def _fitting(self, batch, run):  # type: ignore[no-untyped-def]
        """Run as much of the batch's beginning as fits the device's memory."""
        while True:
            try:
                return run(batch)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
            self.batch_pixels //= 2
            torch.cuda.empty_cache()
            batch = batch[: (len(batch) + 1) // 2]
            _LOG.warning(
                "The device is out of memory: batches go down to %.2f MP.", self.batch_pixels / 1e6
            )

    def _judge(self, cells: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        with torch.inference_mode(), self.autocast(self.judges_in_bfloat16):
            probabilities = self._detector.probabilities(self._floats(cells))
            return list(probabilities.float().cpu().numpy())

    def _restore(self, batch: Sequence[tuple[Tile, Pixels]]) -> list[NDArray]:
        windows = [window for _, window in batch]
        grey, narrow = windows[0].shape[2] == 1, windows[0].dtype == np.uint8
        with torch.inference_mode():
            x = self._floats(windows)
            with self.autocast(self.restores_in_bfloat16 and narrow):
                change = self._restorer(x)
            change = change.float() - x
            if grey:
                change = change.mean(dim=1, keepdim=True)
            change = change.permute(0, 2, 3, 1)
            if narrow:
                change = change.half()
            return [
                change[i][tile.used].contiguous().cpu().numpy() for i, (tile, _) in enumerate(batch)
            ]

    def autocast(self, enabled: bool) -> torch.autocast:
        """Within it, layers on this device compute in bfloat16 where `enabled`."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _floats(self, windows: Sequence[Pixels]) -> Tensor:
        """(H, W, 1 or 3) uint8 or uint16 each -> (N, 3, H, W) float32 0..1, channels last."""
        stacked = np.stack(windows)
        full = float(np.iinfo(stacked.dtype).max)
        raw = torch.from_numpy(stacked if stacked.dtype == np.uint8 else stacked.astype(np.float32))
        x = raw.to(self.device).permute(0, 3, 1, 2).to(torch.float32).div_(full)
        return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
