"""Reading the small JSON objects of the bookkeeping: right by type, or one sentence for the user.

An object written by another version of this program may have other keys. Reading it must end in a
sentence that says what to do, not in a TypeError from deep inside a run. Costs about 0.1 s of
import a process (pydantic), and microseconds an object.
"""

import json
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from demoire.errors import UsageError
from pipelines.storage.place import Place

Facts = TypeVar("Facts")


def read_json(place: Place, path: str, form: TypeAdapter[Facts]) -> Facts:
    """Read one JSON object and check it against its form.

    Args:
        place: DST.
        path: Of the object, under DST.
        form: What it has to look like.

    Raises:
        UsageError: It is damaged, or has the form of another version.
        StorageError: It cannot be read.
    """
    return check_json(place.read(path), place.full(path), form)


def check_json(data: bytes, name: str, form: TypeAdapter[Facts]) -> Facts:
    """Check the text of one JSON object against its form; `name` is for the message.

    Raises:
        UsageError: It is damaged, or has the form of another version.
    """
    try:
        # Not `validate_json`: names that are not UTF-8 are kept as lone surrogates, which the
        # standard library reads and pydantic's own parser refuses.
        return form.validate_python(json.loads(data))
    except (ValidationError, ValueError) as error:
        raise UsageError(
            f"{name} is damaged, or another version of demoire wrote it: "
            "go on with that version, or delete the file and run the same command again."
        ) from error
