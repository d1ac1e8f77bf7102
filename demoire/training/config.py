"""What a training run is made of, section by section, with the range of every value.

`demoire.training.config_files` reads and writes it as TOML.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from demoire.models.detector import DetectorConfig
from demoire.models.restorer import ARCHITECTURES, RestorerConfig
from demoire.models.unet import UNetConfig
from demoire.moire import CELL, MoireKind
from demoire.simulate.simulator import VISIBLE

Task = Literal["restorer", "detector"]
# What a tile of field pictures is made of; see demoire.training.field_tiles.
FieldTile = Literal[
    "stored", "processed", "drawn", "shown", "twin", "screen", "layer", "halftone", "texture"
]

# What a pair of field pictures is made of; see demoire.training.field_twins.
FieldTwin = Literal["layer", "photograph", "stored", "processed", "drawn"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """The pairs: what they show and how many there are at a time."""

    size: PositiveInt = 256  # side of a crop, px
    batch: PositiveInt = 8
    mix: dict[MoireKind, NonNegativeFloat] = {
        "screen": 0.45,
        "halftone": 0.3,
        "texture": 0.15,
        "none": 0.1,
    }
    drawn: float = Field(0.15, ge=0, le=1)  # share of scenes that are drawn, not read
    # the same among samples of kind "none": look-alikes and drawn scenes
    drawn_clean: float = Field(0.5, ge=0, le=1)
    # share of samples of kind "none" that are the clean twins of moiré pictures
    twins: float = Field(0.0, ge=0, le=1)
    # twins went through the same sensor, noise and JPEG: what a detector needs, and no restorer
    exposed_twins: bool = False
    # share of samples of kind "none" that are crops of the images just as they are stored
    originals: float = Field(0.0, ge=0, le=1)
    # share of halftone prints that are drawn as presses make them, with coarser screens; see
    # demoire.simulate.print_process
    press: float = Field(0.0, ge=0, le=1)
    # share of photographs of screens that show a strong grid; see demoire.simulate.grid
    grids: float = Field(0.0, ge=0, le=1)
    # a scene is resized by a factor between these before it is used
    scales: tuple[float, float] = (0.5, 1.25)
    flip: bool = True
    rotate: bool = True  # by multiples of 90 degrees
    # spread of the logarithms of a random gain and gamma of each colour
    tone: float = Field(0.0, ge=0, le=0.5)
    seed: int = Field(0, ge=0)
    workers: int = Field(1, ge=0)  # processes that simulate; 0 simulates in the training process
    # of 256 pairs each, where pairs are simulated beforehand (`demoire train --shards`)
    shards: PositiveInt = 96
    cache_megapixels: NonNegativeFloat = 1000.0  # decoded scenes kept in memory, 3 MB a megapixel
    # A restorer's screens are simulated anew for every batch, on the device that trains, of so many
    # scenes that are kept there, 0.8 MB each; `tone` is not for them. 0 takes them from where all
    # others come from.
    fresh_scenes: int = Field(0, ge=0)
    visible: NonNegativeFloat = VISIBLE  # from this strength on a pair counts as moiré
    # below this strength a pair counts as clean; between, it is not used
    invisible: NonNegativeFloat = 0.3
    validation_per_kind: PositiveInt = 32
    # the same for kind "none", where it takes more to set a threshold
    validation_clean: PositiveInt | None = None

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if not sum(self.mix.values()) > 0:
            raise ValueError("mix names no kind with a share above 0")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError("scales have to be two positive numbers, the smaller first")
        if self.invisible > self.visible:
            raise ValueError("invisible must not be above visible")
        if self.twins + self.originals > 1:
            raise ValueError(
                "twins and originals are shares of the same samples; together at most 1"
            )
        return self


class FieldConfig(_Section):
    """What real pictures add to a training, where a folder of them is given."""

    # of all samples; the others are simulated
    share: float = Field(0.7, ge=0, le=1)
    # how often each kind of tile is drawn for a detector, of any sum
    mix: dict[FieldTile, NonNegativeFloat] = {
        "stored": 0.17,
        "processed": 0.14,
        "drawn": 0.03,
        "shown": 0.03,
        "twin": 0.04,
        "screen": 0.12,
        "layer": 0.07,
        "halftone": 0.06,
        "texture": 0.05,
    }
    # how often each kind of pair is drawn for a restorer, of any sum
    twins: dict[FieldTwin, NonNegativeFloat] = {
        "layer": 0.45,
        "photograph": 0.45,
        "stored": 0.05,
        "processed": 0.03,
        "drawn": 0.02,
    }
    # RMS in 1/255 of the strongest pattern that a restorer's layers have
    strongest: float = Field(13.0, ge=2)
    # by source, how many times as often its clean pictures are drawn as others of their size
    emphasis: dict[str, NonNegativeFloat] = {}
    drawn: PositiveInt = 100  # clean drawings that are kept to be processed
    # So many tiles are made, kept (0.2 MB each) and drawn again, turned and toned anew: making one
    # takes three times as long as a training step on it. 0 makes every tile anew.
    pool: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> "FieldConfig":
        if not sum(self.mix.values()) > 0:
            raise ValueError("mix names no kind of tile with a share above 0")
        if not sum(self.twins.values()) > 0:
            raise ValueError("twins names no kind of pair with a share above 0")
        return self


class CurriculumStage(_Section):
    """A later part of training: what changes about the data from a step on; the rest stays."""

    after: PositiveInt  # steps
    size: PositiveInt | None = None
    batch: PositiveInt | None = None
    mix: dict[MoireKind, NonNegativeFloat] | None = None


class OptimizerConfig(_Section):
    """How the weights move."""

    kind: Literal["gradient_descent", "sgd", "adam", "adamw", "muon"] = "adamw"
    learning_rate: float = Field(5e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)  # of sgd
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = Field(200, ge=0)
    final_share: float = Field(0.01, ge=0, le=1)  # of the learning rate, at the end of the cosine
    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 1e-4  # decoupled weight decay with adamw
    clip_norm: NonNegativeFloat = 1.0  # of the gradient; 0 does not clip
    # decay of the running mean of the weights, which is what is kept
    ema: float = Field(0.999, ge=0, lt=1)


class RestorerLossConfig(_Section):
    """Weights of the parts of the restorer's loss."""

    pixel: Literal["charbonnier", "l1", "l2", "psnr"] = "charbonnier"
    # L1 on pictures averaged over squares of each of `scales`: the wide bands
    multi_scale: NonNegativeFloat = 1.0
    scales: tuple[PositiveInt, ...] = Field((4, 16), min_length=1)  # px
    frequency: NonNegativeFloat = 0.0  # L1 between the spectra
    # how far the mean tone of regions is off, every decibel the same
    tone: NonNegativeFloat = 0.0
    # by how much the truth's steepest edges became flatter
    edges: NonNegativeFloat = 0.0
    # distance of blurred pictures in CIELAB's a* and b*: coloured bands
    colour: NonNegativeFloat = 0.0
    # how much less real than the truth a discriminator finds it; above 0 makes one
    adversarial: NonNegativeFloat = 0.0


class DiscriminatorConfig(_Section):
    """What the restorer is trained against where `restorer_loss.adversarial` is above 0."""

    # channels at 1/2, 1/4, 1/8 ...
    widths: tuple[PositiveInt, ...] = Field((32, 64, 128), min_length=1)
    learning_rate: float = Field(2e-4, gt=0)  # constant; of Adam
    warmup_steps: int = Field(500, ge=0)  # in which it learns alone


class DetectorLossConfig(_Section):
    """The detector's loss: cross entropy, focal where gamma is above 0."""

    focal_gamma: NonNegativeFloat = 0.0
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class SearchRange(_Section):
    """Values between two bounds, both included; whole numbers where both bounds are."""

    low: int | float
    high: int | float
    log: bool = False  # as many values between 1 and 10 as between 10 and 100

    @model_validator(mode="after")
    def _check(self) -> "SearchRange":
        if not self.low < self.high:
            raise ValueError("low has to be below high")
        if self.log and self.low <= 0:
            raise ValueError("low has to be above 0 where log is true")
        return self


def _form(options: object) -> str:
    return "choices" if isinstance(options, list) else "range"


# What a key may be in a search: one of a list, or anything in a range.
SearchOptions = Annotated[
    Annotated[list[Any], Field(min_length=1), Tag("choices")]
    | Annotated[SearchRange, Tag("range")],
    Discriminator(_form),
]


class TrainConfig(_Section):
    """One training run."""

    task: Task
    # the weights become OUT/NAME.safetensors
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    steps: PositiveInt
    # stop with a checkpoint before so much time has passed, reading the pictures included; `resume`
    # goes on from there
    minutes: float | None = Field(None, gt=0)
    restorer: RestorerConfig = UNetConfig()
    detector: DetectorConfig = DetectorConfig()
    data: DataConfig = DataConfig()
    field: FieldConfig = FieldConfig()
    # `data` is what it begins with, and what validation pairs are made by
    curriculum: tuple[CurriculumStage, ...] = ()
    optimizer: OptimizerConfig = OptimizerConfig()
    restorer_loss: RestorerLossConfig = RestorerLossConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    detector_loss: DetectorLossConfig = DetectorLossConfig()
    # weights to begin with, a shipped name or a path. Of a file without a section for the model it
    # is their structure that is trained; a U-Net may be larger than theirs
    start_from: str | None = None
    seed: int = Field(0, ge=0)  # of the weights' first values
    device: str = "cpu"
    # of the network's layers while training; bfloat16 only where the device has instructions for it
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = Field(0, ge=0)  # of torch; 0 leaves its default
    log_every: PositiveInt = 50  # steps
    validate_every: PositiveInt = 1000
    checkpoint_every: PositiveInt = 500
    # validations without a better one before stopping early; 0 never does
    patience: int = Field(0, ge=0)
    # the weights of which validation; PSNR does not see what a discriminator does
    keep: Literal["best", "last"] = "best"

    # by dotted path, what `demoire search` tries; `demoire train` passes it by
    search: dict[str, SearchOptions] = {}

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        step = 4
        if self.task == "restorer":
            step = ARCHITECTURES[self.restorer.architecture].multiple
        begins = [stage.after for stage in self.curriculum]
        if begins != sorted(set(begins)) or (begins and begins[-1] >= self.steps):
            raise ValueError(
                "the stages of the curriculum have to follow one another, "
                "and begin before the last step"
            )
        sizes = [data.size for _, _, data in self.stages()]
        if any(size % step for size in sizes):
            raise ValueError(f"data.size has to be a multiple of {step}")
        if self.task == "detector" and not 64 <= min(sizes) <= max(sizes) <= CELL:
            raise ValueError(f"data.size has to be 64 to {CELL} for a detector")
        if self.data.fresh_scenes and self.task == "detector":
            raise ValueError("data.fresh_scenes is for restorers; leave it out")
        if max(self.restorer_loss.scales) > min(sizes):
            raise ValueError("restorer_loss.scales must not be above data.size")
        return self

    def stages(self) -> list[tuple[int, int, DataConfig]]:
        """The curriculum: first step, the step after the last, and the data between them."""
        begins = [0]
        data_of_stages = [self.data]
        for stage in self.curriculum:
            changes = stage.model_dump(exclude={"after"}, exclude_none=True)
            before = data_of_stages[-1].model_dump()
            data_of_stages.append(DataConfig.model_validate(before | changes))
            begins.append(stage.after)
        ends = [*begins[1:], self.steps]
        return list(zip(begins, ends, data_of_stages, strict=True))

    def largest(self) -> DataConfig:
        """Data that serve every stage: the largest crops, and each kind's largest share."""
        stages = [data for _, _, data in self.stages()]
        mix: dict[MoireKind, float] = {}
        for data in stages:
            for kind, share in data.mix.items():
                mix[kind] = max(share, mix.get(kind, 0.0))
        with_largest_crops = max(stages, key=lambda data: data.size)
        in_order = {kind: mix[kind] for kind in sorted(mix)}
        return with_largest_crops.model_copy(update={"mix": in_order})
