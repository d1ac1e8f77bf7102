"""The same command once more, where the work stood still.

Ray's library cannot begin again in a process whose Ray has died or stands still: threads of it go
on waiting, and some end the process. So the process replaces itself, and the same command goes on
where it ended; that is what every command promises anyway.
"""

import os
import sys
from typing import NoReturn

from demoire.errors import DemoireError, StalledError
from flows.leash import MARK

GOES = "DEMOIRE_GOES"  # how often the command was begun

_MOST_GOES = 5


def begin_again(stall: StalledError) -> NoReturn:
    """Replace this process by the same command.

    Raises:
        DemoireError: It was begun often enough.
    """
    goes = int(os.environ.get(GOES) or 1)
    if goes >= _MOST_GOES:
        raise DemoireError(
            f"{stall} It was begun {goes} times: see whether this machine is overloaded or short "
            "of memory first."
        )
    print(f"demoire: {stall} It is begun again now.", file=sys.stderr)
    os.environ[GOES] = str(goes + 1)
    # The watchdog of this process takes its replacement for one of its children.
    os.environ.pop(MARK, None)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)
