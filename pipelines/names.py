"""Names of places and files: as people see them, and as they are stored.

People see neither secrets nor control characters. A name need not be UTF-8; what is not stands in
it as lone surrogates, as `os.fsdecode` has it, and is stored as the bytes that it was.
"""

import re

_PORT = re.compile(r":\d+$")


def redact(text: str) -> str:
    """Return `text` with the `user:password@` of a URL replaced by `***@`.

    A password may hold slashes, which a URL parser would take for the end of the host.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        host = authority.rpartition("@")[2]
        return f"{scheme}://***@{host}{slash}{path}"
    password_has_slash = ":" in authority and not _PORT.search(authority) and "@" in path
    if password_has_slash:
        return f"{scheme}://***@{path.rpartition('@')[2]}"
    return text


def shown(name: str) -> str:
    """Return `name` as text that any terminal and file can take.

    It has no secret, no lone surrogate and no control character.
    """
    text = redact(name)
    if text.isprintable():  # as nearly all are, and every call of a place asks
        return text
    characters = []
    for character in text:
        if not character.isprintable():
            character = character.encode("unicode_escape").decode("ascii")
        characters.append(character)
    return "".join(characters)


def as_text(name: str) -> str:
    """A name that need not be UTF-8, as text that is."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def stored_name(name: str) -> bytes:
    """A name as the bytes that it is stored as."""
    return name.encode("utf-8", "surrogateescape")


def name_stored_as(stored: bytes) -> str:
    """The name that was stored as these bytes."""
    return stored.decode("utf-8", "surrogateescape")
