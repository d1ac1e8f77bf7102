"""The two models on one device: cells and windows in, probabilities and restored tiles out.

Pixels come as they were decoded and are turned into floats on the device. Batches are bounded in
pixels; one that does not fit the GPU's memory is halved and tried again, and the bound is
remembered. An engine may be shared by threads: on a GPU calls are taken one at a time, on a CPU as
many as torch has threads.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demoire.cleaning.grid import Grid
from demoire.cleaning.network_samples import floats_of, rounded_samples
from demoire.cleaning.windows import Window, plan_windows
from demoire.errors import MachineError, UsageError
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels
from demoire.models.detector import Detector
from demoire.models.precision import multiplies_bfloat16, without_tf32
from demoire.moire import CELL

_LOG = logging.getLogger(__name__)

_BATCH_PIXELS = {"cpu": 1 << 20, "cuda": 1 << 22}

# px, and pixels of a window; of a restorer that does not declare its own.
_DEFAULT_HALO = 64
_DEFAULT_MULTIPLE = 32
_DEFAULT_MOST = 4_000_000

# What errors of a GPU begin with that is not simply out of memory. As a rule nothing can be
# computed in this process after one, so images that come next are not to blame.
_DEVICE_FAILURES = ("CUDA error", "cuDNN error", "HIP error")

_CutWindow: TypeAlias = tuple[Window, Pixels]  # a window and the pixels it cuts out
_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


@dataclass(frozen=True)
class RestoredTile:
    """What the restorer makes of a tile.

    Attributes:
        pixels: (h, w, C) over the tile's reach, in the type of the picture's pixels.
        brightness: The mean of all samples before they were rounded and kept in range, full scale
            1; not finite where one of them was not.
    """

    pixels: Pixels
    brightness: float


def find_device(name: str) -> torch.device:
    """The device of this name; "auto" is the first GPU if there is one, else the CPU.

    Raises:
        UsageError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    number = number or "0"
    if kind != "cuda" or not number.isdigit():
        raise UsageError(f"There is no device '{name}'; use auto, cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number) >= count:
        raise UsageError(
            f"The device {name} is not there ({count} GPUs are seen); use --device auto or cpu."
        )
    return torch.device("cuda", int(number))


class Engine:
    """A detector and a restorer on a device.

    On a GPU that has bfloat16 both compute in it; the restorer does so for 8-bit pictures only,
    since 16-bit ones hold finer steps. On a CPU with the instructions for it the restorer does too:
    1.6 times the speed of one core, for a rounding error of 0.2 in 255 (RMS). There the detector
    stays with float32, so that a score is the same on all CPUs but for its last digits.

    Attributes:
        device: Where both networks are.
        computes_on: "cpu": the networks share the machine's cores with all else; "cuda": they do
            not. A restorer that stands in for a GPU declares the latter.
        batch_pixels: How many pixels a batch may have; falls where memory runs out.
        judges_in_bfloat16: Whether the detector computes in bfloat16.
        restores_in_bfloat16: Whether the restorer does, for 8-bit pictures.
        restores_together: Whether windows are restored in batches, which gains nothing on a CPU.
        halo: px around a window's tiles that the restorer has to see.
        multiple: px that the sides of the restorer's input are a multiple of.
        most: Pixels that a window may have.
        calls_at_once: How many threads it computes for at a time.
    """

    def __init__(self, detector: Detector, restorer: nn.Module, device: torch.device) -> None:
        """Take the networks, which are on the device already."""
        self.device = device
        self.computes_on = str(getattr(restorer, "computes_on", device.type))
        self.batch_pixels = _BATCH_PIXELS[self.computes_on]
        self.restores_in_bfloat16 = multiplies_bfloat16(device)
        self.judges_in_bfloat16 = self.restores_in_bfloat16 and device.type == "cuda"
        self.restores_together = self.computes_on != "cpu"
        self.halo = int(getattr(restorer, "halo", _DEFAULT_HALO))
        self.multiple = int(getattr(restorer, "multiple", _DEFAULT_MULTIPLE))
        self.most = int(getattr(restorer, "most", _DEFAULT_MOST))
        self._detector = detector
        self._restorer = restorer
        self.calls_at_once = torch.get_num_threads() if self.computes_on == "cpu" else 1
        self._turn = threading.BoundedSemaphore(self.calls_at_once)

    def judge(self, cells: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Say how probable each kind of moiré is in each cell.

        A short batch is filled up. Which cells meet in a batch depends on timing, and a network's
        last digits depend on the batch's size, but a score must be the same in every run.

        Args:
            cells: (256, 256, 3) uint8 each.

        Returns:
            (N, 4) probabilities in the order of `demoire.moire.KINDS`.

        Raises:
            MachineError: The GPU fails, or has no memory for a single cell.
        """
        probabilities: list[NDArray[np.float32]] = []
        filling = np.zeros_like(cells[0])
        while len(probabilities) < len(cells):
            size = max(1, self.batch_pixels // CELL**2)
            batch = _filled(cells[len(probabilities) :], size, filling)
            with self._turn:
                probabilities += self._as_much_as_fits(batch, self._judge)
        return np.stack(probabilities[: len(cells)])

    def restore(
        self, windows: Sequence[Window], cuts: Sequence[Pixels]
    ) -> list[list[RestoredTile]]:
        """What the restorer makes of each tile of each window, by windows.

        Windows are restored one by one, or in batches that are filled up, as cells are by `judge`.

        Args:
            windows: The windows.
            cuts: What they cut out of their pictures, all of one shape (H, W, 1 or 3) and type.

        Raises:
            MachineError: The GPU fails, or has no memory for a single window.
        """
        restored: list[list[RestoredTile]] = []
        work = list(zip(windows, cuts, strict=True))
        while len(restored) < len(work):
            pixels = self.batch_pixels if self.restores_together else 1
            batch = _next_windows(work[len(restored) :], pixels)
            with self._turn:
                restored += self._as_much_as_fits(batch, self._restore)
        return restored[: len(work)]

    @contextmanager
    def autocast(self, *, enabled: bool) -> Iterator[None]:
        """Within it, layers on this device compute in bfloat16 where `enabled`, else in float32.

        The networks' parts that are kept out of bfloat16, and 16-bit pictures, need all of float32:
        on a GPU it is not rounded to TF32.
        """
        with (
            without_tf32(self.device),
            torch.autocast(self.device.type, torch.bfloat16, enabled=enabled),
        ):
            yield

    def _as_much_as_fits(
        self, batch: list[_Input], run: Callable[[list[_Input]], list[_Output]]
    ) -> list[_Output]:
        """Run as much of the batch's beginning as fits the device's memory."""
        while True:
            try:
                return run(batch)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise _no_memory() from error
            except RuntimeError as error:
                failure = _device_failure(error)
                if failure is None:
                    raise
                raise failure from error
            self.batch_pixels //= 2
            torch.cuda.empty_cache()
            batch = batch[: (len(batch) + 1) // 2]
            _LOG.warning(
                "The device is out of memory: batches go down to %.2f MP.", self.batch_pixels / 1e6
            )

    def _judge(self, cells: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        with torch.inference_mode(), self.autocast(enabled=self.judges_in_bfloat16):
            probabilities = self._detector.probabilities(floats_of(cells, self.device))
            return list(probabilities.float().cpu().numpy())

    def _restore(self, batch: list[_CutWindow]) -> list[list[RestoredTile]]:
        cuts = [cut for _, cut in batch]
        has_8_bits = cuts[0].dtype == np.uint8
        is_grey = cuts[0].shape[2] == 1
        used = _used(batch, together=self.restores_together)
        with torch.inference_mode():
            x = floats_of(cuts, self.device)
            with self.autocast(enabled=self.restores_in_bfloat16 and has_8_bits):
                y = _part_restored(self._restorer, x, used)
            restored = []
            for of_window, (window, cut) in zip(y, batch, strict=True):
                if not window.tiles:
                    break  # it fills up the batch, as do those behind it
                values = of_window.permute(1, 2, 0).float()
                if is_grey:
                    values = values.mean(dim=2, keepdim=True)
                pixels = rounded_samples(values, cut.dtype)
                tiles = []
                for tile in window.tiles:
                    reach = tile.reach.moved(-window.box.top, -window.box.left).within(used)
                    # Row by row: torch takes twice as long for all at once.
                    brightness = float(values[reach].sum(dim=(1, 2)).sum()) / pixels[reach].size
                    tiles.append(RestoredTile(pixels[reach], brightness))
                restored.append(tiles)
            return restored


def _used(batch: Sequence[_CutWindow], *, together: bool) -> Box:
    """What of a window's result is used: what its tiles reach.

    Windows that are restored together are so as a whole: the last digits of one must not depend on
    what the others use.
    """
    window, cut = batch[0]
    if together:
        return Box(0, 0, *cut.shape[:2])
    used = window.tiles[0].reach
    for tile in window.tiles[1:]:
        used = used.around_both(tile.reach)
    return used.moved(-window.box.top, -window.box.left)


def _part_restored(restorer: nn.Module, x: Tensor, part: Box) -> Tensor:
    """The restored pixels of a part of each of (N, 3, H, W): (N, 3, h, w)."""
    restored_part = getattr(restorer, "restored_part", None)
    if restored_part is None:
        whole: Tensor = restorer(x)
        return whole[:, :, *part.slices]
    of_part: Tensor = restored_part(x, part)
    return of_part


def _no_memory() -> MachineError:
    return MachineError(
        "The GPU has no memory left for a single piece of a picture: let fewer processes share it "
        "(--workers), then run the same command again."
    )


def _device_failure(error: RuntimeError) -> MachineError | None:
    """What an error says about the GPU; None where it is of another kind."""
    if not str(error).startswith(_DEVICE_FAILURES):
        return None
    what = str(error).splitlines()[0]
    return MachineError(
        f"The GPU failed ({what}): see whether `nvidia-smi` finds it in order, then run the same "
        "command again."
    )


def _next_windows(work: Sequence[_CutWindow], pixels: int) -> list[_CutWindow]:
    """The first windows that have so many pixels together, at least one; filled up."""
    window, cut = work[0]
    height, width = cut.shape[:2]
    size = max(1, pixels // (height * width))
    if size == 1:
        return [(window, cut)]
    return _filled(work, size, (replace(window, tiles=()), np.zeros_like(cut)))


def plan_for(
    engine: Engine, grid: Grid, flagged: Iterable[int], *, side: int
) -> tuple[Window, ...]:
    """Windows as the engine's restorer needs them; see `plan_windows`."""
    return plan_windows(
        grid,
        flagged,
        side=side,
        halo=engine.halo,
        multiple=engine.multiple,
        most=engine.most,
    )


def _filled(items: Sequence[_Input], size: int, filling: _Input) -> list[_Input]:
    """The first `size` items, filled up to that number."""
    batch = list(items[:size])
    batch += [filling] * (size - len(batch))
    return batch
