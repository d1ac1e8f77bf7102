"""Names of places and files as people see them: without secrets, without control characters."""

import re

_PORT = re.compile(r":\d+$")


def redact(text: str) -> str:
    """`text` with the `user:password@` of a URL replaced by `***@`, a password with slashes in it
    too.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        return f"{scheme}://***@{authority.rpartition('@')[2]}{slash}{path}"
    if ":" in authority and not _PORT.search(authority) and "@" in path:
        return f"{scheme}://***@{path.rpartition('@')[2]}"
    return text


def shown(name: str) -> str:
    """`name` as text that can be printed and encoded anywhere: no secret, no lone surrogate, no
    control character.
    """
    printable = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in redact(name)
    )
    return printable.encode("utf-8", "backslashreplace").decode("utf-8")
