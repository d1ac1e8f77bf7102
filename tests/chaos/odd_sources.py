"""What lies in real archives beside pictures, and at a destination that others use, too."""

from pathlib import Path

THEIRS = {"theirs/readme.txt": b"somebody else's", "theirs.tar": b"no archive of ours"}


def add_odd_sources(box: Path, picture: bytes) -> int:
    """Put small folders, a hidden one, an empty one, an odd name and links into a box; how many
    pictures these are.
    """
    folders = ["small/1", "small/2", "small/3", ".hidden", "\u00e4 b#1%"]
    for folder in folders:
        (box / folder).mkdir(parents=True)
        (box / folder / "only.jpg").write_bytes(picture)
    (box / "text").mkdir()
    (box / "text" / "no picture.txt").write_bytes(b"text")
    (box / "empty").mkdir()
    (box / "text" / "link").symlink_to("no picture.txt")
    (box / "text" / "outside").symlink_to("/dev/null")
    return len(folders)


def put_theirs(dst: Path) -> None:
    """Put files of somebody else's where a mirror will be put beside them."""
    for name, data in THEIRS.items():
        path = dst / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
