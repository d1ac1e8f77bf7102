"""Figures against the truth: with models whose answers are known, every figure is known, too."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import UsageError
from demoire.models.detector import Calibration, Detector
from demoire.models.networks import save_detector, save_restorer
from demoire.models.unet import UNet
from pipelines.evaluation.figures import MEASURES, SAME, evaluate_pairs
from pipelines.evaluation.page import evaluate_page

LIFT = 10  # levels that the test's restorer adds everywhere


def scene(seed: int, side: int = 300, offset: int = 0) -> np.ndarray:
    """(side, side, 3) uint8: soft shapes with some grain."""
    rng = np.random.default_rng(seed)
    shapes = cv2.resize(
        rng.random((7, 7, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    return (shapes * 150 + 50 + rng.normal(0, 6, shapes.shape)).clip(30, 225).astype(
        np.uint8
    ) + np.uint8(offset)


def write(path: Path, picture: np.ndarray) -> None:
    assert cv2.imwrite(str(path), picture[..., ::-1])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A restorer that makes everything LIFT levels lighter, and detectors: sure of moiré, sure of
    none, and seeded.
    """
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    restorer = UNet()
    torch.nn.init.constant_(restorer.head[0].bias, LIFT / 255)
    save_restorer(restorer, folder / "lift.safetensors", {})
    for name, logit in (("always", -8.0), ("never", 8.0)):
        detector = Detector(calibration=Calibration(threshold=0.5, cell_threshold=0.3))
        torch.nn.init.zeros_(detector.classify[-1].weight)
        detector.classify[-1].bias.data = torch.tensor([logit, 0.0, 0.0, 0.0])
        save_detector(detector, folder / f"{name}.safetensors", {})
    save_detector(
        Detector(calibration=Calibration(threshold=0.5)), folder / "seeded.safetensors", {}
    )
    return {path.stem: str(path) for path in folder.glob("*.safetensors")}


@pytest.fixture
def make_cleaner(weights: dict[str, str]) -> Callable[..., Cleaner]:
    def make(detector: str, **settings: object) -> Cleaner:
        config = CleanerConfig(
            restorer=weights["lift"], detector=weights[detector], device="cpu", threads=1
        )
        return Cleaner(CleanerConfig(**{**vars(config), **settings}))  # type: ignore[arg-type]

    return make


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pairs whose first picture is LIFT levels too dark."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for seed, name in enumerate(("b", "a", "a_2")):
        write(folder / f"{name}_clean.png", scene(seed))
        write(folder / f"{name}_moire.png", scene(seed) - np.uint8(LIFT))
    return folder


def test_a_restorer_that_undoes_the_damage_reaches_the_truth(
    pairs: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    result = evaluate_pairs(pairs, make_cleaner("always"))

    assert [pair["name"] for pair in result["pairs"]] == ["a", "a_2", "b"]
    for pair in result["pairs"]:
        assert pair["psnr_before"] == pytest.approx(20 * np.log10(255 / LIFT), abs=0.01)
        assert pair["psnr_after"] == SAME
        assert pair["ssim_after"] == pytest.approx(1)
        assert pair["status"] == "cleaned"
        assert pair["ciede2000_after"] < 0.01 < pair["ciede2000_before"]
    assert result["mean"]["psnr_after"] == SAME
    assert set(MEASURES) <= result["mean"].keys()
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_gate_lets_nothing_through_that_the_detector_calls_clean(
    pairs: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    result = evaluate_pairs(pairs, make_cleaner("never"))
    assert all(pair["psnr_after"] == pair["psnr_before"] for pair in result["pairs"])
    assert {pair["status"] for pair in result["pairs"]} == {"copied"}


def test_with_the_gate_off_everything_is_restored_and_judged_all_the_same(
    pairs: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    result = evaluate_pairs(pairs, make_cleaner("never", gate="off"))
    assert result["mean"]["psnr_after"] == SAME
    assert result["detector"]["recall"] == 0
    assert result["detector"]["n"] == 6


def test_the_blur_is_the_one_that_the_truth_would_pick(
    tmp_path: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    truth = cv2.GaussianBlur(scene(5), (0, 0), 3)
    grainy = (
        (truth + np.random.default_rng(6).normal(0, 20, truth.shape)).clip(0, 255).astype(np.uint8)
    )
    write(tmp_path / "x_clean.png", truth)
    write(tmp_path / "x_moire.png", grainy)

    (pair,) = evaluate_pairs(tmp_path, make_cleaner("never"))["pairs"]

    rival = cv2.GaussianBlur(grainy, (0, 0), pair["blur_sigma"])
    assert pair["psnr_blur"] == pytest.approx(peak_signal_noise_ratio(truth, rival), abs=0.05)
    assert pair["psnr_blur"] > pair["psnr_before"] + 5


@pytest.fixture
def ranked(
    tmp_path: Path, make_cleaner: Callable[..., Cleaner]
) -> tuple[Path, Cleaner, list[float]]:
    """Eight unlabelled pictures, by the score that a seeded detector gives them; the cleaner and
    the scores.
    """
    cleaner = make_cleaner("seeded")
    folder = tmp_path / "ranked"
    folder.mkdir()
    scored = []
    for seed in range(8):
        path = tmp_path / f"{seed}.png"
        write(path, scene(seed) // np.uint8(1 + seed % 4))
        scored.append((cleaner.detect(path.read_bytes()).moire, path))
    scored.sort()
    for rank, (_, path) in enumerate(scored):
        path.rename(folder / f"{rank}.png")
    return folder, cleaner, [score for score, _ in scored]


def label(folder: Path, is_moire: Callable[[int], bool]) -> None:
    for rank in range(8):
        (folder / f"{rank}.png").rename(
            folder / f"n{rank}_only_{'moire' if is_moire(rank) else 'clean'}.png"
        )


def test_a_detector_that_ranks_all_moire_above_all_clean_is_perfect(
    ranked: tuple[Path, Cleaner, list[float]], make_cleaner: Callable[..., Cleaner]
) -> None:
    folder, _, scores = ranked
    label(folder, lambda rank: rank >= 5)
    result = evaluate_pairs(folder, make_cleaner("seeded", threshold=(scores[4] + scores[5]) / 2))
    assert result["detector"] == {
        "n": 8,
        "accuracy": 1,
        "precision": 1,
        "recall": 1,
        "f1": 1,
        "auc": 1,
    }
    assert result["clean_touched"] == 0
    assert result["pairs"] == []
    assert result["mean"]["psnr_after"] is None


def test_a_detector_that_is_wrong_of_everything_has_no_area(
    ranked: tuple[Path, Cleaner, list[float]],
) -> None:
    folder, cleaner, _ = ranked
    label(folder, lambda rank: rank < 3)
    assert evaluate_pairs(folder, cleaner)["detector"]["auc"] == 0


def test_one_class_alone_has_no_area_at_all(
    ranked: tuple[Path, Cleaner, list[float]], make_cleaner: Callable[..., Cleaner]
) -> None:
    folder, _, scores = ranked
    label(folder, lambda rank: False)
    result = evaluate_pairs(folder, make_cleaner("seeded", threshold=scores[6]))
    assert result["detector"]["auc"] is None
    assert result["clean_touched"] == 0.25


def test_what_was_said_is_set_beside_what_is_so_by_kind_and_by_probability(
    pairs: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    (pairs / "labels.csv").write_text("name,kind\na,screen\nb,halftone\n")
    result = evaluate_pairs(pairs, make_cleaner("always"))
    nothing = {"none": 0, "halftone": 0, "texture": 0}
    assert result["confusion"] == {
        "none": {**nothing, "screen": 3},
        "screen": {**nothing, "screen": 1},
        "halftone": {**nothing, "screen": 1},
        "moire": {**nothing, "screen": 1},  # of no kind that labels.csv names
    }
    (found,) = result["calibration"]["bins"]
    assert (found["n"], found["so"]) == (6, 0.5)
    assert result["calibration"]["error"] == pytest.approx(found["said"] - 0.5)
    assert {image["kind"] for image in result["images"]} == {"screen"}


def test_what_is_found_is_counted_by_the_strength_of_the_pattern(
    pairs: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    (pairs / "labels.csv").write_text(
        "name,kind,strength\na,screen,7.99\nb,halftone,25\nc,screen,?\n"
    )
    classes = [{"from": 4, "n": 1}, {"from": 16, "n": 1}]
    for gate, found in (("always", 1), ("never", 0)):
        result = evaluate_pairs(pairs, make_cleaner(gate))
        assert result["strengths"] == [{**group, "found": found} for group in classes]


def test_progress_counts_every_image_once(
    pairs: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    seen: list[tuple[int, int]] = []
    evaluate_pairs(pairs, make_cleaner("never"), lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_what_demoire_simulate_writes_is_grouped_by_kind(
    tmp_path: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    from demoire.simulate.pairs import write_pairs

    for kind in ("screen", "halftone", "none"):
        write_pairs(None, tmp_path, kind, 2, seed=1, size=256)  # type: ignore[arg-type]
    result = evaluate_pairs(tmp_path, make_cleaner("never"))
    assert {kind: means["n"] for kind, means in result["kinds"].items()} == {
        "screen": 2,
        "halftone": 2,
    }
    assert result["kinds"]["halftone"]["psnr_blur"] > result["kinds"]["halftone"]["psnr_before"]
    assert result["detector"]["n"] == 10


class TestFoldersThatAreNotInOrder:
    @pytest.fixture
    def cleaner(self, make_cleaner: Callable[..., Cleaner]) -> Cleaner:
        return make_cleaner("never")

    def refused(self, folder: Path, cleaner: Cleaner, *words: str) -> None:
        with pytest.raises(UsageError) as caught:
            evaluate_pairs(folder, cleaner)
        message = str(caught.value)
        assert all(word in message for word in words), message
        assert "\n" not in message and message.endswith(".")

    def test_empty(self, tmp_path: Path, cleaner: Cleaner) -> None:
        (tmp_path / "notes.txt").write_text("no image")
        self.refused(tmp_path, cleaner, str(tmp_path), "holds no labelled images")

    def test_missing(self, tmp_path: Path, cleaner: Cleaner) -> None:
        self.refused(tmp_path / "nowhere", cleaner, "nowhere", "no folder")

    @pytest.mark.parametrize("role", ["moire", "clean"])
    def test_without_twin(self, pairs: Path, cleaner: Cleaner, role: str) -> None:
        (pairs / f"b_{role}.png").unlink()
        self.refused(pairs, cleaner, "b_moire", "b_clean", "twin")

    def test_of_two_sizes(self, pairs: Path, cleaner: Cleaner) -> None:
        write(pairs / "b_clean.png", scene(0, side=301))
        self.refused(pairs, cleaner, "b_moire.png", "300 x 300", "301 x 301")

    def test_two_files_of_one_name(self, pairs: Path, cleaner: Cleaner) -> None:
        shutil.copy(pairs / "b_moire.png", pairs / "b_moire.bmp")
        self.refused(pairs, cleaner, "b_moire.png", "b_moire.bmp")

    @pytest.mark.parametrize("name", ["b_moire.png", "b_clean.png", "c_only_clean.png"])
    def test_no_image(self, pairs: Path, cleaner: Cleaner, name: str) -> None:
        (pairs / name).write_bytes(b"no image at all")
        self.refused(pairs, cleaner, name, "cannot be read (not an image)")

    @pytest.mark.parametrize("name", ["b_moire.png", "b_clean.png"])
    def test_cut_short(self, pairs: Path, cleaner: Cleaner, name: str) -> None:
        whole = (pairs / name).read_bytes()
        (pairs / name).write_bytes(whole[: len(whole) // 2])
        self.refused(pairs, cleaner, name, "cannot be read (truncated)")


def test_files_of_other_roles_are_passed_by(
    pairs: Path, make_cleaner: Callable[..., Cleaner]
) -> None:
    for name in ("b_defocus.png", "b_guide.png", "moire.png"):
        shutil.copy(pairs / "b_clean.png", pairs / name)
    assert evaluate_pairs(pairs, make_cleaner("never"))["detector"]["n"] == 6


class TestThePage:
    @pytest.fixture
    def page(
        self, pairs: Path, tmp_path: Path, make_cleaner: Callable[..., Cleaner]
    ) -> Iterator[str]:
        for role in ("moire", "clean"):
            shutil.copy(pairs / f"b_{role}.png", pairs / f"<b onclick=x>_{role}.png")
        (pairs / "labels.csv").write_text("name,kind,strength\na,screen,7.99\n")
        cleaner = make_cleaner("always")
        evaluate_page(evaluate_pairs(pairs, cleaner), pairs, tmp_path / "out/page.html", cleaner)
        yield (tmp_path / "out/page.html").read_text()

    def test_it_shows_every_pair_with_its_rival_and_its_truth(self, page: str) -> None:
        assert page.count("<figure") == 4
        assert page.count("data:image/jpeg;base64,") == 4 * 4

    def test_names_are_text_and_nothing_is_fetched(self, page: str) -> None:
        assert "<b onclick" not in page and "&lt;b onclick=x&gt;" in page
        assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
        assert "<script" not in page

    def test_it_has_a_roc_curve_a_reliability_diagram_and_a_confusion_table(
        self, page: str
    ) -> None:
        assert page.count("<polyline") == 2
        assert "ROC curve" in page and "Reliability diagram" in page and "Confusion by kind" in page

    def test_it_says_how_much_was_found_of_which_strength(self, page: str) -> None:
        table = page[page.index("Found, by strength") :]
        assert "<td>4</td><td>1</td><td>1</td>" in table[: table.index("</table>")]

    def test_it_shows_the_colour_difference_of_every_pair(self, page: str) -> None:
        assert page.count("CIEDE2000") == 4 + 1

    def test_detector_only_folders_have_a_page_too(
        self, ranked: tuple[Path, Cleaner, list[float]], tmp_path: Path
    ) -> None:
        folder, cleaner, _ = ranked
        label(folder, lambda rank: False)
        evaluate_page(evaluate_pairs(folder, cleaner), folder, tmp_path / "page.html", cleaner)
        assert "all images are of one class" in (tmp_path / "page.html").read_text()

    def test_a_place_that_cannot_be_written_is_one_sentence(
        self, ranked: tuple[Path, Cleaner, list[float]], tmp_path: Path
    ) -> None:
        folder, cleaner, _ = ranked
        label(folder, lambda rank: rank > 3)
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot be written"):
            evaluate_page(
                evaluate_pairs(folder, cleaner), folder, tmp_path / "file/page.html", cleaner
            )
