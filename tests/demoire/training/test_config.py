"""Training configurations: the shipped ones are sound, and a wrong one says where it is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demoire.errors import ConfigError
from demoire.models.cost import network_cost
from demoire.models.detector import Detector, DetectorConfig
from demoire.models.dmcnn import DMCNNConfig
from demoire.models.esdnet import ESDNetConfig
from demoire.models.networks import load_restorer, save_detector, save_restorer
from demoire.models.restorer import build_restorer
from demoire.models.transformer import Transformer, TransformerConfig
from demoire.models.unet import UNetConfig
from demoire.training.config import TrainConfig
from demoire.training.config_files import load_config, shipped_configs, to_toml
from demoire.training.growth import can_grow


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configuration_loads(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert sum(config.data.mix.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", shipped_configs())
def test_configuration_survives_being_written(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    (tmp_path / "again.toml").write_text(to_toml(config))
    assert load_config(tmp_path / "again.toml") == config.model_copy(update={"search": {}})


def test_names_that_are_shipped() -> None:
    assert {"detector", "restorer", "restorer-fast", "tiny-detector", "tiny-restorer"} <= set(
        shipped_configs()
    )


@pytest.mark.parametrize("name", ["restorer", "restorer-fast"])
def test_shipped_weights_have_the_structure_of_their_configuration_or_are_pruned(name: str) -> None:
    shipped = load_restorer(name).config
    structure = load_config(name).restorer
    assert isinstance(shipped, UNetConfig) and isinstance(structure, UNetConfig)
    assert replace(shipped, hidden={}) == structure
    assert can_grow(shipped, structure)


@pytest.mark.parametrize(
    ("name", "kind", "most"),
    [
        ("restorer-fast", UNetConfig, 10_000),
        ("restorer", UNetConfig, 25_000),
        ("restorer-large", UNetConfig, 150_000),
        ("restorer-dmcnn", DMCNNConfig, 25_000),
        ("restorer-transformer", TransformerConfig, 25_000),
        ("restorer-esdnet", ESDNetConfig, 270_000),
    ],
)
def test_shipped_restorers_are_what_their_names_say_within_their_cost(
    name: str, kind: type, most: int
) -> None:
    restorer = load_config(name).restorer
    assert type(restorer) is kind
    with torch.device("meta"):
        network = build_restorer(restorer)
    assert network_cost(network).macs_per_pixel <= most


def test_adversarial_configuration_fits_the_weights_that_it_starts_from() -> None:
    config = load_config("restorer-gan")
    assert config.start_from == "restorer" and config.restorer_loss.adversarial > 0
    start = load_restorer(config.start_from).config
    assert isinstance(start, UNetConfig) and isinstance(config.restorer, UNetConfig)
    assert can_grow(start, config.restorer)


def _write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text('task = "restorer"\nname = "mine"\nsteps = 5\n' + text)
    return path


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    config = load_config(
        _write(tmp_path, "[optimizer]\nlearning_rate = 0.25\n[restorer]\nmiddle_depth = 3\n")
    )
    assert isinstance(config, TrainConfig)
    assert (config.steps, config.optimizer.learning_rate, config.restorer.middle_depth) == (
        5,
        0.25,
        3,
    )


def test_a_file_chooses_the_architecture(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, '[restorer]\narchitecture = "dmcnn"\ndepth = 2\n'))
    assert config.restorer == DMCNNConfig(depth=2)


@pytest.mark.parametrize("name", ["restorer", "restorer-fast"])
def test_what_begins_from_weights_has_their_structure(tmp_path: Path, name: str) -> None:
    config = load_config(_write(tmp_path, f'start_from = "{name}"\n'))
    assert config.restorer == load_restorer(name).config


def test_a_detector_that_begins_from_weights_has_their_structure(tmp_path: Path) -> None:
    small = Detector(DetectorConfig(widths=(8, 8, 8, 8, 8), spectrum=()))
    save_detector(small, tmp_path / "small.safetensors", {})
    mine = tmp_path / "mine.toml"
    start = tmp_path / "small.safetensors"
    mine.write_text(f'task = "detector"\nname = "mine"\nsteps = 5\nstart_from = "{start}"\n')
    assert load_config(mine).detector == small.config


def test_a_section_for_the_structure_is_kept_beside_weights_to_begin_from(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, 'start_from = "restorer"\n[restorer]\n'))
    assert config.restorer == UNetConfig()


def test_the_structure_of_weights_is_checked_as_one_that_is_written_down(tmp_path: Path) -> None:
    save_restorer(Transformer(), tmp_path / "start.safetensors", {})
    start = tmp_path / "start.safetensors"
    with pytest.raises(ConfigError, match="multiple of 128"):
        load_config(_write(tmp_path, f'start_from = "{start}"\n[data]\nsize = 96\n'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[optimizer]\nlearning_rat = 0.1\n", "optimizer.learning_rat: is not a known key"),
        ("speed = 3\n", "speed: is not a known key"),
        ("[restorer]\nwdiths = [8, 8, 8, 8]\n", "restorer.wdiths: is not a known key"),
        ("[restorer]\nkernel_size = 4\n", "kernel_size has to be odd"),
        (
            '[restorer]\narchitecture = "perceptron"\n',
            "restorer: there is no such architecture; use one of unet",
        ),
        (
            '[restorer]\narchitecture = "dmcnn"\nmiddle_depth = 2\n',
            "restorer.middle_depth: is not a known key",
        ),
        ('[restorer]\narchitecture = "transformer"\nhead_width = 20\n', "head_width has to divide"),
        ('[restorer]\narchitecture = "transformer"\n[data]\nsize = 192\n', "multiple of 128"),
        ("[data.mix]\nwallpaper = 1.0\n", "wallpaper"),
        ("[data]\nsize = 100\n", "multiple of 32"),
        ("[data]\nscales = [1.0, 0.5]\n", "the smaller first"),
        ("[optimizer]\nlearning_rate = -1.0\n", "optimizer.learning_rate"),
        ("[restorer_loss]\nscales = [4, 512]\n", "must not be above data.size"),
        ("[restorer_loss]\nwide = 1.0\n", "restorer_loss.wide: is not a known key"),
        ("[[curriculum]]\nafter = 1\nsize = 100\n", "multiple of 32"),
        ("[[curriculum]]\nafter = 1000000\nsize = 128\n", "before the last step"),
        (
            "[[curriculum]]\nafter = 5\nscales = [1.0, 2.0]\n",
            "curriculum.0.scales: is not a known key",
        ),
        ("[optimizer\n", "not valid TOML"),
    ],
)
def test_wrong_configuration_says_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_configuration_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="restorer-fast"):
        load_config("nosuch")
