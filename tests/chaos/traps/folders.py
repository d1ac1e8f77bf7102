"""Folders with a trap among good pictures."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.chaos.traps.names import NOT_UTF8, ODD, WINDOWS


def folders(folder: Path, good: Mapping[str, bytes]) -> dict[str, Path]:
    """By kind, folders of loose files with traps among them."""
    makers = {
        "outside": _nothing_else,  # what links from elsewhere lead to
        "links": _make_links,
        "specials": _make_specials,
        "unreadable": _make_unreadable,
        "odd-names": _make_odd_names,
        "empty-files": _make_empty_files,
        "named-like-images": _make_named_like_images,
        "hidden": _make_hidden,
    }
    made = {}
    for trap, make in makers.items():
        inner = made[f"folder-{trap}"] = folder / f"folder-{trap}"
        inner.mkdir()
        _write_all(inner, good)
        make(inner, good)
    return made


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _nothing_else(folder: Path, good: Mapping[str, bytes]) -> None:
    pass


def _make_links(folder: Path, good: Mapping[str, bytes]) -> None:
    links = {
        "inside.jpg": "good-0.jpg",
        "outside.jpg": "../folder-outside/good-0.jpg",
        "absolute.jpg": "/etc/passwd",
        "passwd": "/etc/passwd",
        "dangling.jpg": "nowhere.jpg",
        "self.jpg": "self.jpg",
        "loop-a.jpg": "loop-b.jpg",
        "loop-b.jpg": "loop-a.jpg",
        "device.jpg": "/dev/zero",
        "folder": "../folder-outside",
        "folder.jpg": "../folder-outside",
        "up": "..",
        "here": ".",
        "box.tar": "../tar-odd-names.tar",
        "box.zip": "nowhere.zip",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.link(folder / "good-0.jpg", folder / "hardlink.jpg")


def _make_specials(folder: Path, good: Mapping[str, bytes]) -> None:
    for name in ("pipe.jpg", "pipe.tar", "pipe"):
        os.mkfifo(folder / name)
    for name in ("socket.jpg", "socket.zip"):
        os.mknod(folder / name, 0o600 | stat.S_IFSOCK)


def _make_unreadable(folder: Path, good: Mapping[str, bytes]) -> None:
    """For root there is nothing that cannot be read."""
    picture = next(iter(good.values()))
    for name in ("locked.jpg", "locked.txt"):
        (folder / name).write_bytes(picture)
        (folder / name).chmod(0)


def _make_odd_names(folder: Path, good: Mapping[str, bytes]) -> None:
    picture = next(iter(good.values()))
    for name in (*ODD, *NOT_UTF8, *WINDOWS, b"z" * 251 + b".jpg"):
        with suppress(OSError):  # not every file system takes every name
            Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(picture)
    _write_all(folder / "new\nline", good)
    _write_all(folder / "*[a-z]?", good)
    _write_all(folder / os.fsdecode(b"caf\xe9"), good)


def _make_empty_files(folder: Path, good: Mapping[str, bytes]) -> None:
    _write_all(
        folder, dict.fromkeys(("e.jpg", "e.png", "e.tif", "e.webp", "e.bmp", "e.gif", "e.txt"), b"")
    )
    (folder / "empty-folder").mkdir()


def _make_named_like_images(folder: Path, good: Mapping[str, bytes]) -> None:
    for name in ("album.jpg", "box.tar", "box.zip", "box.tar.gz"):
        _write_all(folder / name, good)
    (folder / "nothing.png").mkdir()


def _make_hidden(folder: Path, good: Mapping[str, bytes]) -> None:
    for name in (".hidden", "_demoire", "__MACOSX", "...", "a"):
        _write_all(folder / name, good)
    _write_all(
        folder,
        {"._good-0.jpg": b"a fork", ".hidden.jpg": next(iter(good.values())), ".jpg": b"no name"},
    )
