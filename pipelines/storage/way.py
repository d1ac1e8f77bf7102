"""Links in a mirror: what they say, and that no folder's way leads through one."""

import os
from pathlib import Path

from demoire.errors import RefusedNameError
from demoire.reasons import Reason
from pipelines.storage.local import LocalPlace
from pipelines.storage.place import Place


def link_at(place: Place, path: str) -> str | None:
    """What the symbolic link at a path says; None where there is none."""
    if not isinstance(place, LocalPlace):
        return None
    link = Path(place.uri, path)
    return os.fspath(link.readlink()) if link.is_symlink() else None


def leads_through_link(place: Place, folder: str) -> bool:
    """Whether a link of the mirror itself stands where a folder is needed.

    What once was a link in SRC may be a folder now. Written through the link, its files would take
    the place of others. Links that lead out of DST are the user's own way to more room.
    """
    if not isinstance(place, LocalPlace):
        return False
    top = Path(os.path.realpath(place.uri))
    real = Path(os.path.realpath(top / folder))
    return real != top / folder and real.is_relative_to(top)


def check_way(place: Place, folder: str) -> None:
    """Check that no link of the mirror itself stands where a folder is needed.

    Raises:
        RefusedNameError: There is such a link.
    """
    if leads_through_link(place, folder):
        raise RefusedNameError(
            f"{place.full(folder)} leads through a link: remove it.", Reason.NAME_TAKEN
        )
