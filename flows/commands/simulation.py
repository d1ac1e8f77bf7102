"""The commands that make pictures: simulate, lookalikes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from demoire.errors import UsageError
from demoire.simulate.splits import Split
from flows import console
from flows.first_checks import check_writable

DRAWN = "drawn"  # instead of a folder: scenes that the program draws itself

# The order of the help page; demoire.moire.KINDS begins with "none".
PairKind = Literal["screen", "halftone", "texture", "none"]

_ON_THE_SHEET = 6  # pictures of each kind
_COMPARED = 24  # pictures of each kind that the figures beside a sheet are of


def simulate(
    clean: Annotated[
        str,
        typer.Argument(
            metavar="CLEAN", help="A folder of clean images, or 'drawn' for own scenes."
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder for NAME_moire.png and NAME_clean.png."),
    ],
    *,
    kind: Annotated[
        PairKind, typer.Option(help="What makes the moiré; 'none' gives clean pictures only.")
    ],
    count: Annotated[int, typer.Option(min=1, help="How many pairs.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pairs.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Side of the pairs in px.")] = 512,
    split: Annotated[
        Split | None,
        typer.Option(help="Only images that training takes for this part of its data."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw a contact sheet of all kinds too."),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Real pictures with moiré: a row of the sheet, and figures beside it.",
        ),
    ] = None,
) -> int:
    """Make labelled pairs: the same picture with simulated moiré and without.

    With --sheet FILE.png --real DIR the simulated pictures are compared with real ones: FILE.json
    has contrasts, colour wavelengths and spectra of each kind, of clean pictures and of the real
    ones, FILE-spectra.png shows the spectra.
    """
    from demoire.simulate.pairs import PairSet, write_pairs

    images = _folder_of_scenes(clean)
    _check_sheet(sheet, real)
    with console.phases_bar("simulating", total=count) as progress:
        pairs = PairSet(kind, count, seed, size=size, split=split)
        write_pairs(images, out, pairs, progress)
    if sheet is not None:
        _draw_sheet(images, sheet, real, seed)
    typer.echo(f"pairs of kind {kind} in {out}: {count}")
    return 0


def lookalikes(
    textures: Annotated[
        str,
        typer.Argument(
            metavar="TEXTURES",
            help="A folder of pictures of surfaces, or 'drawn' for the program's own.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the pictures and their split file.")
    ],
    *,
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Side in px.")] = 384,
) -> int:
    """Make what a detector mistakes: clean photographs of patterned surfaces, and tinted text.

    OUT is laid out for 'demoire train --field OUT'. Roofs, cloth, grilles and paintings on canvas
    are photographed so that nothing of them aliases. Fine weaves come with moiré and without, text
    on tints comes printed in dots and without. Dithered screens and pictures are clean as well.
    """
    from demoire.simulate.hard_set import HardSet, write_hard_set

    folder = _folder_of_scenes(textures)
    with console.phases_bar("photographing", total=count) as progress:
        write_hard_set(folder, out, HardSet(count, seed, size), progress)
    typer.echo(f"{count} look-alikes are in {out}")
    return 0


def _folder_of_scenes(clean: str) -> Path | None:
    """The folder that the argument names, None for drawn scenes."""
    if clean == DRAWN:
        return None
    images = Path(clean)
    if not images.exists():
        raise UsageError(
            f"{images} does not exist; "
            f"name a folder of clean images, or '{DRAWN}' for drawn scenes."
        )
    return images


def _check_sheet(sheet: Path | None, real: Path | None) -> None:
    """Check, before pairs are made, that the sheet can be drawn.

    Raises:
        UsageError: It cannot.
    """
    from demoire.simulate.pairs import check_picture_name, clean_images

    if sheet is not None:
        check_picture_name(sheet)
        check_writable(sheet, "--sheet")
    if real is not None:
        if sheet is None:
            raise UsageError("--real compares on a contact sheet: say with --sheet where it goes.")
        clean_images(real)  # which raises where there are none


def _draw_sheet(images: Path | None, sheet: Path, real: Path | None, seed: int) -> None:
    """The contact sheet, and where there are real pictures the figures beside it."""
    from demoire.simulate.pairs import write_picture
    from demoire.simulate.realism import BANDS, draw_spectra, write_json
    from demoire.simulate.sheet import contact_sheet, gather

    count = _ON_THE_SHEET if real is None else _COMPARED
    with console.phases_bar("drawing the sheet") as progress:
        gallery = gather(images, count=count, seed=seed, real=real, progress=progress)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    write_picture(sheet, contact_sheet(gallery, _ON_THE_SHEET))
    if real is None:
        return
    sets = gallery.realism()
    write_json(sets, sheet.with_suffix(".json"))
    draw_spectra(sets, sheet.with_name(f"{sheet.stem}-spectra.png"))
    rows = [(name, one.colour_wavelength, *one.chroma_contrast) for name, one in sets.items()]
    columns = ("pictures", "bands of, px", *BANDS)
    console.show_table("contrast of colour by wavelength, RMS in 1/255", columns, rows)
    rows = [(name, one.windows, *one.luma_contrast) for name, one in sets.items()]
    console.show_table("contrast of brightness", ("pictures", "windows", *BANDS), rows)


COMMANDS = (simulate, lookalikes)
