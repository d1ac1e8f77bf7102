"""`--storage-option KEY=VALUE`: from the command line to the environment.

They may be credentials, so they never become a parameter of a job or a flow: they travel in the
environment, where the storage layer and its workers on this machine look for them.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from demoire.errors import UsageError


def keep_storage_options(words: Sequence[str] | None) -> None:
    """Put the options into the environment, over those that are there already.

    Raises:
        UsageError: One is not of the form KEY=VALUE. It is not quoted: it may hold a secret.
    """
    if not words:
        return
    from setproctitle import setproctitle

    from pipelines.storage.options import STORAGE_OPTIONS, read_storage_options

    # Whoever lists processes reads the command line, and Ray copies it into its table of jobs.
    setproctitle("demoire")
    options = read_storage_options()
    for number, word in enumerate(words, start=1):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--storage-option number {number} is not of the form KEY=VALUE, "
                "such as 'anon=true'."
            )
        options[key] = _value(value)
    os.environ[STORAGE_OPTIONS] = json.dumps(options)


def _value(text: str) -> Any:
    """JSON as what it means (true, 5, {...}), and anything else as text.

    Text that consists of digits has to be written with double quotes.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
