"""Training configurations: the shipped ones are sound, and a wrong one says where it is wrong."""

from pathlib import Path

import pytest

from demoire.errors import ConfigError
from demoire.training.config import TrainConfig, load_config, shipped_configs


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configuration_loads(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert sum(config.data.mix.values()) == pytest.approx(1)


def test_names_that_are_shipped() -> None:
    assert {"detector", "restorer", "restorer-fast", "tiny-detector", "tiny-restorer"} <= set(shipped_configs())


def test_fast_configuration_is_the_fast_structure() -> None:
    from demoire.restorer import FAST, RestorerConfig

    assert load_config("restorer-fast").restorer == FAST
    assert load_config("restorer").restorer == RestorerConfig()


def test_adversarial_configuration_fits_the_weights_that_it_starts_from() -> None:
    from demoire.weights import load_restorer

    config = load_config("restorer-gan")
    assert config.start_from == "restorer" and config.restorer_loss.adversarial > 0
    assert load_restorer(config.start_from).config == config.restorer


def _write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text('task = "restorer"\nname = "mine"\nsteps = 5\n' + text)
    return path


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, "[optimizer]\nlearning_rate = 0.25\n[restorer]\nmiddle_depth = 3\n"))
    assert isinstance(config, TrainConfig)
    assert (config.steps, config.optimizer.learning_rate, config.restorer.middle_depth) == (5, 0.25, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[optimizer]\nlearning_rat = 0.1\n", "optimizer.learning_rat: is not a known key"),
        ("speed = 3\n", "speed: is not a known key"),
        ("[restorer]\nwdiths = [8, 8, 8, 8]\n", "restorer.wdiths: is not a known key"),
        ("[restorer]\nkernel_size = 4\n", "kernel_size has to be odd"),
        ("[data.mix]\nwallpaper = 1.0\n", "wallpaper"),
        ("[data]\nsize = 100\n", "multiple of 32"),
        ("[data]\nscales = [1.0, 0.5]\n", "the smaller first"),
        ("[optimizer]\nlearning_rate = -1.0\n", "optimizer.learning_rate"),
        ("[restorer_loss]\nscales = [4, 512]\n", "must not be above data.size"),
        ("[restorer_loss]\nwide = 1.0\n", "restorer_loss.wide: is not a known key"),
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
