"""The kinds of moiré and the size of a cell: what all packages agree on, without torch."""

from typing import Literal, get_args

CELL = 256
"""px; side of the squares that the detector judges."""

MoireKind = Literal["none", "screen", "halftone", "texture"]
"""What a pattern comes from; "none" where there is none."""

KINDS: tuple[MoireKind, ...] = get_args(MoireKind)
"""All kinds, in the order of the detector's probabilities."""
