"""Options of the storage backend, as the environment carries them."""

import json
import os
from typing import Any

from demoire.errors import ConfigError

# A JSON object of options for s3fs, or for the fsspec file system of another scheme. It may hold
# secrets, so no message quotes it.
STORAGE_OPTIONS = "DEMOIRE_STORAGE_OPTIONS"


def read_storage_options() -> dict[str, Any]:
    """Return what DEMOIRE_STORAGE_OPTIONS holds; nothing where it is not set.

    Raises:
        ConfigError: It is no JSON object.
    """
    try:
        options = json.loads(os.environ.get(STORAGE_OPTIONS) or "{}")
    except json.JSONDecodeError:
        options = None
    if not isinstance(options, dict):
        raise ConfigError(
            f'{STORAGE_OPTIONS} is no JSON object: write it like {{"endpoint_url": "https://..."}}.'
        )
    return options
