"""The two contexts that keep pixels and spectra from being rounded."""

import torch

from demoire.models.precision import full_precision, without_tf32


def test_full_precision_undoes_the_autocast_around_it() -> None:
    layer = torch.nn.Linear(4, 4)
    x = torch.rand(1, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        with full_precision(x.device):
            assert layer(x).dtype == torch.float32


def test_full_precision_holds_where_there_is_no_autocast() -> None:
    with full_precision(torch.device("meta")):
        assert torch.rand(1, device="meta").dtype == torch.float32


def test_tf32_is_off_within_and_as_before_afterwards() -> None:
    assert torch.backends.cudnn.allow_tf32, "torch's default"
    with without_tf32(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    with without_tf32(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32, "a CPU needs no change"
