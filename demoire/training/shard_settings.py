"""Which settings the pairs in a folder of shards were made with.

Shards outlive the run that made them, and pairs made with other settings teach something else:
without `exposed_twins`, say, a detector learns noise as moiré. So the folder keeps what decides how
a pair looks in `settings.json`, and a training that finds other settings there says so. Folders of
before have no such file, and nothing is known of their pairs.
"""

import json
import logging
from pathlib import Path
from typing import Any

from demoire.errors import UsageError
from demoire.files import write_whole
from demoire.training.config import DataConfig

_LOG = logging.getLogger(__name__)

_FILE = "settings.json"
# Not the mix: training draws the kinds in its own shares, and misses none without saying so.
_OF_A_PAIR = ("drawn", "exposed_twins", "press", "grids", "scales")
# Larger pairs than a training asks for are cut to size, but one folder holds one size.
_OF_A_FOLDER = ("size", *_OF_A_PAIR)


def record_settings(shards: Path, data: DataConfig) -> None:
    """Note in a folder which settings its pairs are made with."""
    settings = data.model_dump(mode="json", include=set(_OF_A_FOLDER))
    write_whole(shards / _FILE, json.dumps(settings, indent=1).encode())


def compare_settings(shards: Path, data: DataConfig, *, are_whole: bool) -> None:
    """Say so where the pairs in a folder were made with other settings than these.

    Args:
        shards: The folder.
        data: The settings of the training that is to read it.
        are_whole: No shard has to be added to the folder.

    Raises:
        UsageError: Shards would be added that do not match those in the folder, or the file with
            the settings is damaged.
    """
    recorded = _recorded(shards)
    wanted = data.model_dump(mode="json")
    there: list[str] = []
    here: list[str] = []
    for name in _OF_A_PAIR if are_whole else _OF_A_FOLDER:
        if name in recorded and recorded[name] != wanted[name]:
            there.append(f"data.{name} = {_as_toml(recorded[name])}")
            here.append(_as_toml(wanted[name]))
    if not there:
        return
    difference = f"were made with {' and '.join(there)}, not {' and '.join(here)}"
    if are_whole:
        _LOG.warning(
            "The shards in %s %s; give --shards another folder to have pairs made anew.",
            shards,
            difference,
        )
        return
    raise UsageError(
        f"The shards in {shards} {difference}, and data.shards asks for more of them; "
        "give --shards another folder, or lower data.shards."
    )


def _recorded(shards: Path) -> dict[str, Any]:
    """The settings in the folder; empty where there are none."""
    file = shards / _FILE
    if not file.exists():
        return {}
    try:
        recorded = json.loads(file.read_bytes())
    except ValueError:
        recorded = None
    if not isinstance(recorded, dict):
        raise UsageError(f"{file} is damaged; delete it, or give --shards another folder.")
    return recorded


def _as_toml(setting: Any) -> str:
    """A number, a truth value or a list of numbers as the configuration writes it."""
    return json.dumps(setting)
