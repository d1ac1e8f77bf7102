"""What the bench came to. The fields and their order are those of `demoire bench --json`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ceilings:
    """Megapixels a second of each stage of cleaning alone."""

    decode: float
    detect: float
    restore: float
    encode: float
    fetch: float
    commit: float


@dataclass(frozen=True)
class JobFigures:
    """The whole job, as far as it says how much its rate is worth."""

    images: int
    cleaned: int
    megapixels: float
    seconds: float  # from the first unit begun to the last one committed


@dataclass(frozen=True)
class Shares:
    """How much of the whole work a collection's moiré asks for, each 0..1."""

    cleaned: float  # of the images: these are encoded and committed
    judged_again: float  # of the cells, after they were restored
    # Of the restorer's work on every cell, halos included: single cells cost more than their area.
    restored: float


@dataclass(frozen=True)
class Machine:
    """What was measured."""

    cpu: str
    cores: int  # that this process may use
    load: float  # processes that ran or waited in the minute before the bench
    memory_gb: float
    device: str
    torch: str
    ray: str
    python: str
    system: str


@dataclass(frozen=True)
class BenchResult:
    """The figures of a machine. Rates are megapixels of image a second."""

    # The networks alone, on batches of their usual shape: the configuration's restorer, the fast
    # one with random weights, the detector.
    model_mps: float
    fast_mps: float
    detector_mps: float
    ceilings: Ceilings
    end_to_end_mps: float  # the whole job over the time of cleaning
    possible_mps: float  # what the ceilings allow for that job
    efficiency: float  # end_to_end_mps over possible_mps
    script_mps: float  # one process, one whole picture after another
    # The most that Ray's workers held together at one moment of the job. Pages that they share
    # count in each of them.
    peak_rss_mb: float
    job: JobFigures
    shares: Shares
    machine: Machine


@dataclass(frozen=True)
class CopiedStages:
    """Milliseconds of core time a megapixel of a picture that is copied, without the networks."""

    fetch: float  # from a tar
    decode: float
    judge: float  # what goes around the detector
    commit: float  # hashes, report rows and marker


@dataclass(frozen=True)
class CleanedStages:
    """The same of a picture of which every cell is cleaned."""

    fetch: float
    decode: float
    judge: float
    restore: float  # what goes around the restorer, and the look at its change
    blend: float
    gate: float  # whether a pattern was taken away
    measure: float  # PSNR, SSIM, CIEDE2000
    encode: float
    verify: float  # reading again what was written
    judge_again: float
    commit: float  # hashes, payloads, report rows and marker


@dataclass(frozen=True)
class CoreCost:
    """What a megapixel of one sort of picture costs apart from the networks."""

    milliseconds: float  # of core time a megapixel, from the tar to the marker
    mps_a_core: float
    stages: CleanedStages | CopiedStages  # measured one by one

    @staticmethod
    def of(milliseconds: float, stages: CleanedStages | CopiedStages) -> "CoreCost":
        """The cost of a path that takes this long."""
        return CoreCost(milliseconds, 1000 / milliseconds, stages)


@dataclass(frozen=True)
class CoreCosts:
    """What `demoire bench --no-networks --json` gives."""

    cleaned: CoreCost
    copied: CoreCost
    # Keeping type as it was, a megapixel of a printed page; the pictures above are no print.
    lettering: float
    machine: Machine
