"""What the file systems of this machine refuse, as one sentence for the user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from demoire.errors import RefusedNameError, StorageError, UnusablePlaceError
from demoire.reasons import Reason
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


@contextmanager
def explaining(name: str, verb: str) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError.

    Args:
        name: The file or folder, as it may be shown.
        verb: What could not be done with it.
    """
    try:
        yield
    except OSError as error:
        cannot = f"Cannot {verb} {name}"
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
