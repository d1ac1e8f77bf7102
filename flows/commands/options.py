"""Arguments and options that several commands share and that are no settings.

One name means one thing everywhere. The settings have theirs from `flows.settings`.
"""

from pathlib import Path
from typing import Annotated

import typer

Src = Annotated[
    str,
    typer.Argument(
        metavar="SRC", help="What to clean: a folder, an archive, a URL or a glob of them."
    ),
]
SrcBesideList = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        show_default=False,
        help="What to clean: a folder, an archive, a URL or a glob of them; none if a list "
        "names all.",
    ),
]
Dst = Annotated[
    str,
    typer.Argument(metavar="DST", help="Where the cleaned mirror goes: a folder or a URL."),
]
DstBesideList = Annotated[
    str | None,
    typer.Argument(
        metavar="DST",
        help="Where the cleaned mirror goes: a folder or a URL. Alone with --from-file.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TOML with the same settings; flags win over it."),
]
StorageOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE", help="For the storage backend (fsspec); may be given several times."
    ),
]
PdfPasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Passwords for encrypted PDFs, one a line, tried in turn."),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Exit status 1 when anything was quarantined or withheld."),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="JSON on stdout, and nothing else there."),
]
