"""Images at hand: files and folders of this machine, cleaned or judged without Ray or Prefect.

Needs nothing above `demoire`, so it starts as fast as torch does. Names are kept: a file goes to
OUT/NAME.EXT, a file found in a named folder to OUT/its path in that folder. What would be
overwritten wrongly (an input by its own output, or one output by another) is refused before
anything is written.

A file of several pages goes to one file as well, but each image inside has a result of its own,
under a name such as scan.tif!/page-0003.

Where the cleaner is to make grey pictures of black and white ones, they lie beside the outputs:
scan.grey.png beside scan.tif, scan.page-0003.grey.png of a page.
"""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demoire.cleaning.paged_files import PagedFile, PagesInWork, paged_file, untouched
from demoire.errors import ImageError, UsageError
from demoire.file_bytes import FileBytes, read_file, write_file
from demoire.files import whole_file, writing_to
from demoire.imaging.formats import IMAGE_SUFFIXES
from demoire.imaging.images import check_size
from demoire.imaging.paged import PAGED_SUFFIXES
from demoire.reasons import Reason

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.result import Cleaned, Detection

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalImage:
    """An image file, or an image in a file of several pages.

    Attributes:
        path: Where it is; of an image in a file its file, '!/' and its name.
        relative: Its path in the folder that the user named; of a named file its name alone.
    """

    path: Path
    relative: Path


@dataclass(frozen=True)
class Judged:
    """What the detector says about one image; `error` instead where it could not be read."""

    path: Path
    detection: "Detection | None"
    error: str | None


@dataclass(frozen=True)
class Fixed:
    """What became of one image.

    Attributes:
        image: The image.
        cleaned: Its result, which is written.
        grey: The grey picture that was made of a black and white one; None where none was.
    """

    image: LocalImage
    cleaned: "Cleaned"
    grey: Path | None = None


def find_images(paths: Sequence[Path]) -> list[LocalImage]:
    """The named files as they are, and all images in the named folders, in order of name.

    In a folder, an image is a file with an image's suffix.

    Raises:
        UsageError: A path does not exist, or there is no image at all.
    """
    images: list[LocalImage] = []
    for path in paths:
        if path.is_dir():
            images += _images_in(path)
        elif path.exists():
            images.append(LocalImage(path, Path(path.name)))
        else:
            raise UsageError(f"{path} does not exist; check the path.")
    if not images:
        names = ", ".join(str(path) for path in paths)
        raise UsageError(f"There is no image in {names}; name files, or folders that hold some.")
    return images


def _images_in(folder: Path) -> list[LocalImage]:
    images = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES | PAGED_SUFFIXES and path.is_file():
            images.append(LocalImage(path, path.relative_to(folder)))
    return images


def plan_outputs(images: Sequence[LocalImage], out: Path) -> list[Path]:
    """Where each image goes under `out`, in the order given.

    Raises:
        UsageError: An output would be an input, or two images share one output.
    """
    inputs = {image.path.resolve() for image in images}
    planned: dict[Path, Path] = {}  # output: input
    for image in images:
        target = out / image.relative
        if target.resolve() in inputs:
            raise UsageError(
                f"{target} is an input and would be overwritten; choose another folder with -o."
            )
        if target in planned:
            raise UsageError(
                f"{planned[target]} and {image.path} would both become {target}; "
                "clean them in two runs."
            )
        planned[target] = image.path
    return list(planned)


def fix_images(images: Sequence[LocalImage], out: Path, cleaner: "Cleaner") -> Iterator[Fixed]:
    """Clean the images into `out`; one that needs nothing arrives there byte for byte.

    Yields:
        What became of each, once it is written, in order of completion.

    Raises:
        UsageError: An image cannot be read, an output cannot be written, or as `plan_outputs`.
    """
    targets = plan_outputs(images, out)
    greys = _GreyPictures(images, targets)
    loose: list[int] = []
    for index, image in enumerate(images):
        try:
            file = _paged_file(image.path, cleaner)
        except ImageError as error:
            _copy(targets[index], image.path)
            yield Fixed(image, untouched(b"", error.reason))
            continue
        if file is None:
            loose.append(index)
        else:
            yield from _fix_pages(image, file, targets[index], cleaner, greys)
    payloads = ((index, read_image(images[index].path)) for index in loose)
    for index, cleaned in cleaner.clean_many(payloads):
        image = images[index]
        _write(targets[index], cleaned.data, image.path)
        yield Fixed(image, cleaned, greys.write(cleaned, targets[index], image.path))


def _fix_pages(
    image: LocalImage, file: PagedFile, target: Path, cleaner: "Cleaner", greys: "_GreyPictures"
) -> Iterator[Fixed]:
    """Clean the images in a file; where they cannot be put back, the file's own result says so."""
    with PagesInWork(file, rewrite=cleaner.config.rewrite) as work:
        for page, cleaned in work.clean(cleaner):
            grey = greys.write(cleaned, target, file.path, page.name)
            yield Fixed(LocalImage(file.path_of(page), image.relative), cleaned, grey)
        refused: Reason | None = None
        with _output(target, file.path) as unfinished:
            try:
                work.write(unfinished)
            except ImageError as error:
                refused = error.reason
    if refused is not None:
        yield Fixed(image, untouched(b"", refused))


class _GreyPictures:
    """The grey pictures of black and white ones, and their names beside the outputs.

    Args:
        images: All images.
        targets: Their outputs.
    """

    def __init__(self, images: Sequence[LocalImage], targets: Sequence[Path]) -> None:
        self._taken = Counter(_grey_name(target) for target in targets)
        self._others = {image.path.resolve() for image in images}
        self._others.update(target.resolve() for target in targets)

    def write(self, cleaned: "Cleaned", target: Path, source: Path, page: str = "") -> Path | None:
        """Write the grey picture of an image; its path, or None where there is none.

        One that could not be made is told in the log: its image is copied all the same.

        Args:
            cleaned: What the cleaner said of the image.
            target: Its output, or that of its file.
            source: Where it comes from.
            page: Its name in a file of several pages.

        Raises:
            UsageError: It cannot be written.
        """
        if isinstance(cleaned.grey, ImageError):
            name = f"{source}!/{page}" if page else str(source)
            _LOG.warning("No grey picture of %s: %s", name, cleaned.grey)
            return None
        if cleaned.grey is None:
            return None
        path = self._path(target, page)
        if path.resolve() in self._others:
            raise UsageError(
                f"{path} is among the images, and a grey picture would get its name; rename it."
            )
        _write(path, cleaned.grey, source)
        return path

    def _path(self, target: Path, page: str) -> Path:
        """scan.grey.png beside scan.tif, unless there is a scan.png or scan.grey.png as well."""
        name = _grey_name(target)
        is_free = self._taken[name] == 1 and name.resolve() not in self._others
        stem = target.stem if is_free else target.name
        return _grey_name(target, f"{stem}.{page}" if page else stem)


def _grey_name(target: Path, stem: str = "") -> Path:
    return target.with_name(f"{stem or target.stem}.grey.png")


def judge_images(images: Sequence[LocalImage], cleaner: "Cleaner") -> Iterator[Judged]:
    """What the detector says, in the order given; what cannot be read does not stop the others.

    Of a file of several pages, what it says of each image inside.
    """
    for path, said in cleaner.detect_many(_files(images, cleaner)):
        if isinstance(said, ImageError):
            yield Judged(path, None, f"{said.reason}: {said}")
        else:
            yield Judged(path, said, None)


def _files(
    images: Sequence[LocalImage], cleaner: "Cleaner"
) -> Iterator[tuple[Path, FileBytes | ImageError]]:
    """Each image file, and each image in a file of several pages; or why it cannot be read."""
    for image in images:
        try:
            file = _paged_file(image.path, cleaner)
            if file is None:
                yield image.path, read_image(image.path)
                continue
        except ImageError as error:
            yield image.path, error
            continue
        except UsageError as error:
            yield image.path, ImageError(Reason.UNREADABLE, str(error))
            continue
        yield from _pages(file)


def _pages(file: PagedFile) -> Iterator[tuple[Path, FileBytes | ImageError]]:
    for page in file.images:
        path = file.path_of(page)
        try:
            yield path, file.read(page)
        except ImageError as error:
            yield path, error


def _paged_file(path: Path, cleaner: "Cleaner") -> PagedFile | None:
    """The images in a file of several pages; None where the file is one image.

    Raises:
        ImageError: The file as a whole is left as it is; an image may be too large to be read.
        UsageError: The system does not give it.
    """
    try:
        file = paged_file(path)
        if file is None:
            check_size(path.stat().st_size, cleaner.config.max_megapixels)
        return file
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_image(path: Path) -> FileBytes:
    """The file's bytes.

    Raises:
        UsageError: The system does not give them.
    """
    try:
        return read_file(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _copy(target: Path, source: Path) -> None:
    """Copy a file that is left as it is."""
    with _output(target, source) as unfinished:
        shutil.copyfile(source, unfinished)


def _write(target: Path, data: FileBytes, source: Path) -> None:
    """Write whole or not at all, with the source's own permissions and times."""
    with _output(target, source) as unfinished:
        write_file(unfinished, data)


@contextmanager
def _output(target: Path, source: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target`, with the source's own permissions and times.

    Raises:
        UsageError: It cannot be written.
    """
    with writing_to(target, "choose another -o"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as unfinished:
            yield unfinished
            facts = source.stat()
            unfinished.chmod(facts.st_mode & 0o777)
            os.utime(unfinished, ns=(facts.st_atime_ns, facts.st_mtime_ns))
