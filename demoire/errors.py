"""The errors a user can meet, each with an exit status and a sentence that says the way out.

The command line prints `str(error)` and exits with `error.exit_code`; nothing else decides either.
`ImageError` alone does not end a run: it sends one image into quarantine under its `reason`.

The tree, with exit statuses:

    DemoireError                    3   the run failed
    ├── UsageError                  2   bad usage or bad input
    │   ├── UnusablePlaceError      2   (also a StorageError) a place the user has to put right
    │   │   └── RefusedNameError    2   a name that the place cannot hold
    │   ├── WeightsError            2
    │   └── ConfigError             2
    ├── StorageError                3   a store that failed for the moment
    │   └── UnusablePlaceError      2
    ├── MachineError                3
    ├── SourceChangedError          3
    ├── StoppedError                3
    ├── StalledError                3
    ├── ProofError                  3
    ├── CanaryError                 3
    └── ImageError                      never ends a run
"""

from demoire.reasons import Reason

# With this a process ends whose work stood still (EX_TEMPFAIL of sysexits.h): begin it again.
STALLED_STATUS = 75

INTERRUPTED_STATUS = 130  # stopped by the keyboard: 128 and the number of SIGINT, as shells have it


class DemoireError(Exception):
    """Base of all errors that are meant for the user. Exit status 3: the run failed."""

    exit_code = 3


class UsageError(DemoireError):
    """Bad usage or bad input: a missing source, an unknown device, a value out of range.

    Exit status 2.
    """

    exit_code = 2


class StorageError(DemoireError):
    """A store that failed for the moment: it was away, too busy, or lost the connection.

    Exit status 3: the same command may well succeed later, so a scheduler should try it again.
    """


class UnusablePlaceError(StorageError, UsageError):
    """A place that stays unusable until the user puts it right.

    There is no such bucket or path, credentials are refused, or a destination cannot be written.
    Exit status 2.
    """

    exit_code = 2


class RefusedNameError(UnusablePlaceError):
    """A name that a place cannot hold.

    It is too long, has characters that the place refuses, or something else stands in its way. In
    a mirror only the one object is left out.

    Attributes:
        reason: Why, as the report says it.
    """

    def __init__(self, message: str, reason: Reason = Reason.NAME_REFUSED) -> None:
        super().__init__(message)
        self.reason = reason


class WeightsError(UsageError):
    """Weights that are missing, damaged, of a newer format, or of another architecture.

    Exit status 2.
    """


class ConfigError(UsageError):
    """A configuration file with unknown keys or values out of range. Exit status 2."""


class MachineError(DemoireError):
    """The machine refuses what every image needs, such as one more process or open file.

    No image is to blame, so the run ends instead of quarantining one after the other. Exit status
    3.
    """


class SourceChangedError(DemoireError):
    """A source is no longer the object that was planned.

    Exit status 3; running the same command again plans it anew.
    """


class StoppedError(DemoireError):
    """The run was asked to stop, and did so in good order.

    Exit status 3; running the same command again goes on where it ended.
    """


class StalledError(DemoireError):
    """The work stood still and was ended; what is committed stays.

    Exit status 3. The command line begins the same command again by itself, a few times.
    """


class ProofError(DemoireError):
    """The count at the end does not come out: planned is not cleaned + copied + quarantined.

    Exit status 3.
    """


class CanaryError(DemoireError):
    """A first wave that would change more images than it may. Nothing of the archive was cleaned.

    Exit status 3.
    """


class ImageError(DemoireError):
    """One image that cannot be cleaned; it is copied as it is, and the run goes on.

    Attributes:
        reason: Why; it says as well whether the image is quarantined.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[Reason, str]]:
        """Pickle with the reason, since images are decoded in processes of their own."""
        return type(self), (self.reason, str(self))
