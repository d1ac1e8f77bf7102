"""The sample collection of `demoire demo`: archives as they come out of a cellar, drawn by the
project's own code.

Two tar archives, a zip and a folder of loose files: photographs, pages, user interfaces and
look-alikes, half of them with simulated moiré, in five file formats, among text and XML files, one
truncated JPEG and one text that calls itself .jpg. The clean twins lie apart, so that what the
cleaning did can be told in figures. Every byte depends on the seed alone, modification times
included. Some 30 s on one core.
"""

import contextlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from demoire.errors import UsageError
from demoire.measure.likeness import psnr
from demoire.simulate import Kind, simulate
from demoire.simulate.scenes.lookalikes import LOOKALIKES
from demoire.simulate.scenes.pages import SCENES

Scene = NDArray[np.uint8]

_MODIFIED = 1_136_073_600  # 2006-01-01 UTC
_ZIP_MODIFIED = (2006, 1, 1, 0, 0, 0)
_SIDES = (400, 448, 512, 640, 768)  # px, of pictures with moiré
_CONTAINERS = ("box-1.tar", "box-2.tar", "scans.zip", "loose")
_SUFFIXES = (".jpg", ".jpg", ".jpg", ".png", ".tif", ".webp", ".bmp")
_IMAGES_EACH = 16
_SAMPLE, _TRUTH = "sample", "truth.json"
_MOIRE: tuple[Kind, ...] = ("screen", "halftone", "screen", "halftone", "texture")


@dataclass(frozen=True)
class Truth:
    """Where one picture with moiré is, and where its clean twin."""

    source: str  # archive or folder, relative to the collection
    member: str  # name in it
    clean: str  # file name of the twin, in the truth folder
    kind: str


@dataclass(frozen=True)
class Collection:
    """What was drawn."""

    folder: Path  # what to clean
    truth: Path  # the clean twins and truth.json
    images: int  # members that look like images, the two broken ones included
    with_moire: int


@dataclass(frozen=True)
class Comparison:
    """One picture of the collection against its twin."""

    source: str
    member: str
    kind: str
    psnr_before: float  # dB
    psnr_after: float  # dB


@cache
def _srgb_profile() -> bytes:
    """An sRGB profile whose date of creation is the samples', not the moment's."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = b"".join(number.to_bytes(2, "big") for number in _ZIP_MODIFIED)
    return bytes(profile)


@contextlib.contextmanager
def _room_for(image: Image.Image) -> Iterator[None]:
    """Pillow takes a byte a pixel to be enough for a progressive file, which sharp dots exceed.

    Only within it: what other formats look like depends on the same setting.
    """
    before = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(before, 4 * image.width * image.height)
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before


def _encode(picture: Scene, suffix: str, rng: np.random.Generator) -> bytes:
    """A file with all that has to survive: EXIF, resolution and, often, a colour profile."""
    image = Image.fromarray(picture)
    exif = Image.Exif()
    exif[0x010E] = "Sample drawn by demoire"  # ImageDescription
    exif[0x0132] = "2006:01:01 00:00:00"  # DateTime
    dpi = (int(rng.choice([150, 300, 600])),) * 2
    profile = _srgb_profile() if rng.random() < 0.5 else None
    stream = io.BytesIO()
    if suffix == ".jpg":
        quality, progressive = int(rng.integers(78, 97)), bool(rng.random() < 0.3)
        subsampling = 0 if rng.random() < 0.6 else 2  # 4:4:4, 4:2:0
        with _room_for(image):
            image.save(
                stream, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive, dpi=dpi, exif=exif,
                icc_profile=profile,
            )  # fmt: skip
    elif suffix == ".png":
        image.save(stream, "PNG", dpi=dpi, exif=exif, icc_profile=profile)
    elif suffix == ".tif":
        image.save(stream, "TIFF", compression="tiff_lzw", dpi=dpi, icc_profile=profile)
    elif suffix == ".webp":
        image.save(stream, "WEBP", quality=92, exif=exif, icc_profile=profile)
    else:
        image.save(stream, "BMP", dpi=dpi)
    return stream.getvalue()


def _draw_clean(rng: np.random.Generator) -> tuple[str, Scene]:
    """A picture without moiré, of any shape: a scene, or one of the look-alikes."""
    drawings = SCENES if rng.random() < 0.6 else LOOKALIKES
    name = sorted(drawings)[int(rng.integers(len(drawings)))]
    height, width = (int(side) for side in rng.integers(400, 901, 2))
    return name, drawings[name](rng, height, width)


def _draw_moire(rng: np.random.Generator, kind: Kind) -> tuple[str, Scene, Scene]:
    """A scene's name, the picture of it with moiré, and its clean twin."""
    name, side = sorted(SCENES)[int(rng.integers(len(SCENES)))], int(rng.choice(_SIDES))
    pair = simulate(kind, SCENES[name](rng, side, side), side, rng)
    return name, pair.moire, pair.clean


def _members(container: str, truth: Path, rng: np.random.Generator) -> Iterator[tuple[str, bytes, Truth | None]]:
    """The files of one container in order: name, content and, for a picture with moiré, where its
    twin is.
    """
    yield "README.txt", f"{container}: drawn samples, half of them with moire.\n".encode(), None
    for number in range(_IMAGES_EACH):
        folder, suffix = "1890s" if number < _IMAGES_EACH // 2 else "1900s", str(rng.choice(_SUFFIXES))
        if number % 2 == 0:
            subject, picture = _draw_clean(rng)
            yield f"{folder}/{number:03d}-{subject}{suffix}", _encode(picture, suffix, rng), None
            continue
        kind = _MOIRE[number // 2 % len(_MOIRE)]
        subject, picture, clean = _draw_moire(rng, kind)
        name = f"{folder}/{number:03d}-{subject}{suffix}"
        twin = Truth(container, name, f"{Path(container).stem}-{number:03d}.png", kind)
        Image.fromarray(clean).save(truth / twin.clean)
        yield name, _encode(picture, suffix, rng), twin
    yield "catalogue.xml", b"<catalogue><box>drawn</box></catalogue>\n", None
    if container == "box-1.tar":
        whole = _encode(SCENES["photograph"](rng, 512, 512), ".jpg", rng)
        yield "1900s/torn.jpg", whole[: len(whole) // 2], None
    if container == "box-2.tar":
        yield "1900s/letter.jpg", b"This was saved under the wrong name.\n" * 20, None


def _write_tar(path: Path, files: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), _MODIFIED, 0o640
            archive.addfile(entry, io.BytesIO(content))


def _write_zip(path: Path, files: list[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"scanned in the reading room"
        for name, content in files:
            deflate = zipfile.ZIP_DEFLATED if name.endswith((".txt", ".xml", ".bmp")) else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name, _ZIP_MODIFIED), content, deflate)


def _write_folder(path: Path, files: list[tuple[str, bytes]]) -> None:
    for name, content in files:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, (_MODIFIED, _MODIFIED))


def _write(path: Path, files: list[tuple[str, bytes]]) -> None:
    writers = {".tar": _write_tar, ".zip": _write_zip}
    writers.get(path.suffix, _write_folder)(path, files)


def _drawn_before(out: Path, seed: int) -> Collection | None:
    """The collection of this seed if OUT holds it. Raises UsageError where OUT holds something
    else.
    """
    folder, truth = out / _SAMPLE / "collection", out / _SAMPLE / "truth"
    if not (out / _SAMPLE).exists():
        return None
    try:
        facts = json.loads((truth / _TRUTH).read_text(encoding="utf-8"))
        if folder.is_dir() and facts["seed"] == seed:
            return Collection(folder, truth, facts["images"], len(facts["twins"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{out} holds files that demoire did not draw; choose another folder with --out.") from error
    raise UsageError(f"{out} holds samples of another seed; choose another folder with --out.")


def draw_collection(out: Path, seed: int = 7, on_progress: Callable[[int, int], None] | None = None) -> Collection:
    """Draw the collection into OUT/sample/collection and its truth beside it, or find them there,
    drawn before.

    OUT/sample appears whole or not at all: it is drawn as OUT/drawing first. on_progress is told
    how many files are done, of how many. Raises UsageError where OUT holds something else already,
    or cannot be written.
    """
    if (before := _drawn_before(out, seed)) is not None:
        return before
    drawing = out / "drawing"
    try:
        shutil.rmtree(drawing, ignore_errors=True)
        for part in ("collection", "truth"):
            (drawing / part).mkdir(parents=True)
        images, twins = _draw_containers(drawing, seed, on_progress)
        facts = {"seed": seed, "images": images, "twins": [asdict(twin) for twin in twins]}
        (drawing / "truth" / _TRUTH).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        drawing.rename(out / _SAMPLE)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); choose another folder with --out.") from error
    return Collection(out / _SAMPLE / "collection", out / _SAMPLE / "truth", images, len(twins))


def _draw_containers(
    drawing: Path, seed: int, on_progress: Callable[[int, int], None] | None
) -> tuple[int, list[Truth]]:
    """Write all containers; how many images they hold, and the twins of those with moiré."""
    twins: list[Truth] = []
    images, total = 0, len(_CONTAINERS) * (_IMAGES_EACH + 2) + 2
    for place, container in enumerate(_CONTAINERS):
        files: list[tuple[str, bytes]] = []
        for name, content, twin in _members(container, drawing / "truth", np.random.default_rng([seed, place])):
            files.append((name, content))
            images += not name.endswith((".txt", ".xml"))
            twins += [twin] if twin else []
            if on_progress:
                on_progress(place * (_IMAGES_EACH + 2) + min(place, 2) + len(files), total)
        _write(drawing / "collection" / container, files)
    return images, twins


def _read_member(root: Path, source: str, member: str) -> Scene:
    path = root / source
    if path.suffix == ".tar":
        with tarfile.open(path) as tar:
            file = tar.extractfile(member)
            assert file is not None
            content = file.read()
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            content = archive.read(member)
    else:
        content = (path / member).read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def compare_with_truth(collection: Collection, cleaned: Path) -> list[Comparison]:
    """PSNR of each picture with moiré against its clean twin, before and after cleaning.

    cleaned: the folder that mirrors the collection. Raises UsageError where a cleaned picture is
    missing.
    """
    comparisons: list[Comparison] = []
    for twin in _twins(collection):
        before, after, clean = _pictures(collection, cleaned, twin)
        figures = psnr(before, clean), psnr(after, clean)
        comparisons.append(Comparison(twin.source, twin.member, twin.kind, *figures))
    return comparisons


def read_pictures(collection: Collection, cleaned: Path, comparison: Comparison) -> tuple[Scene, Scene, Scene]:
    """A compared picture with moiré, cleaned, and its clean twin. Raises as
    `compare_with_truth`.
    """
    place = comparison.source, comparison.member
    return _pictures(collection, cleaned, next(t for t in _twins(collection) if (t.source, t.member) == place))


def _twins(collection: Collection) -> list[Truth]:
    return [Truth(**row) for row in json.loads((collection.truth / _TRUTH).read_text(encoding="utf-8"))["twins"]]


def _pictures(collection: Collection, cleaned: Path, twin: Truth) -> tuple[Scene, Scene, Scene]:
    with Image.open(collection.truth / twin.clean) as image:
        clean = np.asarray(image.convert("RGB"))
    try:
        after = _read_member(cleaned, twin.source, twin.member)
    except (OSError, KeyError) as error:
        raise UsageError(f"{twin.member} of {twin.source} is not in {cleaned}; clean the collection first.") from error
    return _read_member(collection.folder, twin.source, twin.member), after, clean
