"""Options of the storage backend, as the environment carries them."""

import json
import os
from typing import Any

from demoire.errors import ConfigError

# environment: JSON object of s3fs options; may hold secrets
STORAGE_OPTIONS = "DEMOIRE_STORAGE_OPTIONS"


def read_storage_options() -> dict[str, Any]:
    """What DEMOIRE_STORAGE_OPTIONS holds. Raises ConfigError, which does not quote it: it may hold
    a secret.
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
