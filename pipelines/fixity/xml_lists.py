"""XML files that tell checksums and sizes of others: METS, PREMIS, and PREMIS inside METS."""

import posixpath
from collections.abc import Iterable, Iterator

from pipelines.fixity.mets import is_mets_name, mets_files
from pipelines.fixity.premis import PremisObject, is_premis_name, premis_objects
from pipelines.fixity.xml_values import DescribedFile, with_other_values
from pipelines.paths import leads_out


def is_xml_list_name(path: str) -> bool:
    """Whether a file of this name is taken for such a file."""
    return is_mets_name(path) or is_premis_name(path)


def described_files(path: str, content: bytes) -> list[DescribedFile]:
    """What an XML file says of others, in order; nothing where it is no sound XML.

    Args:
        path: Of the XML file. What it names lies relative to its folder.
        content: Of the XML file.
    """
    files = mets_files(path, content)
    return [*files, *_described_by_premis(posixpath.dirname(path), content, files)]


def without_described_values(content: bytes) -> bytes:
    """The XML file without any checksum and size: what may differ where these were rewritten."""
    values = {}
    for file in described_files("", content):
        for value in (file.checksum, file.size):
            if value is not None:
                values[value] = ""
    return with_other_values(content, values)


def _described_by_premis(
    folder: str, content: bytes, files: Iterable[DescribedFile]
) -> Iterator[DescribedFile]:
    by_section: dict[str, set[str]] = {}
    for file in files:
        for section in file.sections:
            by_section.setdefault(section, set()).add(file.path)
    for told in premis_objects(content):
        path = _pointed_at(told, by_section)
        is_by_name = path is None
        if path is None:
            path = _path_of(folder, told.name)
        size = told.size
        for fixity in told.fixities:
            yield DescribedFile(path, fixity.digest, fixity.algorithm, size, is_by_name=is_by_name)
            size = None
        if size is not None:
            yield DescribedFile(path, None, "", size, is_by_name=is_by_name)


def _pointed_at(told: PremisObject, by_section: dict[str, set[str]]) -> str | None:
    """The file that points to an object's section; None unless there is just one."""
    paths: set[str] = set()
    for section in told.sections:
        paths |= by_section.get(section, set())
    return paths.pop() if len(paths) == 1 else None


def _path_of(folder: str, name: str) -> str:
    """Where a file of this name would lie; of a name from elsewhere the last part counts."""
    path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
    if leads_out(path) or "://" in name:
        return posixpath.join(folder, posixpath.basename(path))
    return path
