"""What the operating system refused, as one sentence that names the file and the way out.

Places explain what goes wrong with their own files. Anything else that a worker touches (temporary
folders, pipes, the files of a library) fails with a bare OSError, which Ray wraps in a traceback;
`system_refusal` turns that into the same kind of sentence.
"""

import errno

from demoire.errors import StorageError, UnusablePlaceError
from pipelines.names import shown

# What the user can put right, and how. Any other error is the disk's own.
WAYS_OUT = {
    errno.ENOENT: "it does not exist, check the path",
    errno.EACCES: "permission denied, let this user in or choose another place",
    errno.EPERM: "permission denied, let this user in or choose another place",
    errno.ENOSPC: "the disk is full, free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up, free some space and run the same command again",
    errno.EFBIG: "files may not grow so large here, raise the limit (ulimit -f) and run the same "
    "command again",
    errno.EROFS: "the file system is read-only, choose another place",
    errno.ENOTDIR: "a file stands where a folder is needed, choose another place",
    errno.EEXIST: "a file stands where a folder is needed, choose another place",
    errno.EISDIR: "a folder stands where a file is needed, choose another place",
    errno.ENAMETOOLONG: "the name is too long for this file system, choose another place",
    errno.EMFILE: "too many files are open, raise the limit (ulimit -n) and run the same command "
    "again",
    errno.ENFILE: "too many files are open on this machine, end other programs and run the same "
    "command again",
    errno.ENOMEM: "the machine is out of memory, use fewer --workers and run the same command "
    "again",
}

# What has to do with no file in particular.
_OF_THE_PROCESS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def system_refusal(error: OSError) -> StorageError | None:
    """The error for the user; None where the number says nothing that a user can act on."""
    way_out = WAYS_OUT.get(error.errno or 0)
    if way_out is None:
        return None
    if error.filename is None or error.errno in _OF_THE_PROCESS:
        return UnusablePlaceError(f"The work cannot go on: {way_out}.")
    return UnusablePlaceError(f"Cannot use {shown(str(error.filename))}: {way_out}.")
