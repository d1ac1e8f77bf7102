"""How exactly networks compute.

Inference and training run most layers in bfloat16 where that is faster (`torch.autocast`). Two
things must not be rounded that far, and are put inside one of these contexts: the pixels
themselves, and the spectra in which a faint pattern shows.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_FIRST_WITH_BFLOAT16 = (8, 0)  # compute capability: cards before Ampere, such as T4, emulate it


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; without them bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _FIRST_WITH_BFLOAT16
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Within it, layers compute as their weights are stored, whatever `torch.autocast` says."""
    # There is no autocast on "meta", where costs are counted.
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


@contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Within it, float32 means float32 on this device.

    By default a GPU's convolutions round float32 to ten bits (TF32), which would cost 16-bit
    pictures their lower bits. The setting is the process's: it holds for all threads until the
    context is left.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
