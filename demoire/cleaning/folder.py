"""Images at hand: files and folders named on the command line, cleaned or judged one by one without
Ray or Prefect.

Needs nothing above `demoire`, so it starts as fast as torch does. Names are kept: a file goes to
DIR/NAME.EXT, a file found in a named folder to DIR/its path in that folder. What would be
overwritten wrongly (an input by its own output, or two inputs by one name) is refused before
anything is written.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demoire.errors import ImageError, UsageError
from demoire.imaging.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.result import Cleaned, Detection


@dataclass(frozen=True)
class LocalImage:
    """One image file, and its path relative to the folder that the user named (or its name
    alone).
    """

    path: Path
    relative: Path


@dataclass(frozen=True)
class Judged:
    """What the detector says of one image; `error` instead where the image could not be read."""

    path: Path
    detection: "Detection | None"
    error: str | None


def find_images(paths: Sequence[Path]) -> list[LocalImage]:
    """The named files as they are, and of named folders all files with an image's suffix, in order
    of name.

    Raises:
        UsageError: a path does not exist, or nothing was found at all.
    """
    found: list[LocalImage] = []
    for path in paths:
        if path.is_dir():
            files = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in _SUFFIXES and file.is_file()
            )
            found += [LocalImage(file, file.relative_to(path)) for file in files]
        elif path.exists():
            found.append(LocalImage(path, Path(path.name)))
        else:
            raise UsageError(f"{path} does not exist; check the path.")
    if not found:
        names = ", ".join(str(path) for path in paths)
        raise UsageError(f"There is no image in {names}; name files, or folders that hold some.")
    return found


_SUFFIXES = frozenset("." + suffix.lower().lstrip(".") for suffix in IMAGE_SUFFIXES)


def plan_outputs(images: Sequence[LocalImage], out: Path) -> list[Path]:
    """Where each image goes under `out`.

    Raises:
        UsageError: an output would be an input, or two inputs share one output.
    """
    inputs = {image.path.resolve() for image in images}
    taken: dict[Path, Path] = {}
    for image in images:
        target = out / image.relative
        if target.resolve() in inputs:
            raise UsageError(
                f"{target} is an input and would be overwritten; choose another folder with -o."
            )
        if target in taken:
            raise UsageError(
                f"{taken[target]} and {image.path} would both become {target}; clean them in two runs."
            )
        taken[target] = image.path
    return list(taken)


def fix_images(
    images: Sequence[LocalImage], out: Path, cleaner: "Cleaner"
) -> Iterator[tuple[LocalImage, "Cleaned"]]:
    """Clean the images into `out`, in order of completion; one that needs nothing arrives there
    byte for byte.
    """
    targets = plan_outputs(images, out)
    payloads = ((number, read_image(image.path)) for number, image in enumerate(images))
    for number, cleaned in cleaner.clean_many(payloads):
        _write(targets[number], cleaned.data, images[number].path)
        yield images[number], cleaned


def judge_images(images: Sequence[LocalImage], cleaner: "Cleaner") -> Iterator[Judged]:
    """What the detector says, in the order given; an image that cannot be read is told as such, and
    the rest go on.
    """
    for image in images:
        try:
            yield Judged(image.path, cleaner.detect(read_image(image.path)), None)
        except ImageError as error:
            yield Judged(image.path, None, f"{error.reason}: {error}")
        except UsageError as error:
            yield Judged(image.path, None, f"unreadable: {error}")


def read_image(path: Path) -> bytes:
    """The file's bytes; UsageError where the system does not give them."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _write(target: Path, data: bytes, source: Path) -> None:
    """Write whole or not at all, with the source's own permissions and times."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".demoire-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            facts = source.stat()
            os.chmod(temporary, facts.st_mode & 0o777)
            os.utime(temporary, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror or error}; choose another -o."
        ) from error
