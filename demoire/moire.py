"""The kinds of moiré and the size of a cell: what all packages agree on, without torch."""

from typing import Literal, get_args

CELL = 256  # px


MoireKind = Literal["none", "screen", "halftone", "texture"]


KINDS: tuple[MoireKind, ...] = get_args(MoireKind)
