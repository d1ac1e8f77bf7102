"""Training configurations as files: read, checked, changed and written.

A key that is not known is an error, not a shrug: a misspelt learning rate must not cost a night.
The shipped configurations lie in `configs/` and are found by name.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from demoire.errors import ConfigError
from demoire.models.detector import DetectorConfig
from demoire.models.networks import detector_structure, restorer_structure
from demoire.models.restorer import ARCHITECTURES, RestorerConfig
from demoire.models.weights import find_model
from demoire.training.config import Task, TrainConfig

_SHIPPED = Path(__file__).parent / "configs"


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The configuration {path} cannot be read; give a TOML file or a shipped name."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The configuration {path} is not valid TOML: {error}.") from error


def shipped_configs() -> tuple[str, ...]:
    """The names of the configurations that come with the package."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.toml")))


def load_config(name_or_path: str | Path) -> TrainConfig:
    """Read a configuration by shipped name ("restorer") or path.

    One that begins from weights and says nothing of the structure has theirs.

    Raises:
        ConfigError: The file is not there or not TOML, or has an unknown key or a value out of
            range.
        WeightsError: The weights to begin from, whose structure is asked for, cannot be used.
    """
    shipped = _SHIPPED / f"{name_or_path}.toml"
    path = shipped if str(name_or_path) in shipped_configs() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(shipped_configs())
        raise ConfigError(
            f"There is no configuration {name_or_path}; "
            f"give the path of a TOML file or one of {names}."
        )
    values = _parse(path)
    source = f"the configuration {path}"
    config = _checked(values, source)
    if config.start_from is None or config.task in config.model_fields_set:
        return config
    structure = _structure_of_start(config.task, config.start_from)
    return _checked({**values, config.task: structure}, source)


def _structure_of_start(task: Task, name: str) -> DetectorConfig | RestorerConfig:
    weights = find_model(task, name)
    if task == "detector":
        return detector_structure(weights)
    return restorer_structure(weights)


def _checked(values: Mapping[str, Any], source: str) -> TrainConfig:
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic's path names the chosen architecture, which is no key of the file.
        keys = [str(part) for part in first["loc"] if part not in ARCHITECTURES]
        where = ".".join(keys) or "the file"
        what = first["msg"]
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            what = "is not a known key; take it out"
        raise ConfigError(f"In {source}, {where}: {what}.") from error


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The configuration with other values, and nothing left to search.

    Args:
        config: The configuration to start from.
        values: By dotted path, such as "optimizer.learning_rate".

    Raises:
        ConfigError: There is no such path, or a value is out of range.
    """
    facts = config.model_dump(mode="json", exclude={"search"})
    for path, value in values.items():
        *sections, key = path.split(".")
        section: Any = facts
        for name in sections:
            section = section.get(name)
            if not isinstance(section, dict):
                raise ConfigError(f"In [search], {path}: is not a known key; take it out.")
        section[key] = value
    return _checked(facts, "[search]")


def to_toml(config: TrainConfig) -> str:
    """The configuration as a file that `load_config` reads: every value, but not what to search."""
    facts = config.model_dump(mode="json", exclude={"search"}, exclude_none=True)
    return tomli_w.dumps(facts)
