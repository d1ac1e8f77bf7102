"""Lists of checksums as archives keep them: what they say, and the same list with other digests.

Known are the lists that `sha256sum` and its like write (GNU and BSD style, `SHA256SUMS`, `x.md5`),
a lone digest beside the file that it is of (`a.jpg.sha256`), the manifests of a BagIt bag
(`manifest-sha256.txt`, `tagmanifest-sha256.txt`), METS and PREMIS (`pipelines.fixity.xml_lists`).
The algorithm follows from the digest's length, unless an XML file names it.

A digest is replaced in its place: everything else in the list, its order, spelling and line ends,
stays as it was. Nothing here touches storage.

References:
    RFC 8493, The BagIt File Packaging Format, sections 2.1.3, 2.2.1 and 2.2.2.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.fixity.xml_lists import described_files, is_xml_list_name
from pipelines.fixity.xml_values import Value
from pipelines.names import name_stored_as
from pipelines.paths import leads_out

_SUFFIX = re.compile(r"\.(md5|sha1|sha224|sha256|sha384|sha512)(sums?)?(\.txt)?$", re.IGNORECASE)
_SUMS = re.compile(r"^(md5|sha(1|224|256|384|512)|check)[-_]?sums?(\.txt)?$", re.IGNORECASE)
_MANIFEST = re.compile(r"^(tag)?manifest-[a-z0-9]+\.txt$")
BAG_INFO = "bag-info.txt"

_ALGORITHMS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
# Of METS, by what its CHECKSUMTYPE says without its dashes. Some write the first two, which are
# numbers, without the zeros before them.
_CHECKSUMS = frozenset({"adler32", "crc32"})
_DIGESTS = frozenset({"md5", "sha1", "sha256", "sha384", "sha512"})
_NOT_WORKED_OUT = frozenset({"haval", "mnp", "tiger", "whirlpool"})
_CHECKSUM_DIGITS = 8

_HEX = rb"(?P<digest>[0-9a-fA-F]{32,128})"
_GNU = re.compile(rb"(?P<escape>\\?)" + _HEX + rb"[ \t]+\*?(?P<name>\S.*)")
_BSD = re.compile(rb"(?P<escape>\\?)[A-Z0-9-]+ ?\((?P<name>.+)\) ?= ?" + _HEX + rb"\s*")
_ALONE = re.compile(_HEX + rb"\s*")
_OXUM = re.compile(rb"^(Payload-Oxum:[ \t]*)(\d+)\.(\d+)", re.MULTILINE | re.IGNORECASE)
_IS_HEX = re.compile(r"[0-9a-fA-F]+")
_LINE = re.compile(rb"[^\r\n]+")


@dataclass(frozen=True)
class ListedDigest:
    """One digest in a list."""

    path: str  # as stored, of the file that it is of, from where the list's own path begins
    algorithm: str  # as hashlib names it, or as METS does
    digest: str  # in lower case
    offset: int  # first byte of it in the list
    is_by_name: bool = False  # only the last part of the path is certain

    @property
    def can_be_made(self) -> bool:
        """Whether there is code for its algorithm."""
        return self.algorithm not in _NOT_WORKED_OUT

    def is_same(self, digest: str) -> bool:
        """Whether it is this digest, which has all its zeros."""
        return self.digest.zfill(len(digest)) == digest


def is_list_name(path: str) -> bool:
    """Whether a file of this name is taken for a list of checksums."""
    name = path.rpartition("/")[2]
    is_list = bool(_SUFFIX.search(name) or _SUMS.match(name) or _MANIFEST.match(name))
    return is_list or is_xml_list_name(name)


def is_payload_manifest(path: str) -> bool:
    """Whether a file of this name lists the payload of a bag."""
    name = path.rpartition("/")[2]
    return _MANIFEST.match(name) is not None and not name.startswith("tag")


def listed_name(path: str) -> str:
    """The path of the one file that a list is of by its own name; the path itself if of many."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{_SUFFIX.sub('', name)}"


def listed_digests(path: str, content: bytes) -> list[ListedDigest]:
    """All digests in a list, in order.

    Args:
        path: Of the list. What it names lies relative to its folder; names that leave the whole
            tree are passed over.
        content: Of the list.
    """
    if is_xml_list_name(path):
        return _digests_in_xml(path, content)
    is_manifest = _MANIFEST.match(path.rpartition("/")[2]) is not None
    folder = path.rpartition("/")[0]
    listed = []
    for line in _LINE.finditer(content):
        match = _GNU.fullmatch(line[0]) or _BSD.fullmatch(line[0])
        if match is not None:
            named = _named(match, is_manifest=is_manifest)
        else:
            # Alone in its file, beside 'a.jpg' in 'a.jpg.md5'.
            match = _ALONE.fullmatch(line[0])
            named = _SUFFIX.sub("", path.rpartition("/")[2])
        if match is None or len(match["digest"]) not in _ALGORITHMS:
            continue
        target = posixpath.normpath(posixpath.join(folder, named))
        if not leads_out(target):
            digest = match["digest"].decode("ascii")
            algorithm = _ALGORITHMS[len(digest)]
            offset = line.start() + match.start("digest")
            listed.append(ListedDigest(target, algorithm, digest.lower(), offset))
    return listed


def _digests_in_xml(path: str, content: bytes) -> list[ListedDigest]:
    listed = []
    for file in described_files(path, content):
        if file.checksum is None:
            continue
        algorithm = _algorithm_of(file.checksum.text, file.checksum_type)
        if algorithm is not None:
            digest = file.checksum.text.lower()
            offset = file.checksum.offset
            listed.append(
                ListedDigest(file.path, algorithm, digest, offset, is_by_name=file.is_by_name)
            )
    return listed


def _algorithm_of(checksum: str, type: str) -> str | None:
    """The algorithm of a checksum in an XML file; None where it cannot be told."""
    named = re.sub(r"[^a-z0-9]", "", type.lower())
    if named in _NOT_WORKED_OUT:
        return named
    if not _IS_HEX.fullmatch(checksum):
        return None
    if named in _CHECKSUMS:
        return named if len(checksum) <= _CHECKSUM_DIGITS else None
    algorithm = _ALGORITHMS.get(len(checksum))
    if named in _DIGESTS and algorithm != named:
        return None
    return algorithm


def new_values(content: bytes, digests: Mapping[ListedDigest, str]) -> dict[Value, str]:
    """Other digests as a list would write them: in the case of the old ones, and with their zeros.

    Args:
        content: Of the list.
        digests: By the old one each, in lower case and with all zeros before it.
    """
    values = {}
    for listed, digest in digests.items():
        end = listed.offset + len(listed.digest)
        new = digest
        if len(listed.digest) < len(digest):
            new = digest.lstrip("0") or "0"
        if content[listed.offset : end].isupper():
            new = new.upper()
        values[Value(listed.digest, listed.offset)] = new
    return values


def with_payload_bytes(bag_info: bytes, growth: int) -> bytes:
    """A bag-info.txt whose Payload-Oxum says so many bytes more, and as many files as before."""

    def grown(match: re.Match[bytes]) -> bytes:
        return b"%s%d.%s" % (match[1], int(match[2]) + growth, match[3])

    return _OXUM.sub(grown, bag_info)


def differ_in_digests_only(one: bytes, other: bytes) -> bool:
    """Whether two lists, or two bags' infos, are the same but for digests and numbers of bytes."""
    blank_one = _OXUM.sub(rb"\1", re.sub(_HEX, b"", one))
    return blank_one == _OXUM.sub(rb"\1", re.sub(_HEX, b"", other))


def _named(match: re.Match[bytes], *, is_manifest: bool) -> str:
    """The name in a line, without what the list's format escapes in it."""
    name = name_stored_as(match["name"])
    if is_manifest:
        for code, character in (("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
            name = re.sub(code, character, name, flags=re.IGNORECASE)
    elif match["escape"]:
        name = name.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r")
        name = name.replace("\0", "\\")
    else:
        name = name.replace("\\", "/")  # as Windows writes it
    return name
