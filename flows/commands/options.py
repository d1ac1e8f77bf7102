"""Arguments and options that several commands share, so that one name means one thing
everywhere.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.settings import Gate

Kind = Literal["screen", "halftone", "texture", "none"]

Src = Annotated[
    str,
    typer.Argument(
        metavar="SRC", help="What to clean: a folder, an archive, a URL or a glob of them."
    ),
]
Dst = Annotated[
    str, typer.Argument(metavar="DST", help="Where the cleaned mirror goes: a folder or a URL.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.", show_default="auto")]
GateOption = Annotated[
    Gate | None, typer.Option(help="'off' restores every tile, moiré or not.", show_default="auto")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Probability from which an image has moiré.",
        show_default="the weights' own",
    ),
]
DetectorOption = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="Weights of the detector.")
]
RestorerOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="Weights of the restorer, or a checkpoint (.pth)."),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[@DIGEST]",
        help="Registered or shipped weights; once for each of the two models.",
    ),
]
Registry = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|URL",
        help="Where registered weights are.",
        show_default="DEMOIRE_REGISTRY, or your own",
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Cleaning processes.", show_default="one per device")
]
MaxMegapixels = Annotated[
    float | None, typer.Option(help="Larger images are quarantined.", show_default="500")
]
MaxSide = Annotated[
    int | None, typer.Option(help="Longer images (px) are quarantined.", show_default="100000")
]
RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT|auto", help="A running Ray cluster to work on.")
]
Sample = Annotated[
    int | None, typer.Option(min=1, help="Only about this many images, drawn evenly.")
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
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit status 1 when anything was quarantined.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else there.")]
