"""The passwords that encrypted PDF files are tried with, in this process.

They are no setting of a job, so that none can end in a plan, a report or a record. An entry point
reads them from a file; workers get them beside the credentials of the storage. Children that read
PDF files get them through their pipe, with each question.
"""

from collections.abc import Sequence
from pathlib import Path

from demoire.errors import UsageError

_in_use: list[bytes] = []


def use_passwords(passwords: Sequence[bytes]) -> None:
    """Try these passwords from now on, instead of those before."""
    _in_use[:] = passwords


def passwords_in_use() -> tuple[bytes, ...]:
    """The passwords that files are tried with."""
    return tuple(_in_use)


def read_password_file(file: Path) -> tuple[bytes, ...]:
    """The passwords in a file, one a line; blank lines are passed over.

    Raises:
        UsageError: The file cannot be read, or holds none.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The password file {file} cannot be read ({error.strerror}): check the path given to "
            "--pdf-password-file."
        ) from None
    passwords = tuple(line for line in data.replace(b"\r\n", b"\n").split(b"\n") if line)
    if not passwords:
        raise UsageError(f"The password file {file} holds no password: write one a line.")
    return passwords
