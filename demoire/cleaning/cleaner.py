"""Cleaner: an image file in, the cleaned file and its scores out. The one call of all layers above.

The detector's score of the whole image decides whether anything happens at all; then the cells that
reach its lower threshold are restored. What the restorer gives is rounded once, in the depth of the
picture, so 16 bits stay 16 bits. Many images are decoded, run through the models and encoded at a
time (`demoire.cleaning.scheduler`).

Nothing that is wrong with one image is raised: it comes back as it was, `quarantined` with a
reason.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version

import torch
from torch import nn

from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, find_device
from demoire.cleaning.image_job import K
from demoire.cleaning.judging import judge_files
from demoire.cleaning.result import Cleaned, Detection
from demoire.cleaning.scheduler import Scheduler
from demoire.cleaning.verdict import Rules
from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.libjpeg import check_interface
from demoire.imaging.provenance import Provenance, fixed_day
from demoire.models.detector import Detector, fused
from demoire.models.networks import load_detector, load_restorer
from demoire.models.weights import find_weights


@dataclass(frozen=True)
class Models:
    """The two networks, and the digests that the report names them by.

    Anything with the same calls will do for either.

    Attributes:
        detector: Has `probabilities(x)` and a `calibration`.
        restorer: (N, 3, H, W) sRGB 0..1 -> the same; may declare `multiple` and `halo`, px.
        detector_digest: sha256 of the detector's weights file, 64 hex digits.
        restorer_digest: The same of the restorer's.
    """

    detector: Detector
    restorer: nn.Module
    detector_digest: str
    restorer_digest: str


def load_models(config: CleanerConfig, device: torch.device) -> Models:
    """The models whose weights the configuration names.

    Raises:
        WeightsError: Weights are missing, damaged, or of another kind.
    """
    return Models(
        detector=fused(load_detector(config.detector, str(device))),
        restorer=load_restorer(config.restorer, str(device)),
        detector_digest=find_weights(config.detector).digest,
        restorer_digest=find_weights(config.restorer).digest,
    )


class Cleaner:
    """Both models, loaded once. May be used by several threads at a time.

    On a CPU it computes with as many threads as torch has in this process; see `use_threads`.

    Attributes:
        config: What it was made with.
        weights_digest: sha256 of the restorer's weights file, 64 hex digits.
        detector_digest: The same of the detector's.
        memory_share: How much of the machine's memory it may use beside a GPU, 0..1. Whoever has
            several processes clean on one machine says so.
    """

    def __init__(
        self,
        config: CleanerConfig = CleanerConfig(),
        models: Models | None = None,
        day: date | None = None,
    ) -> None:
        """Load the models.

        Args:
            config: How images are cleaned.
            models: Others than those that the configuration names, on its device already.
            day: The day that cleaned files name; None: that of SOURCE_DATE_EPOCH in the
                environment, else today (UTC). Everything else that a Cleaner writes is the same
                on any day.

        Raises:
            UsageError: The device is not there, or SOURCE_DATE_EPOCH is no number.
            WeightsError: The weights cannot be used.
        """
        device = find_device(config.device)
        if models is None:
            models = load_models(config, device)
        calibration = models.detector.calibration
        threshold = calibration.threshold if config.threshold is None else config.threshold
        self.config = config
        self.weights_digest = models.restorer_digest
        self.detector_digest = models.detector_digest
        self.memory_share = 1.0
        self._engine = Engine(models.detector, models.restorer, device)
        self._rules = Rules(
            restore_all=config.gate == "off",
            threshold=threshold,
            cell_threshold=min(calibration.cell_threshold, threshold),
            sure=calibration.sure,
            free_of_doubt=calibration.free_of_doubt,
            tile_side=config.tile,
            max_megapixels=config.max_megapixels,
            max_side=config.max_side,
            allow_signed=config.allow_signed,
            note=self._note(day) if config.provenance else None,
            makes_grey=config.bilevel == "grey",
        )

    def _note(self, day: date | None) -> Provenance:
        program = f"demoire {version('demoire')}"
        own_day = day or fixed_day() or datetime.now(UTC).date()
        return Provenance(program, self.weights_digest, own_day)

    @property
    def device_name(self) -> str:
        """Such as 'cpu' or 'cuda:0 NVIDIA H200'."""
        device = self._engine.device
        if device.type == "cuda":
            return f"{device} {torch.cuda.get_device_name(device)}"
        return str(device)

    @property
    def threshold(self) -> float:
        """The image score from which an image is cleaned (were the gate not off)."""
        return self._rules.threshold

    def clean(self, data: FileBytes, name: str = "") -> Cleaned:
        """Clean one image file.

        Args:
            data: The file's bytes.
            name: What the log calls it.
        """
        _, result = next(self.clean_many([(name, data)]))
        return result

    def clean_many(self, items: Iterable[tuple[K, FileBytes]]) -> Iterator[tuple[K, Cleaned]]:
        """Clean many image files, which is faster than one after the other.

        Args:
            items: A key of the caller's and a file's bytes each. It is read by other threads, one
                at a time, as far ahead as memory allows. What it raises is raised here, after the
                results of what came before.

        Returns:
            Each key with its result, in order of completion. The iterator may be closed at any
            time.

        Raises:
            MachineError: The machine refuses what every image needs.
        """
        check_interface()  # or each JPEG file would fail by itself
        return Scheduler(self._engine, self._rules, items, self.memory_share).results()

    def detect(self, data: FileBytes) -> Detection:
        """Judge one image file without cleaning it.

        Raises:
            ImageError: The file cannot be decoded, or is larger than the configuration allows.
        """
        ((_, detection),) = self.detect_many([(None, data)])
        if isinstance(detection, ImageError):
            raise detection
        return detection

    def detect_many(
        self, items: Iterable[tuple[K, FileBytes | ImageError]]
    ) -> Iterator[tuple[K, Detection | ImageError]]:
        """Judge many image files without cleaning them; small ones share the detector's batches.

        Args:
            items: A key of the caller's and a file's bytes each, or why there are none.

        Returns:
            Each key in the order given, with what the detector says, or why the file cannot be
            decoded.
        """
        return judge_files(self._engine, self._rules, items)
