"""What the file systems of this machine refuse, as one sentence for the user.

A folder may go away under a run: it is renamed, a disk is pulled out, a share loses its server. The
errors are then those of files that do not exist. So a place may have a witness, a file or folder
that is there as long as the place is: where that is gone too, the sentence says what happened.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demoire.errors import RefusedNameError, StorageError, UnusablePlaceError
from demoire.reasons import Reason
from pipelines.names import shown
from pipelines.storage.os_errors import WAYS_OUT

# How a file system says that nothing can have such a name, so that nothing has it.
NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP)

# What is wrong with one name alone.
_TAKEN_NAMES = {
    errno.ENOTDIR: WAYS_OUT[errno.ENOTDIR],
    errno.EEXIST: WAYS_OUT[errno.EEXIST],
    errno.EISDIR: WAYS_OUT[errno.EISDIR],
    errno.ENOTEMPTY: WAYS_OUT[errno.EISDIR],
}
_REFUSED_NAMES = {
    errno.ENAMETOOLONG: WAYS_OUT[errno.ENAMETOOLONG],
    errno.EINVAL: "this file system does not take the name, rename it",
    errno.EILSEQ: "this file system does not take the name, rename it",
    errno.ELOOP: "links lead round in a circle, put them right",
}


# How a file system says that something is not there, or itself not there any more.
_AWAY = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ENODEV,
    errno.ENXIO,
    errno.EIO,
)


def is_away(witness: str) -> bool:
    """Whether a place has a witness (see the head of this module), and that is gone."""
    # Not Path.exists, which raises where a share has lost its server.
    return bool(witness) and not os.path.exists(witness)  # noqa: PTH110


@contextmanager
def explaining(name: str, verb: str, witness: str = "") -> Iterator[None]:
    """Turn an OSError of the block into a StorageError.

    Args:
        name: The file or folder, as it may be shown.
        verb: What could not be done with it.
        witness: What lies in the place and is gone where that is; '' if nothing tells.
    """
    try:
        yield
    except OSError as error:
        cannot = f"Cannot {verb} {name}"
        if error.errno in _AWAY and is_away(witness):
            place = shown(str(Path(witness).parent))
            raise StorageError(
                f"{cannot}: {place} went away; mount it again or put it back, then run the same "
                "command again. Nothing is written in its stead."
            ) from error
        taken = _TAKEN_NAMES.get(error.errno or 0)
        if taken is not None:
            raise RefusedNameError(f"{cannot}: {taken}.", Reason.NAME_TAKEN) from error
        refusal = _REFUSED_NAMES.get(error.errno or 0)
        if refusal is not None:
            raise RefusedNameError(f"{cannot}: {refusal}.") from error
        way_out = WAYS_OUT.get(error.errno or 0)
        if way_out is not None:
            raise UnusablePlaceError(f"{cannot}: {way_out}.") from error
        what = error.strerror or type(error).__name__
        raise StorageError(f"{cannot}: {what}, check the disk.") from error
