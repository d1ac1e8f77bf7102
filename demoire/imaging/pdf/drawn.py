"""Which pictures the pages of a PDF draw, and where. Runs in the child.

Only what moves the page about (q, Q, cm) and what draws (Do) is read of a page's content, in forms
as well. Pictures that lie over each other make up one picture together. Their moiré may come from
either, or from both together, so they are left alone.

In mixed raster content a page is split into a background with all tones, and a foreground that
gives the text its colour through a bilevel mask. The background is cleaned: nothing with tones lies
over it but the letters, and those stay as they are. So is a picture with nothing but masks and
bilevel pictures over it.

A stencil mask, which paints its bits in the colour at hand, is a scan in black and white if that is
black and nothing lies under it. Over another picture it cuts letters, and is none of its own.

References:
    ISO 32000-1:2008: content streams in 7.8.2, transformations in 8.3.4, external objects in 8.8,
    forms in 8.10, stencil masks in 8.9.6.2, colour operators in 8.6.8.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pikepdf

from demoire.imaging.pdf.obstacles import (
    INKS,
    Colours,
    WrongTypeError,
    colours_of,
    is_bilevel,
    is_cut_out,
    is_stream,
    is_too_small,
)
from demoire.imaging.pdf.picture import PdfRefusedError
from demoire.reasons import Reason

_OPERATORS = "q Q cm Do"
_COLOUR_OPERATORS = " g rg k cs sc scn"  # of what fills
_MOST_FORMS = 10_000  # drawn on one page
_MOST_DEPTH = 20  # of forms in forms
_MOST_BENEATH = 100  # pictures on one page that a stencil mask is compared with
_MOST_DRAWINGS = 5_000  # on one page, of which it is worked out how they overlap
# A picture is part of a layered one if others cover more than this share of it: a stamp of a
# library's name in a corner does not make a scan a layered one.
_COVERED = 0.1

ObjectId = tuple[int, int]  # number and generation


@dataclass(frozen=True)
class DrawnPicture:
    """A picture that is drawn on a page.

    Attributes:
        stream: Its object.
        box: Left, bottom, right and top on the page, in its units.
        across: How far the picture's own width reaches on the page, however it is turned.
        along: The same of its height.
    """

    stream: Any
    box: tuple[float, float, float, float]
    across: float
    along: float
    is_inked: bool = False  # a stencil mask that is painted in another colour than black

    @property
    def object_id(self) -> ObjectId:
        """Of its object."""
        number, generation = self.stream.objgen
        return number, generation


def drawings_on(page: pikepdf.Page) -> list[DrawnPicture]:
    """The pictures that a page draws, in the order of drawing. Masks of others are none.

    Raises:
        PdfRefusedError: The page draws so much that it must be a trap.
    """
    drawings: list[DrawnPicture] = []
    beneath: list[DrawnPicture] = []
    for drawing in _PageReader().drawings(page, page.obj.get("/Resources"), _State(), 0):
        is_stencil = drawing.stream.get("/ImageMask")
        if is_stencil and _is_over(drawing, beneath):
            continue
        drawings.append(drawing)
        if not is_stencil:
            beneath.append(drawing)
    return drawings


def _is_over(drawing: DrawnPicture, others: list[DrawnPicture]) -> bool:
    """Whether a picture lies over others, or a page draws too many to tell."""
    if len(others) > _MOST_BENEATH:
        return True
    left, bottom, right, top = drawing.box
    for other in others:
        is_beside = other.box[2] <= left or right <= other.box[0]
        is_above = other.box[3] <= bottom or top <= other.box[1]
        if not is_beside and not is_above:
            return True
    return False


def layered(drawings: list[DrawnPicture]) -> set[ObjectId]:
    """Those pictures of a page that share a part of it with others that have tones there.

    The foreground of mixed raster content is one of them, its background is not.
    """
    toned: list[DrawnPicture] = []
    covering: list[DrawnPicture] = []
    drawn: set[tuple[object, ...]] = set()
    for drawing in drawings:
        at = (drawing.object_id, *drawing.box)
        if is_bilevel(drawing.stream) or at in drawn:  # over itself it is the same picture still
            continue
        drawn.add(at)
        toned.append(drawing)
        if not is_cut_out(drawing.stream):
            covering.append(drawing)
    if len(toned) > _MOST_DRAWINGS:
        return {drawing.object_id for drawing in toned}
    boxes = np.array([drawing.box for drawing in covering], np.float64).reshape(-1, 4)
    inside: set[ObjectId] = set()
    for drawing in toned:
        left, bottom, right, top = drawing.box
        across = np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)
        along = np.minimum(boxes[:, 3], top) - np.maximum(boxes[:, 1], bottom)
        area = (right - left) * (top - bottom)
        covered = float((across.clip(0) * along.clip(0)).sum())
        if not is_cut_out(drawing.stream):
            covered -= area  # its own
        if covered > _COVERED * area:
            inside.add(drawing.object_id)
    return inside


@dataclass(frozen=True)
class _State:
    """What of a page's graphics state matters here.

    Attributes:
        matrix: Takes units of the content to those of the page.
        is_black: The colour that fills.
        is_additive: Its space, in which zeros are black.
    """

    matrix: pikepdf.Matrix = field(default_factory=pikepdf.Matrix)
    is_black: bool = True
    is_additive: bool = True

    def filled(self, operator: str, operands: Any, resources: Any) -> "_State":
        """The state after an operator of colour."""
        match operator:
            case "g" | "rg":
                return replace(self, is_black=_are_zeros(operands), is_additive=True)
            case "k":
                is_black = bool(operands) and operands[-1] == 1
                return replace(self, is_black=is_black, is_additive=False)
            case "cs":
                is_additive = bool(operands) and _is_additive(operands[0], resources)
                return replace(self, is_black=is_additive, is_additive=is_additive)
        return replace(self, is_black=self.is_additive and _are_zeros(operands))


class _PageReader:
    """Reads one page's content, with that of the forms on it."""

    def __init__(self) -> None:
        self._forms = 0

    def drawings(
        self, content: Any, resources: Any, state: _State, depth: int
    ) -> Iterator[DrawnPicture]:
        """What is drawn by a content that begins in this state."""
        objects = _dictionary(_dictionary(resources).get("/XObject"))
        saved: list[_State] = []
        operators = _OPERATORS
        if any(_takes_a_colour(drawn) for _, drawn in objects.items()):
            operators += _COLOUR_OPERATORS  # of which a map has thousands
        for instruction in pikepdf.parse_content_stream(content, operators=operators):
            operands: Any = instruction.operands
            operator = str(instruction.operator)
            match operator:
                case "q":
                    saved.append(state)
                case "Q":
                    state = saved.pop() if saved else state
                case "cm":
                    state = replace(state, matrix=_matrix(operands) @ state.matrix)
                case "Do" if len(operands) == 1 and str(operands[0]) in objects:
                    drawn = objects[str(operands[0])]
                    yield from self._drawn(drawn, resources, state, depth)
                case "Do":
                    continue
                case _:
                    state = state.filled(operator, operands, resources)

    def _drawn(
        self, drawn: Any, resources: Any, state: _State, depth: int
    ) -> Iterator[DrawnPicture]:
        if not is_stream(drawn):
            return
        subtype = str(drawn.get("/Subtype"))
        matrix = state.matrix
        is_stencil = bool(drawn.get("/ImageMask"))
        if subtype == "/Image" and not (is_stencil and is_too_small(drawn)):
            across = math.hypot(matrix.a, matrix.b)
            along = math.hypot(matrix.c, matrix.d)
            is_inked = is_stencil and not state.is_black
            yield DrawnPicture(drawn, _unit_square(matrix), across, along, is_inked)
        if subtype == "/Form":
            self._forms += 1
            if self._forms > _MOST_FORMS or depth > _MOST_DEPTH:
                raise PdfRefusedError(
                    Reason.COMPRESSION_BOMB, "A page of the PDF draws itself over and over."
                )
            own = _matrix(drawn.get("/Matrix", ()))
            inner = drawn.get("/Resources", resources)
            begin = replace(state, matrix=own @ matrix)
            yield from self.drawings(drawn, inner, begin, depth + 1)


def _takes_a_colour(drawn: Any) -> bool:
    """Whether what a content draws may be painted in the colour that it sets: masks, forms."""
    return is_stream(drawn) and ("/ImageMask" in drawn or str(drawn.get("/Subtype")) == "/Form")


def _is_additive(name: Any, resources: Any) -> bool:
    """Whether zeros are black in a colour space, and its colours begin with them."""
    spaces = _dictionary(_dictionary(resources).get("/ColorSpace"))
    try:
        colours = colours_of(spaces.get(str(name), name))
    except WrongTypeError:  # no picture is to suffer from it
        return False
    return isinstance(colours, Colours) and colours.channels < INKS


def _are_zeros(operands: Any) -> bool:
    return all(isinstance(one, int | Decimal) and one == 0 for one in operands)


def _dictionary(thing: Any) -> Any:
    """A dictionary; an empty one where something else stands in its place."""
    return thing if isinstance(thing, pikepdf.Dictionary) else pikepdf.Dictionary()


def _matrix(numbers: Any) -> pikepdf.Matrix:
    """A matrix; one that takes nothing anywhere else where the numbers are none."""
    try:
        return pikepdf.Matrix(*(float(number) for number in numbers))
    except (TypeError, ValueError):
        return pikepdf.Matrix()


def _unit_square(matrix: pikepdf.Matrix) -> tuple[float, float, float, float]:
    """Where the unit square, in which a picture is drawn, comes to lie."""
    box = matrix.transform(pikepdf.Rectangle(0, 0, 1, 1))
    return box.llx, box.lly, box.urx, box.ury
