"""Removing a folder of a mirror that is empty, on any kind of place.

Locally that is a folder, in a bucket a key that ends in '/', and on other stores a folder where
they have such things (as Azure's data lakes do).
"""

import fsspec

from pipelines.storage.fsspec_place import FsspecPlace
from pipelines.storage.local import LocalPlace
from pipelines.storage.local_files import path_in
from pipelines.storage.options import read_storage_options
from pipelines.storage.place import Place


def remove_empty_folder(place: Place, path: str) -> bool:
    """Remove a folder if nothing is in it; whether there is none any more.

    One that cannot be removed does no harm, and stays.
    """
    try:
        if isinstance(place, LocalPlace):
            path_in(place, path).rmdir()
            return True
        if isinstance(place, FsspecPlace):
            return _removed_in_store(place, path)
    except FileNotFoundError:
        return True
    except (OSError, NotImplementedError):
        return False
    marker = place.stat(f"{path}/")
    if marker is not None and marker.size == 0:
        place.delete(f"{path}/")
    return True


def _removed_in_store(place: FsspecPlace, path: str) -> bool:
    fs, folder = fsspec.core.url_to_fs(place.child(path).uri, **read_storage_options())
    fs.invalidate_cache()
    if not fs.isdir(folder):
        return True
    if fs.ls(folder, detail=False):
        return False
    fs.rmdir(folder)
    return True
