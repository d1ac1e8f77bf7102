"""The digests of a demo's mirror, so that two commits can be compared on one machine.

    demoire demo --out DIR
    python -m tests.golden.mirror DIR

One line a file and one line a member of an archive: sha256, bytes, name. The drawn collection comes
first, since a mirror can only be compared with another mirror of the same collection. The last line
is the digest of all lines before it: where two runs agree on it, they agree on every byte.

Cleaned pixels depend on the instruction set of the CPU, so these digests are compared on one
machine and never pinned. What is the same on every machine is pinned by `test_demo_mirror`.
"""

import hashlib
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COLLECTION = Path("sample", "collection")
MIRROR = Path("clean")
BOOKKEEPING = "_demoire"


@dataclass(frozen=True)
class Content:
    """A file, or a member of an archive, by its name in the demo's folder."""

    name: str  # of a member: ARCHIVE!MEMBER
    data: bytes

    @property
    def digest(self) -> str:
        """The sha256 of the bytes, 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()


def contents(folder: Path) -> Iterator[Content]:
    """Every file below a folder by name, each archive followed by its members in order."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or name.parts[0] == BOOKKEEPING:
            continue
        yield Content(str(name), path.read_bytes())
        if path.suffix == ".tar":
            yield from _tar_members(path, str(name))
        elif path.suffix == ".zip":
            yield from _zip_members(path, str(name))


def _tar_members(path: Path, archive_name: str) -> Iterator[Content]:
    with tarfile.open(path) as archive:
        for entry in archive:
            payload = archive.extractfile(entry)
            assert payload is not None, f"{entry.name} in {path} is not a plain file"
            yield Content(f"{archive_name}!{entry.name}", payload.read())


def _zip_members(path: Path, archive_name: str) -> Iterator[Content]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            yield Content(f"{archive_name}!{entry.filename}", archive.read(entry))


def digest_lines(demo: Path) -> list[str]:
    """The lines that the command prints for a demo's folder."""
    lines = []
    for folder in (COLLECTION, MIRROR):
        for content in contents(demo / folder):
            lines.append(f"{content.digest} {len(content.data):>9} {folder / content.name}")
    total = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return [*lines, f"{total} {len(lines):>9} lines"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.golden.mirror DIR")
    print("\n".join(digest_lines(Path(sys.argv[1]))))
