"""Archives and folders with a trap among good pictures, some 350 of them in five seconds."""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from tests.chaos.parents import good_pictures
from tests.chaos.traps.folders import folders
from tests.chaos.traps.gzips import gzips
from tests.chaos.traps.tars import tar_around, tars
from tests.chaos.traps.zip_parts import zip_around
from tests.chaos.traps.zips import zips


def hostile_archives(folder: Path, seed: int) -> dict[str, Path]:
    """Make archives and folders in `folder`; by kind, the archive or folder.

    In each of them but those that hold nothing, the `good_pictures` of the seed stand before and
    behind the trap.
    """
    folder.mkdir(parents=True, exist_ok=True)
    good, rng = good_pictures(seed), Random(seed)
    files: dict[str, tuple[str, bytes]] = {}
    for trap, tar in tars(good, rng):
        files[f"tar-{trap}"] = (".tar", tar)
        files[f"tar.gz-{trap}"] = (".tar.gz", gzip.compress(tar, 6, mtime=0))
    files |= {f"tar.gz-{trap}": (".tgz", data) for trap, data in gzips(good, rng)}
    files |= {f"zip-{trap}": (".zip", data) for trap, data in zips(good, rng)}
    files |= {
        f"no-archive-{suffix[1:]}-{what}": (suffix, data) for suffix, what, data in misnamed(good)
    }
    paths = {kind: folder / f"{kind}{suffix}" for kind, (suffix, _) in files.items()}
    for kind, path in paths.items():
        path.write_bytes(files[kind][1])
    return paths | folders(folder, good)


def misnamed(good: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """(suffix, what it is, bytes) of files that are no archive, or another than their name says."""
    contents = {
        "picture": next(iter(good.values())),
        "text": b"this is no archive\n" * 100,
        "tar": tar_around(good),
        "zip": zip_around(good),
        "gzip": gzip.compress(b"no tar", mtime=0),
        "zlib": zlib.compress(tar_around(good)),
    }
    for suffix in (".tar", ".tar.gz", ".tgz", ".zip"):
        for what, data in contents.items():
            if what != suffix[1:]:
                yield suffix, what, data
