"""Type on plain paper is left alone, whatever is changed beside it."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from demoire.cleaning import lettering
from demoire.cleaning.cleaner import Cleaner, Models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.grid import Grid
from demoire.cleaning.lettering import leave_lettering_alone
from demoire.imaging.rgb import decode_rgb
from demoire.moire import KINDS, MoireKind
from tests.demoire.cleaning.patterns import dots
from tests.demoire.cleaning.pictures import png, scanned
from tests.demoire.conftest import RedDetector

SIDE = 320
MIDDLE = 160  # columns to the left of it are type, those to the right the picture


def _page(height: int = SIDE) -> np.ndarray:
    """Lines of type on paper, and grey beside them."""
    page = np.full((height, SIDE, 3), 225, np.uint8)
    for y in range(20, height, 24):
        cv2.putText(page, "letters", (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (30, 30, 30), 2)
    page[:, MIDDLE:] = 130
    return page


def _cleaned(page: np.ndarray, on_paper: int, on_ink: int, on_picture: int) -> np.ndarray:
    """The page, in which each part has become so much lighter or darker."""
    is_ink = page < 128
    levels = page.astype(np.int32)
    cleaned = np.where(is_ink, levels + on_ink, levels - on_paper).astype(page.dtype)
    cleaned[::2, MIDDLE:] += np.uint8(on_picture)
    return cleaned


def _settled(page: np.ndarray, cleaned: np.ndarray, *, certain: bool = True) -> np.ndarray:
    settled = cleaned.copy()
    grid = Grid(*page.shape[:2])
    leave_lettering_alone(page, settled, grid, np.full(grid.shape, certain))
    return settled


def test_a_small_change_of_type_on_plain_paper_is_taken_back_and_a_picture_keeps_its_own() -> None:
    page = _page()
    cleaned = _cleaned(page, on_paper=1, on_ink=6, on_picture=30)
    settled = _settled(page, cleaned)
    np.testing.assert_array_equal(settled[:, : MIDDLE - 48], page[:, : MIDDLE - 48])
    np.testing.assert_array_equal(settled[:, MIDDLE + 32 :], cleaned[:, MIDDLE + 32 :])


def test_a_dark_surface_is_no_paper() -> None:
    page = _page() // 2
    cleaned = _cleaned(page, on_paper=1, on_ink=1, on_picture=30)
    np.testing.assert_array_equal(_settled(page, cleaned), cleaned)


@pytest.mark.parametrize(
    ("on_paper", "on_ink"),
    [(4, 4), (1, -30)],
    ids=["paper with dots", "letters that change much, on paper that is clipped to white"],
)
def test_what_carries_a_pattern_is_cleaned(on_paper: int, on_ink: int) -> None:
    page = _page()
    cleaned = _cleaned(page, on_paper, on_ink, on_picture=30)
    settled = _settled(page, cleaned)
    type_alone = settled[32:-32, 16:96]
    np.testing.assert_array_equal(type_alone, cleaned[32:-32, 16:96])


def test_more_has_to_be_seen_on_paper_where_the_detector_is_not_sure() -> None:
    page = _page()
    cleaned = _cleaned(page, on_paper=3, on_ink=3, on_picture=30)
    np.testing.assert_array_equal(_settled(page, cleaned), cleaned)
    settled = _settled(page, cleaned, certain=False)
    np.testing.assert_array_equal(settled[:, : MIDDLE - 48], page[:, : MIDDLE - 48])


def test_dense_type_leaves_little_paper_and_looks_like_a_print_where_the_detector_is_sure() -> None:
    page = _page()
    is_ink = np.arange(MIDDLE) % 12 < 8
    page[:, :MIDDLE] = np.where(is_ink, 30, 225)[:, None]
    cleaned = _cleaned(page, on_paper=1, on_ink=3, on_picture=30)
    np.testing.assert_array_equal(_settled(page, cleaned), cleaned)
    settled = _settled(page, cleaned, certain=False)
    np.testing.assert_array_equal(settled[:, : MIDDLE - 48], page[:, : MIDDLE - 48])


def test_of_noisy_paper_nothing_is_taken_but_dots_as_faint_as_its_noise_are() -> None:
    page = _page()
    noise = np.random.default_rng(0).normal(0, 3.5, (SIDE, SIDE, 1))
    faint = 2.8 * np.sign(dots(5, 30)[:SIDE, :SIDE, None] - 0.5)
    noisy = np.rint(page + noise).astype(np.uint8)
    settled = _settled(noisy, _cleaned(page, on_paper=0, on_ink=0, on_picture=30))
    np.testing.assert_array_equal(settled[:, : MIDDLE - 64], noisy[:, : MIDDLE - 64])
    tinted = np.rint(page + faint).astype(np.uint8)
    cleaned = _cleaned(page, on_paper=0, on_ink=0, on_picture=30)
    np.testing.assert_array_equal(_settled(tinted, cleaned), cleaned)


def test_a_page_is_settled_alike_in_one_band_and_in_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = _page(height=331)
    rng = np.random.default_rng(0)
    shift = np.linspace(0, 6, len(page))[:, None, None] + rng.uniform(0, 1, page.shape)
    cleaned = (page - shift).astype(np.uint8)
    in_one = _settled(page, cleaned)
    assert not np.array_equal(in_one, cleaned)
    monkeypatch.setattr(lettering, "_BAND", 0)
    monkeypatch.setattr(lettering, "_LEAST_ROWS", 64)
    np.testing.assert_array_equal(_settled(page, cleaned), in_one)


def test_deep_and_grey_pages_are_settled_too() -> None:
    page = _page()[..., :1].astype(np.uint16) * 257
    cleaned = _cleaned(page, on_paper=300, on_ink=1500, on_picture=0)
    settled = _settled(page, cleaned)
    np.testing.assert_array_equal(settled[:, : MIDDLE - 48], page[:, : MIDDLE - 48])


class RedOf(RedDetector):
    """Calls what it finds another kind."""

    def __init__(self, kind: MoireKind) -> None:
        super().__init__()
        self._kind = KINDS.index(kind)

    def probabilities(self, x: Tensor) -> Tensor:
        screens = super().probabilities(x)
        named = torch.zeros_like(screens)
        named[:, 0] = screens[:, 0]
        named[:, self._kind] = screens[:, 1]
        return named


class TakesStripes(nn.Module):
    """Takes red stripes from what is redder than paper, and hardly anything from paper."""

    multiple, halo = 32, 0

    def forward(self, x: Tensor) -> Tensor:
        stripes = torch.arange(x.shape[-1]) % 4 // 2 * 0.2
        taken = torch.where(x[:, 0] > 0.7, stripes, 1 / 255)
        out = x.clone()
        out[:, 0] -= taken
        return out


@pytest.mark.parametrize(("kind", "is_left"), [("halftone", True), ("screen", False)])
def test_type_beside_a_print_is_left_alone_but_not_on_a_screen(
    kind: MoireKind, *, is_left: bool
) -> None:
    """A cell of type that looks a little like moiré, beside one that surely has it."""
    page = np.full((256, 512, 3), 225, np.uint8)
    page[..., 0] = 153
    cv2.putText(page, "letters", (20, 130), cv2.FONT_HERSHEY_SIMPLEX, 1, (30, 30, 30), 2)
    page[:, 256:] = (192, 100, 100)
    page = scanned(page)
    models = Models(RedOf(kind), TakesStripes(), "d" * 64, "e" * 64)  # type: ignore[arg-type]
    result = Cleaner(CleanerConfig(device="cpu", threads=1), models).clean(png(page))
    assert (result.status, result.moire_kind, result.cells_restored) == ("cleaned", kind, 2)
    cleaned = decode_rgb(result.data)
    assert np.array_equal(cleaned[:, :192], page[:, :192]) == is_left
    assert not np.array_equal(cleaned[:, 320:], page[:, 320:])
