"""Files that hold other files, and that nothing here opens: known by the ends of their names.

They are mirrored as they are. Whoever runs the program should hear of them, since there may be
pictures in them. Disk images, mailboxes and the like are left out: archivists know that those are
not looked into.
"""

from pipelines.sources.members import is_fork

_PACKED = (
    ".7z",
    ".ace",
    ".arj",
    ".cab",
    ".cb7",
    ".cba",
    ".cbr",
    ".lha",
    ".lzh",
    ".rar",
    ".sit",
    ".sitx",
    ".tar.br",
    ".tar.lz",
    ".tar.lz4",
    ".tar.lzma",
    ".tar.lzo",
    ".tar.z",
    ".taz",
    ".tlz",
    ".zipx",
)

OFFICE_SUFFIXES = (".docx", ".odg", ".odp", ".ods", ".odt", ".pptx", ".xlsx")


def unopened_suffix(name: str) -> str | None:
    """'.rar' of 'a/B.RAR'; None where a name is not that of a file which holds others unopened."""
    if is_fork(name):
        return None
    lower = name.lower()
    for suffix in (*_PACKED, *OFFICE_SUFFIXES):
        if lower.endswith(suffix):
            return suffix
    return None
