"""One image file through the Cleaner: what changes, and what must not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError, UsageError, WeightsError
from demoire.imaging import room
from demoire.imaging.images import decode
from demoire.measure import likeness
from demoire.models.restorer import RestorerConfig
from demoire.models.transformer import TransformerConfig
from demoire.models.unet import FAST
from demoire.models.weights import find_weights
from tests.demoire.cleaning.pictures import area, drawn_restorer, jpeg, png, webp

LESS_RED = 0.2  # of full scale: what the toy restorer takes away


class OneLevelDarker(nn.Module):
    """Takes 1/255 away everywhere."""

    multiple, halo = 32, 0

    def forward(self, x: Tensor) -> Tensor:
        return x - 1 / 255


def test_an_image_without_moire_is_the_very_bytes_that_came(
    cleaner: Cleaner, scene: Callable
) -> None:
    for data in (jpeg(scene(300, 500)), png(scene(300, 500))):
        result = cleaner.clean(data, "a name")
        assert result.data is data
        assert (result.status, result.reason) == ("copied", None)
        assert result.moire_before < 0.1 and result.moire_kind == "none" and result.cells == 2
        assert (
            result.moire_after,
            result.psnr_vs_input,
            result.ssim_vs_input,
            result.colour_shift,
        ) == (None,) * 4


def test_only_flagged_cells_change(cleaner: Cleaner, scene: Callable) -> None:
    """Cells 256 px wide; of 3 x 4 the two in the middle of the second row are red."""
    pixels = scene(768, 1024, red=area(768, 1024, 256, 256, 512, 768))
    result = cleaner.clean(png(pixels))
    out = decode(result.data).pixels
    assert (result.status, result.cells, result.cells_restored) == ("cleaned", 12, 2)
    assert cleaner.detect(png(pixels)).flagged == (5, 6)
    assert result.moire_kind == "screen" and result.moire_before > 0.9
    assert result.moire_after < result.moire_before
    outside = ~area(768, 1024, 256, 256, 512, 768)
    assert np.array_equal(out[outside], pixels[outside])
    taken = pixels[290:480, 290:734].astype(int) - out[290:480, 290:734]
    assert (taken[:, :, 0] == round(LESS_RED * 255)).all() and (taken[:, :, 1:] == 0).all()
    assert 10 < result.psnr_vs_input < 40 and result.ssim_vs_input < 1 and result.colour_shift > 0.5
    assert set(result.milliseconds) == {"decode", "detect", "restore", "encode"}
    assert all(time > 0 for time in result.milliseconds.values())


def test_figures_are_those_of_what_is_in_the_file(cleaner: Cleaner, scene: Callable) -> None:
    pixels = scene(300, 520, red=area(300, 520, 0, 256, 300, 520))
    for data in (png(pixels), jpeg(pixels, quality=40), webp(pixels)):
        before = decode(data).pixels
        result = cleaner.clean(data)
        after = decode(result.data).pixels
        assert result.status == "cleaned"
        assert result.psnr_vs_input == likeness.psnr(before, after)
        assert result.ssim_vs_input == likeness.block_ssim(before, after)
        assert result.colour_shift == likeness.colour_difference(before, after)


def test_what_coding_undoes_is_not_called_cleaned(
    make_cleaner: Callable[..., Cleaner], scene: Callable
) -> None:
    """A change of one level in a JPEG picture of the coarsest kind."""
    data = jpeg(scene(160, 160) // 4 + 100, quality=1)
    result = make_cleaner(OneLevelDarker(), gate="off").clean(data)
    assert (result.status, result.reason, result.data) == ("copied", "no_gain", data)
    assert result.psnr_vs_input is None


def test_a_large_picture_is_cleaned_in_files_with_the_same_outcome(
    make_cleaner: Callable[..., Cleaner], scene: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five of six cells are red, so that tiles of one cell reach into each other."""
    data = jpeg(scene(520, 790, red=~area(520, 790, 256, 512, 520, 790)))
    cleaner = make_cleaner(tile=256)
    in_memory = cleaner.clean(data)
    monkeypatch.setattr(room, "LARGE_BYTES", 0)
    in_files = cleaner.clean(data)
    assert in_files.status == "cleaned" and in_files.cells_restored == 5
    assert in_files.data == in_memory.data
    assert in_files.ssim_vs_input == in_memory.ssim_vs_input
    assert in_files.colour_shift == in_memory.colour_shift


def test_without_the_gate_every_cell_is_restored_and_still_judged(
    make_cleaner: Callable[..., Cleaner], scene: Callable
) -> None:
    pixels = scene(300, 560, seed=2)
    result = make_cleaner(gate="off").clean(png(pixels))
    assert (result.status, result.cells, result.cells_restored) == ("cleaned", 2, 2)
    assert result.moire_before < 0.1 and result.moire_kind == "none"
    expected = np.clip(pixels[:, :, 0].astype(int) - round(LESS_RED * 255), 0, 255)
    assert np.array_equal(decode(result.data).pixels[:, :, 0], expected)


def test_the_threshold_decides(make_cleaner: Callable[..., Cleaner], scene: Callable) -> None:
    pixels = scene(256, 256)
    pixels[:, :, 0] = 145  # a little red: below one half, above a tenth
    score = make_cleaner().detect(png(pixels)).moire
    assert 0.05 < score < 0.5
    assert make_cleaner().clean(png(pixels)).status == "copied"
    assert make_cleaner(threshold=score * 0.9).clean(png(pixels)).status == "cleaned"
    assert make_cleaner(threshold=score * 1.1).clean(png(pixels)).status == "copied"


NARROW = TransformerConfig((16, 16, 16, 16), (0, 0), (1, 1), 1, (1, 1), head_width=16)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (FAST, (100, 90)),
        (FAST, (257, 511)),
        (FAST, (1300, 300)),
        (FAST, (700, 900)),
        (NARROW, (100, 90)),
        (NARROW, (800, 580)),
    ],
    ids=lambda value: getattr(value, "architecture", str(value)),
)
def test_tiles_and_windows_give_what_the_whole_image_gives(
    make_cleaner: Callable[..., Cleaner],
    scene: Callable,
    config: RestorerConfig,
    shape: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # as on a CPU that has float32 only, which shows any seam
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    pixels, restorer = scene(*shape, seed=4), drawn_restorer(config)
    # Three windows of 800 x 580 px, and more of 700 x 900 px.
    monkeypatch.setattr(type(restorer), "most", 400_000, raising=False)
    result = make_cleaner(restorer, gate="off", tile=512).clean(png(pixels))
    assert (result.status, result.reason) == ("cleaned", None)
    out = decode(result.data).pixels.astype(int)
    padded = [(-side) % restorer.multiple for side in shape]
    whole = np.pad(pixels, ((0, padded[0]), (0, padded[1]), (0, 0)), mode="reflect")
    x = torch.from_numpy(whole).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        y = restorer(x)[0, :, : shape[0], : shape[1]]
    expected = (y.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(int)
    assert np.abs(expected - pixels).max() > 20, "the restorer does too little to show a seam"
    assert np.abs(out - expected).max() <= 1


def test_sixteen_bits_are_changed_in_sixteen_bits(cleaner: Cleaner, scene: Callable) -> None:
    rng = np.random.default_rng(0)
    eight = scene(256, 256, red=np.ones((256, 256), bool))
    deep = eight.astype(np.uint16) * 256 + rng.integers(0, 256, eight.shape, dtype=np.uint16)
    result = cleaner.clean(png(deep))
    out = decode(result.data).pixels.astype(int)
    assert result.status == "cleaned" and result.facts.bits == 16
    taken = deep[:, :, 0] - out[:, :, 0]
    assert np.abs(taken - LESS_RED * 65535).max() <= 1
    assert np.array_equal(out[:, :, 1:], deep[:, :, 1:])


def test_grey_stays_grey_and_alpha_stays(
    make_cleaner: Callable[..., Cleaner], scene: Callable
) -> None:
    picture = scene(200, 300)
    cleaner = make_cleaner(gate="off")
    grey = decode(cleaner.clean(png(picture[:, :, 1])).data)
    assert grey.facts.mode == "L"
    mean_change = round(LESS_RED / 3 * 255)  # red alone loses, grey takes the mean of the three
    assert np.abs(picture[:, :, 1].astype(int) - grey.pixels[:, :, 0] - mean_change).max() <= 1
    alpha = picture[:, :, 2]
    result = decode(cleaner.clean(png(np.dstack([picture, alpha]))).data)
    assert result.facts.mode == "RGBA" and np.array_equal(result.alpha, alpha)


def test_a_picture_that_cannot_be_written_back_is_copied_but_judged(
    cleaner: Cleaner, scene: Callable
) -> None:
    red = scene(256, 256, red=np.ones((256, 256), bool))
    out = io.BytesIO()
    Image.fromarray(red).quantize(64).save(out, "PNG")
    result = cleaner.clean(out.getvalue())
    assert (result.status, result.reason) == ("copied", "palette")
    assert result.data == out.getvalue() and result.moire_before > 0.9


def test_an_icon_is_too_small_to_be_judged(cleaner: Cleaner) -> None:
    icon = png(np.full((16, 300, 3), (255, 0, 0), np.uint8))
    result = cleaner.clean(icon)
    assert result.data is icon and result.status == "copied"
    assert (result.moire_before, result.cells) == (None, 0)
    assert cleaner.detect(icon).moire == 0


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_named(
    make_cleaner: Callable[..., Cleaner], device: str
) -> None:
    with pytest.raises(UsageError, match=device):
        make_cleaner(device=device)


def test_weights_come_from_files_and_are_named_by_their_digests(
    weights: dict[str, str], scene: Callable
) -> None:
    cleaner = Cleaner(
        CleanerConfig(
            "off", detector=weights["detector"], restorer=weights["restorer"], device="cpu"
        )
    )
    assert cleaner.weights_digest == find_weights(weights["restorer"]).digest
    assert cleaner.detector_digest == find_weights(weights["detector"]).digest
    assert cleaner.device_name == "cpu"
    result = cleaner.clean(jpeg(scene(300, 200)))
    assert result.status == "cleaned" and 0 <= result.moire_before <= 1


def test_weights_that_are_not_there_are_named() -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors"):
        Cleaner(CleanerConfig(restorer="nowhere.safetensors", device="cpu"))


def test_the_limit_of_pixels_quarantines(
    make_cleaner: Callable[..., Cleaner], scene: Callable
) -> None:
    small = make_cleaner(max_megapixels=0.05)
    result = small.clean(png(scene(300, 400)))
    assert (result.status, result.reason) == ("quarantined", "too_large")
    assert result.facts.width == 400
    with pytest.raises(ImageError):
        small.detect(png(scene(300, 400)))
