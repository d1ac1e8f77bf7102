"""When a model fails, or gives what cannot be right: one image pays for it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import MachineError
from tests.demoire.cleaning.pictures import png


class BrokenRestorer(torch.nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, self.value)


class ChokingRestorer(torch.nn.Module):
    """Fails on any batch that holds a picture as blue as the scene's right side never is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if (x[:, 2].mean(dim=(1, 2)) > 0.9).any():
            raise RuntimeError("a kernel gave up")
        return x - 0.1


def test_one_image_that_the_model_fails_on_does_not_take_others_with_it(
    make_cleaner: Callable[..., Cleaner], scene: Callable
) -> None:
    files = {
        f"red {i}": png(scene(200, 200, red=np.ones((200, 200), bool), seed=i)) for i in range(4)
    }
    files["choking"] = png(np.full((200, 200, 3), (250, 100, 250), np.uint8))
    results = dict(make_cleaner(ChokingRestorer()).clean_many(files.items()))
    assert {
        name: result.reason for name, result in results.items() if result.status != "cleaned"
    } == {"choking": "cleaning_failed"}
    assert results["choking"].data is files["choking"]


@pytest.mark.parametrize("broken", ["nan", "black"])
def test_a_restorer_that_gives_no_picture_quarantines(
    make_cleaner: Callable[..., Cleaner], mixed: dict[str, bytes], broken: str
) -> None:
    restorer = BrokenRestorer({"nan": float("nan"), "black": 0.0}[broken])
    results = dict(make_cleaner(restorer).clean_many(mixed.items()))
    for name, data in mixed.items():
        assert results[name].data is data
        if name.startswith("red"):
            assert (results[name].status, results[name].reason) == (
                "quarantined",
                "cleaning_failed",
            )
        elif name.startswith("clean"):
            assert results[name].status == "copied"


def test_a_picture_that_is_dark_already_is_not_let_go_black(
    make_cleaner: Callable[..., Cleaner],
) -> None:
    night = np.random.default_rng(0).integers(20, 60, (300, 300, 3)).astype(np.uint8)
    result = make_cleaner(BrokenRestorer(0.0), gate="off").clean(png(night))
    assert (result.status, result.reason, result.data) == (
        "quarantined",
        "cleaning_failed",
        png(night),
    )


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "The GPU failed"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling it"), "The GPU failed"),
        (torch.OutOfMemoryError("CUDA out of memory."), "no memory left for a single piece"),
    ],
)
def test_a_card_that_fails_ends_the_run_and_quarantines_no_image(
    make_cleaner: Callable[..., Cleaner], scene: Callable, error: Exception, says: str
) -> None:
    class FailingCard(torch.nn.Module):
        computes_on = "cuda"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise error

    red = png(scene(200, 200, red=np.ones((200, 200), bool)))
    with pytest.raises(MachineError, match=says):
        list(make_cleaner(FailingCard()).clean_many([("red", red), ("too", red)]))
