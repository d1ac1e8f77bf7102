"""Real pictures that nobody here made, and which part of the data each of them belongs to.

A folder of field pictures has a folder for each kind:

    clean, clean_hard          no moiré; the hard ones look as if they had it
    screens, halftone, texture with moiré of that kind, without a twin
    real_pairs                 NAME_moire.EXT and NAME_clean.EXT: a photograph of a screen, and
                               what the screen showed
    faults/noise               clean drawings with noise, that must never be flagged

A split file in TOML names the source of every picture, and the part (train, validation, test) of
every source:

    [train]
    author_one = ["clean/camera_one_*", "real_pairs/one-*"]

    [test]
    author_two = ["clean/*_two_*"]

    [unused]
    no_clean_pictures = ["clean/camera_one_013.png"]

Pictures of one source share a camera, a screen or a press, so a source that was in two parts would
make the figures better than they are. What is unused belongs to no part, whoever made it: a picture
that is not what its folder says. Whatever is not in order is refused with the file's name.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from demoire.errors import UsageError
from demoire.imaging.formats import IMAGE_SUFFIXES
from demoire.measure.restoration import shows_the_same
from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import read_scene
from demoire.simulate.splits import Split

Group = Literal["clean", "clean_hard", "screens", "halftone", "texture", "real_pairs", "noise"]

SPLIT_FILE = "split.toml"

_FOLDERS: dict[str, Group] = {
    "clean": "clean",
    "clean_hard": "clean_hard",
    "screens": "screens",
    "halftone": "halftone",
    "texture": "texture",
    "real_pairs": "real_pairs",
    "faults/noise": "noise",
}
_UNUSED = "unused"
_PARTS = (*get_args(Split), _UNUSED)
_MOIRE, _CLEAN = "_moire", "_clean"


@dataclass(frozen=True)
class FieldPicture:
    """One picture that has no twin."""

    path: Path
    group: Group
    source: str


@dataclass(frozen=True)
class FieldPair:
    """A photograph of a screen, and what the screen showed in the same frame."""

    name: str
    moire: Path
    clean: Path
    source: str


@dataclass(frozen=True)
class FieldPart:
    """One part of a field folder."""

    pictures: tuple[FieldPicture, ...]
    pairs: tuple[FieldPair, ...]

    def of(self, *groups: Group) -> list[FieldPicture]:
        """The pictures of these groups, in the order of their paths."""
        return [picture for picture in self.pictures if picture.group in groups]


@dataclass(frozen=True)
class FieldFolder:
    """Where field pictures are."""

    folder: Path
    split_file: Path | None = None  # None for `split.toml` in the folder

    def part(self, part: Split) -> FieldPart:
        """The pictures and pairs of a part. Raises UsageError; see `read_field`."""
        return read_field(self.folder, self.split_file, part)


def read_field(folder: Path, split_file: Path | None, part: Split) -> FieldPart:
    """The pictures and pairs of one part.

    Args:
        folder: laid out as above.
        split_file: which source is in which part; None for `split.toml` in the folder.
        part: of the three.

    Raises:
        UsageError: there is no such folder or no split file, a source is in two parts, a picture
            has no source or two, or a pair lacks one of its pictures or has two of different size.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}; give one with field pictures.")
    sources = _read_split(folder / SPLIT_FILE if split_file is None else split_file)
    pictures: list[FieldPicture] = []
    paired: list[FieldPicture] = []
    for path, group in _images(folder):
        source = _source_of(path.relative_to(folder).as_posix(), sources)
        if source.part != part:
            continue
        kept = paired if group == "real_pairs" else pictures
        kept.append(FieldPicture(path, group, source.name))
    return FieldPart(tuple(pictures), tuple(_pairs(paired)))


def read_pair(pair: FieldPair) -> tuple[Scene, Scene]:
    """The photograph and what the screen showed, (H, W, 3) uint8 sRGB each.

    Raises:
        UsageError: they differ in size, or show different things.
    """
    photograph = read_scene(pair.moire)
    shown = read_scene(pair.clean)
    if photograph.shape != shown.shape:
        sizes = f"{_size(photograph)} and {_size(shown)} px"
        raise UsageError(f"{pair.moire} and {pair.clean} are of {sizes}; a pair has one size.")
    if not shows_the_same(photograph, shown):
        both = f"{pair.moire} and {pair.clean}"
        raise UsageError(f"{both} do not show the same scene; take this pair out of the folder.")
    return photograph, shown


def _size(scene: Scene) -> str:
    return f"{scene.shape[1]} x {scene.shape[0]}"


@dataclass(frozen=True)
class _Source:
    name: str
    part: str  # one of _PARTS
    patterns: tuple[str, ...]


def _read_split(file: Path) -> list[_Source]:
    if not file.is_file():
        wanted = f"There is no {file} that names the source of every picture"
        raise UsageError(f"{wanted}; write one, or give --split FILE.")
    try:
        parts = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file} is no TOML file: {error}.") from error
    sources: dict[str, _Source] = {}
    unknown = [name for name in parts if name not in _PARTS]
    if unknown:
        known = ", ".join(_PARTS)
        raise UsageError(f"{file} has a part {unknown[0]}; name its parts {known}.")
    for part in _PARTS:
        for name, patterns in parts.get(part, {}).items():
            if name in sources:
                both = f"{sources[name].part} and {part}"
                raise UsageError(f"{file} puts the source {name} into {both}; choose one.")
            sources[name] = _Source(name, part, tuple(patterns))
    return list(sources.values())


def _images(folder: Path) -> Iterable[tuple[Path, Group]]:
    for name, group in _FOLDERS.items():
        for path in sorted((folder / name).glob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                yield path, group


def _source_of(name: str, sources: Iterable[_Source]) -> _Source:
    matching = [
        source
        for source in sources
        if any(fnmatchcase(name, pattern) for pattern in source.patterns)
    ]
    unused = [source for source in matching if source.part == _UNUSED]
    if unused:
        return unused[0]
    if not matching:
        raise UsageError(f"{name} belongs to no source of the split file; add its source there.")
    if len(matching) > 1:
        names = " and ".join(source.name for source in matching)
        both = f"{name} belongs to the sources {names} of the split file"
        raise UsageError(f"{both}; make their patterns narrower.")
    return matching[0]


def _pairs(pictures: Iterable[FieldPicture]) -> Iterable[FieldPair]:
    sides: dict[str, dict[str, FieldPicture]] = {}
    for picture in pictures:
        stem = PurePosixPath(picture.path.name).stem
        side = next((side for side in (_MOIRE, _CLEAN) if stem.endswith(side)), None)
        if side is None:
            raise UsageError(
                f"{picture.path} is neither NAME_moire nor NAME_clean; rename it or take it out."
            )
        sides.setdefault(stem.removesuffix(side), {})[side] = picture
    for name, pair in sorted(sides.items()):
        if len(pair) < 2:
            there = next(iter(pair.values()))
            raise UsageError(
                f"{there.path} has no twin; add it, or take the picture out of the folder."
            )
        moire, clean = pair[_MOIRE], pair[_CLEAN]
        yield FieldPair(name, moire.path, clean.path, moire.source)
