"""Printed pages: a heading, columns of text, pictures, tables, a folio.

10 to 60 ms at 512 px on one core.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from demoire.simulate.arrays import Scene, to_bytes
from demoire.simulate.scenes.canvas import (
    FACES,
    Area,
    Colour,
    colour,
    fit_line,
    font,
    fractal,
    pixels,
    words,
)
from demoire.simulate.scenes.lookalikes import engraving
from demoire.simulate.scenes.photographs import photograph

_LEAST_PICTURE = 64  # px: photographs need room for their parts


@dataclass(frozen=True)
class Type:
    """How a page is set."""

    face: str
    size: int  # px
    ink: Colour

    @property
    def leading(self) -> int:
        """px from line to line."""
        return round(1.35 * self.size)


def page(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A printed page, (height, width, 3)."""
    paper = colour(rng, 225, 255, 0.35)
    stained = paper * (1 - 0.04 * fractal(rng, height, width, 0.5)[..., None])
    canvas = Image.fromarray(to_bytes(stained))
    draw = ImageDraw.Draw(canvas)
    face = FACES[int(rng.integers(len(FACES)))]
    size = int(rng.integers(8, 17))
    style = Type(face, size, pixels(colour(rng, 10, 60, 0.3)))
    margin = max(6, width // 14)
    top = _set_heading(draw, rng, Area(margin, max(6, height // 16), width - margin, height), style)
    bottom = height - margin
    columns = min(int(rng.integers(1, 4)), max(1, width // (10 * style.size)))
    pitch = (width - 2 * margin) // columns
    gutter = style.size if columns > 1 else 0
    for column in range(columns):
        left = margin + column * (width - 2 * margin) // columns
        area = Area(left, top, left + pitch - gutter, bottom)
        if rng.random() < 0.45:
            area = area.below(_set_picture(canvas, rng, area, style))
        if rng.random() < 0.3:
            area = area.below(_set_table(draw, rng, area, style))
        _set_text(draw, rng, area, style)
    folio = str(rng.integers(1, 900))
    position = (width // 2, height - margin + 2)
    draw.text(position, folio, fill=style.ink, font=font(style.face, style.size))
    return np.asarray(canvas)


def _set_heading(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, area: Area, style: Type
) -> int:
    """A line of large type, with a rule below it or without.

    Returns:
        Where the columns begin.
    """
    face = font(style.face, int(style.size * rng.uniform(1.6, 3)))
    text = fit_line(draw, rng, face, area.width).capitalize()
    draw.text((area.left, area.top), text, fill=style.ink, font=face)
    below = area.top + int(3.6 * style.size)
    if rng.random() < 0.5:
        rule = below - style.size // 2
        draw.line((area.left, rule, area.right, rule), fill=style.ink)
    return below


def _set_text(draw: ImageDraw.ImageDraw, rng: np.random.Generator, area: Area, style: Type) -> None:
    """Fill an area with paragraphs."""
    face = font(style.face, style.size)
    top = area.top
    while top + style.leading <= area.bottom:
        for _ in range(int(rng.integers(3, 12))):
            if top + style.leading <= area.bottom:
                line = fit_line(draw, rng, face, area.width)
                draw.text((area.left, top), line, fill=style.ink, font=face)
            top += style.leading
        top += style.leading // 2


def _set_table(draw: ImageDraw.ImageDraw, rng: np.random.Generator, area: Area, style: Type) -> int:
    """A ruled table at the top of an area; returns where it ends."""
    face = font(style.face, style.size)
    step = style.leading + 3
    rows = min(int(rng.integers(4, 10)), area.height // step)
    columns = max(2, area.width // (6 * style.size))
    top = area.top
    for row in range(rows):
        rule_width = 2 if row == 1 else 1
        draw.line((area.left, top, area.right, top), fill=style.ink, width=rule_width)
        for column in range(columns):
            is_label = column == 0 or row == 0
            text = words(rng, 1) if is_label else f"{rng.integers(1, 9999) / 10}"
            left = area.left + column * area.width // columns
            draw.text((left, top + 2), text, fill=style.ink, font=face)
        top += step
    draw.line((area.left, top, area.right, top), fill=style.ink)
    return top + style.size


def _set_picture(canvas: Image.Image, rng: np.random.Generator, area: Area, style: Type) -> int:
    """A picture with its caption at the top of an area; returns where they end."""
    height = min(int(area.width * rng.uniform(0.5, 1)), area.height - 2 * style.leading)
    if height < _LEAST_PICTURE or area.width < _LEAST_PICTURE:
        return area.top
    drawing = photograph if rng.random() < 0.75 else engraving
    canvas.paste(Image.fromarray(drawing(rng, height, area.width)), (area.left, area.top))
    draw = ImageDraw.Draw(canvas)
    face = font(style.face, max(7, style.size - 2))
    caption = fit_line(draw, rng, face, area.width)
    draw.text((area.left, area.top + height + 3), caption, fill=style.ink, font=face)
    return area.top + height + 3 + round(1.7 * style.size)
