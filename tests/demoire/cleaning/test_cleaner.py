"""Image files through the Cleaner: what changes, what must not, and what becomes of bad ones among
good ones.
"""

import io
import threading
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from demoire.cleaning import budget, decoding, encoding
from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import Grid, plan_tiles
from demoire.errors import ImageError, UsageError, WeightsError
from demoire.imaging.images import OpenedImage, decode
from demoire.models.detector import Detector, fused
from demoire.models.networks import save_detector, save_restorer
from demoire.models.restorer import Restorer, RestorerConfig, build_restorer
from demoire.models.transformer import TransformerConfig
from demoire.models.unet import FAST
from demoire.models.weights import find_weights
from demoire.moire import CELL

LESS_RED = 0.2  # of full scale: what the toy restorer takes away


def png(pixels: NDArray) -> bytes:
    if pixels.dtype == np.uint16:
        return bytes(imagecodecs.png_encode(pixels))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def area(
    height: int, width: int, top: int, left: int, bottom: int, right: int
) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture(scope="module")
def cleaner(make_cleaner: Callable[..., Cleaner]) -> Cleaner:
    return make_cleaner()


def _drawn(config: RestorerConfig) -> Restorer:
    """A restorer of this structure with random weights: what it adds depends on all that it
    sees.
    """
    torch.manual_seed(3)  # the biases, which are drawn when it is made
    generator = torch.Generator().manual_seed(5)
    network = build_restorer(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 4:
                scale = 0.7 / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return network


@pytest.fixture(scope="module")
def random_restorer() -> Restorer:
    return _drawn(FAST)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, random_restorer: Restorer) -> dict[str, str]:
    """Paths of weights files: a detector and two restorers."""
    folder = tmp_path_factory.mktemp("weights")
    saved = {
        "detector": save_detector(Detector(), folder / "d.safetensors", {}),
        "restorer": save_restorer(random_restorer, folder / "r.safetensors", {}),
        "another restorer": save_restorer(build_restorer(FAST), folder / "other.safetensors", {}),
    }
    return {name: str(file.path) for name, file in saved.items()}


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
        (FAST, (1100, 1400)),
        (NARROW, (100, 90)),
        (NARROW, (800, 580)),
    ],
    ids=lambda value: getattr(value, "architecture", str(value)),
)
def test_tiles_give_what_the_whole_image_gives(
    make_cleaner: Callable[..., Cleaner],
    scene: Callable,
    config: RestorerConfig,
    shape: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # as on a CPU that has float32 only, which shows any seam
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    pixels, restorer = scene(*shape, seed=4), _drawn(config)
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
    assert (result.status, result.reason) == ("copied", "mode_not_cleaned")
    assert result.data == out.getvalue() and result.moire_before > 0.9


def test_an_icon_is_too_small_to_be_judged(cleaner: Cleaner) -> None:
    icon = png(np.full((16, 300, 3), (255, 0, 0), np.uint8))
    result = cleaner.clean(icon)
    assert result.data is icon and result.status == "copied"
    assert (result.moire_before, result.cells) == (None, 0)
    assert cleaner.detect(icon).moire == 0


# Many at a time


@pytest.fixture(scope="module")
def mixed(scene: Callable) -> dict[str, bytes]:
    """Twenty images of all sorts: red ones, clean ones, and some that are none."""
    files: dict[str, bytes] = {}
    for i in range(8):
        shape = (100 + 60 * i, 440 - 40 * i)
        files[f"clean {i}.jpg"] = jpeg(scene(*shape, seed=i))
        files[f"red {i}.png"] = png(scene(*shape, red=np.ones(shape, bool), seed=i))
    cut = jpeg(scene(400, 400))
    files["cut.jpg"] = cut[: len(cut) // 2]
    files["text.jpg"] = b"no image at all"
    files["empty.png"] = b""
    files["animated.gif"] = b"GIF89a" + bytes(20)
    return files


def test_many_images_come_back_once_each_as_if_they_were_alone(
    cleaner: Cleaner, mixed: dict[str, bytes]
) -> None:
    results = list(cleaner.clean_many(mixed.items()))
    assert sorted(name for name, _ in results) == sorted(mixed)
    for name, result in results:
        alone = cleaner.clean(mixed[name])
        assert (result.status, result.reason, result.data) == (
            alone.status,
            alone.reason,
            alone.data,
        ), name
        assert result.status == ("cleaned" if name.startswith("red") else result.status)
        if result.status != "cleaned":
            assert result.data is mixed[name]
    reasons = {name: result.reason for name, result in results if result.reason}
    assert reasons == {
        "cut.jpg": "truncated",
        "text.jpg": "not_an_image",
        "empty.png": "truncated",
        "animated.gif": "unsupported_format",
    }
    assert {name: result.status for name, result in results}["animated.gif"] == "copied"


def test_batches_hold_cells_and_tiles_of_several_images(
    cleaner: Cleaner, mixed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[int] = []
    judge = Engine.judge
    monkeypatch.setattr(
        Engine, "judge", lambda self, cells: shares.append(len(cells)) or judge(self, cells)
    )
    single = {name: data for name, data in mixed.items() if "clean" in name} | {
        "again": mixed["clean 0.jpg"]
    }
    cells = sum(result.cells for _, result in cleaner.clean_many(single.items()))
    assert sum(shares) == cells and len(shares) < cells


def demoire_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("demoire")}


def test_a_run_that_is_closed_early_leaves_no_thread(
    cleaner: Cleaner, mixed: dict[str, bytes]
) -> None:
    taken = 0

    def endless() -> Iterator[tuple[int, bytes]]:
        nonlocal taken
        while True:
            for data in mixed.values():
                taken += 1
                yield taken, data

    run = cleaner.clean_many(endless())
    for _ in range(5):
        next(run)
    assert demoire_threads()
    run.close()
    assert not demoire_threads()
    before = taken
    assert cleaner.clean(mixed["red 0.png"]).status == "cleaned"
    assert taken == before


def test_images_ahead_are_bounded_by_their_pixels(
    cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for 4 MP, images of 1.5 MP are read at most two ahead, and one of 6 MP still has
    its turn.
    """
    monkeypatch.setitem(budget.MEGAPIXELS_IN_FLIGHT, "cpu", 4.0)
    middle, large = (
        png(np.zeros((1000, 1500, 3), np.uint8)),
        png(np.zeros((2000, 3000, 3), np.uint8)),
    )
    given = 0

    def items() -> Iterator[tuple[int, bytes]]:
        nonlocal given
        for i in range(12):
            given += 1
            yield i, large if i == 5 else middle

    done = 0
    for _ in cleaner.clean_many(items()):
        done += 1
        assert given - done <= 4
    assert done == 12


def test_what_the_source_raises_comes_after_the_results_so_far(
    cleaner: Cleaner, mixed: dict[str, bytes]
) -> None:
    def items() -> Iterator[tuple[str, bytes]]:
        yield "first", mixed["clean 1.jpg"]
        yield "second", mixed["red 1.png"]
        raise ConnectionError("the bucket is gone")

    seen: list[str] = []
    with pytest.raises(ConnectionError, match="the bucket is gone"):
        for name, _ in cleaner.clean_many(items()):
            seen.append(name)
    assert sorted(seen) == ["first", "second"] and not demoire_threads()


def test_several_threads_may_share_a_cleaner(cleaner: Cleaner, mixed: dict[str, bytes]) -> None:
    found: list[dict[str, bytes]] = []
    threads = [
        threading.Thread(
            target=lambda: found.append({k: v.data for k, v in cleaner.clean_many(mixed.items())})
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2]


def test_an_iterable_without_images_gives_no_results(cleaner: Cleaner) -> None:
    assert list(cleaner.clean_many([])) == []


# When the models fail


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


@pytest.mark.parametrize("step", ["open_image", "decode_guarded"])
@pytest.mark.timeout(60)
def test_a_decoder_that_fails_in_a_way_nobody_thought_of_costs_its_image_only(
    cleaner: Cleaner, mixed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    works = getattr(decoding, step)

    def fails_on_one(image: bytes | OpenedImage, **options: object) -> object:
        data = image if isinstance(image, bytes) else image.data
        if data is mixed["red 3.png"]:
            raise MemoryError("no room")
        return works(image, **options)

    monkeypatch.setattr(decoding, step, fails_on_one)
    results = dict(cleaner.clean_many(mixed.items()))
    assert len(results) == len(mixed)
    assert (results["red 3.png"].status, results["red 3.png"].reason) == (
        "quarantined",
        "decode_failed",
    )
    assert results["red 2.png"].status == "cleaned"


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


class ScarceRestorer(torch.nn.Module):
    """A device whose memory holds one tile at a time."""

    multiple, halo = 32, 64

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("no room")
        return x - 0.1


def test_a_cell_gets_the_same_score_to_the_bit_whatever_it_is_judged_with() -> None:
    """Which cells meet in a batch is a matter of timing, and no run may differ from another by
    that.
    """
    torch.manual_seed(0)
    engine = Engine(fused(Detector()), nn.Identity(), torch.device("cpu"))
    cells = list(np.random.default_rng(0).integers(0, 256, (21, 256, 256, 3), dtype=np.uint8))
    together = engine.judge(cells)
    alone = np.concatenate([engine.judge([cell]) for cell in cells])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("together", [False, True], ids=["as on a CPU", "as on a GPU"])
def test_a_tile_is_restored_to_the_same_bits_whatever_it_is_restored_with(
    random_restorer: Restorer, together: bool
) -> None:
    engine = Engine(Detector(), random_restorer, torch.device("cpu"))
    engine.restores_together = together
    (tile,) = plan_tiles(Grid(CELL, CELL), [0], side=CELL, halo=64, multiple=32)
    windows = list(np.random.default_rng(0).integers(0, 256, (7, CELL, CELL, 3), dtype=np.uint8))
    changes = engine.restore([tile] * 7, windows)
    for some in ([0], [3, 4], [6, 5, 2, 1]):
        again = engine.restore([tile] * len(some), [windows[i] for i in some])
        assert all(
            np.array_equal(changes[i], change) for i, change in zip(some, again, strict=True)
        )


def test_bfloat16_rounds_an_8_bit_picture_a_little_and_a_16_bit_one_not_at_all(
    random_restorer: Restorer,
) -> None:
    (tile,) = plan_tiles(Grid(CELL, CELL), [0], side=CELL, halo=64, multiple=32)
    window = np.random.default_rng(0).integers(0, 256, (CELL, CELL, 3), dtype=np.uint8)
    found = {}
    for bfloat16 in (False, True):
        engine = Engine(Detector(), random_restorer, torch.device("cpu"))
        engine.restores_in_bfloat16 = bfloat16
        for pixels in (window, window.astype(np.uint16) * 257):
            (found[bfloat16, pixels.dtype.name],) = engine.restore([tile], [pixels])
    assert np.array_equal(found[True, "uint16"], found[False, "uint16"])
    difference = found[True, "uint8"].astype(np.float32) - found[False, "uint8"]
    assert 0 < np.abs(difference).max() < 0.02 * np.abs(found[False, "uint8"]).max()


def test_a_batch_that_does_not_fit_is_halved_and_the_bound_remembered() -> None:
    scarce = ScarceRestorer()
    engine = Engine(Detector(), scarce, torch.device("cpu"))
    engine.restores_together = True  # as on a GPU
    tiles = plan_tiles(Grid(CELL, CELL), [0], side=CELL, halo=64, multiple=32) * 6
    windows = [np.full((CELL, CELL, 3), 100 + i, np.uint8) for i in range(6)]
    changes = engine.restore(tiles, windows)
    assert len(changes) == 6 and all(abs(float(change.mean()) + 0.1) < 1e-3 for change in changes)
    assert scarce.batches[0] == 16 and max(scarce.batches[-5:]) == 1
    scarce.batches.clear()
    engine.restore(tiles, windows)
    assert max(scarce.batches) == 1


# Configuration


def test_the_fingerprint_covers_what_changes_the_output_and_nothing_else(
    weights: dict[str, str],
) -> None:
    base = {"detector": weights["detector"], "restorer": weights["restorer"]}

    def fingerprint(**settings: object) -> str:
        return CleanerConfig(**{**base, **settings}).fingerprint()

    assert fingerprint() == fingerprint(device="cpu", threads=1)
    others = [
        {"gate": "off"},
        {"threshold": 0.7},
        {"restorer": weights["another restorer"]},
        {"tile": 512},
    ]
    assert len({fingerprint(), *(fingerprint(**other) for other in others)}) == 5


@pytest.mark.parametrize(
    "settings",
    [{"gate": "on"}, {"threshold": 1.5}, {"tile": 100}, {"threads": -1}, {"max_megapixels": 0}],
)
def test_values_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(UsageError):
        CleanerConfig(**settings)


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


def test_on_a_cpu_the_model_and_the_encoding_threads_take_turns(
    make_cleaner: Callable[..., Cleaner],
    scene: Callable[..., NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Side by side they would wait for each other's threads: a tenth less of the whole."""
    at_work = threading.Semaphore(0)  # counts up while a thread is at it
    beside: list[bool] = []
    measure = encoding.likeness.ssim

    def ssim(old: NDArray, new: NDArray) -> float:
        at_work.release()
        try:
            return measure(old, new)
        finally:
            at_work.acquire()

    class Watching(nn.Module):
        multiple, halo = 32, 64

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            beside.append(at_work.acquire(blocking=False))
            if beside[-1]:
                at_work.release()
            return x * 0.9

    monkeypatch.setattr(encoding.likeness, "ssim", ssim)
    picture = png(scene(600, 700, red=area(600, 700, 0, 0, 600, 700)))
    done = list(make_cleaner(Watching()).clean_many((number, picture) for number in range(12)))
    assert [result.status for _, result in done] == ["cleaned"] * 12
    assert len(beside) >= 12
    assert not any(beside)
