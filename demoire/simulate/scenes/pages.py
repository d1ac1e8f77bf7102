"""Clean scenes drawn by the project's own code: photographs, printed pages, user interfaces; and
the look-alikes.

They stand in where no clean images are at hand: the sample collection, the detector's hard
negatives, tests. Every drawing takes (rng, height, width), sides of at least 64 px, and gives
(height, width, 3) uint8 sRGB that depends on the generator alone; 10 to 60 ms at 512 px on one
core.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from demoire.simulate.scenes.canvas import (
    CODE_FACE,
    FACES,
    Colour,
    Drawing,
    Face,
    Scene,
    colour,
    fit_line,
    font,
    fractal,
    pixels,
    to_bytes,
    words,
)
from demoire.simulate.scenes.lookalikes import LOOKALIKES, engraving
from demoire.simulate.scenes.photographs import photograph

Box = tuple[int, int, int, int]  # left, top, right, bottom in px

__all__ = ["LOOKALIKES", "SCENES", "interface", "page", "photograph"]


@dataclass(frozen=True)
class Type:
    """How a page is set."""

    face: str
    size: int  # px
    ink: Colour

    @property
    def leading(self) -> int:
        return round(1.35 * self.size)


def _set_text(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Box, style: Type) -> None:
    """Fill a box with paragraphs."""
    face, (left, top, right, bottom) = font(style.face, style.size), box
    while top + style.leading <= bottom:
        for _ in range(int(rng.integers(3, 12))):
            if top + style.leading <= bottom:
                draw.text(
                    (left, top), fit_line(draw, rng, face, right - left), fill=style.ink, font=face
                )
            top += style.leading
        top += style.leading // 2


def _set_table(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Box, style: Type) -> int:
    """A ruled table at the top of a box; returns where it ends."""
    face, (left, top, right, bottom) = font(style.face, style.size), box
    rows = min(int(rng.integers(4, 10)), (bottom - top) // (style.leading + 3))
    columns = max(2, (right - left) // (6 * style.size))
    for row in range(rows):
        draw.line((left, top, right, top), fill=style.ink, width=2 if row == 1 else 1)
        for column in range(columns):
            text = words(rng, 1) if column == 0 or row == 0 else f"{rng.integers(1, 9999) / 10}"
            draw.text(
                (left + column * (right - left) // columns, top + 2),
                text,
                fill=style.ink,
                font=face,
            )
        top += style.leading + 3
    draw.line((left, top, right, top), fill=style.ink)
    return top + style.size


def _set_picture(canvas: Image.Image, rng: np.random.Generator, box: Box, style: Type) -> int:
    """A picture with its caption at the top of a box; returns where they end."""
    left, top, right, bottom = box
    height = min(int((right - left) * rng.uniform(0.5, 1)), bottom - top - 2 * style.leading)
    if height < 64 or right - left < 64:
        return top
    drawn = (photograph if rng.random() < 0.75 else engraving)(rng, height, right - left)
    canvas.paste(Image.fromarray(drawn), (left, top))
    draw, small = ImageDraw.Draw(canvas), font(style.face, max(7, style.size - 2))
    draw.text(
        (left, top + height + 3),
        fit_line(draw, rng, small, right - left),
        fill=style.ink,
        font=small,
    )
    return top + height + 3 + round(1.7 * style.size)


def page(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A printed page: heading, one to three columns, pictures, tables, a folio."""
    paper = colour(rng, 225, 255, 0.35)
    canvas = Image.fromarray(
        to_bytes(paper * (1 - 0.04 * fractal(rng, height, width, 0.5)[..., None]))
    )
    draw = ImageDraw.Draw(canvas)
    style = Type(
        FACES[int(rng.integers(len(FACES)))],
        int(rng.integers(8, 17)),
        pixels(colour(rng, 10, 60, 0.3)),
    )
    margin, top = max(6, width // 14), max(6, height // 16)
    heading = font(style.face, int(style.size * rng.uniform(1.6, 3)))
    draw.text(
        (margin, top),
        fit_line(draw, rng, heading, width - 2 * margin).capitalize(),
        fill=style.ink,
        font=heading,
    )
    top += int(3.6 * style.size)
    if rng.random() < 0.5:
        draw.line(
            (margin, top - style.size // 2, width - margin, top - style.size // 2), fill=style.ink
        )
    columns, bottom = (
        min(int(rng.integers(1, 4)), max(1, width // (10 * style.size))),
        height - margin,
    )
    for column in range(columns):
        left = margin + column * (width - 2 * margin) // columns
        right, start = (
            left + (width - 2 * margin) // columns - (style.size if columns > 1 else 0),
            top,
        )
        if rng.random() < 0.45:
            start = _set_picture(canvas, rng, (left, start, right, bottom), style)
        if rng.random() < 0.3:
            start = _set_table(draw, rng, (left, start, right, bottom), style)
        _set_text(draw, rng, (left, start, right, bottom), style)
    draw.text(
        (width // 2, height - margin + 2),
        str(rng.integers(1, 900)),
        fill=style.ink,
        font=font(style.face, style.size),
    )
    return np.asarray(canvas)


@dataclass(frozen=True)
class Theme:
    """The look of an interface."""

    ground: Colour
    panel: Colour
    ink: Colour
    faint: Colour
    accents: tuple[Colour, ...]
    face: Face
    code: Face
    size: int  # px


def _draw_theme(rng: np.random.Generator) -> Theme:
    size = int(rng.integers(10, 16))
    dark = rng.random() < 0.45
    base = colour(rng, 18, 48, 0.4) if dark else colour(rng, 222, 246, 0.3)
    panel = np.clip(base + (12 if dark else 14), 0, 255)
    accents = tuple(pixels(colour(rng, 70, 220, 0.9)) for _ in range(5))
    ink, faint = ((224, 226, 230), (118, 122, 132)) if dark else ((34, 36, 42), (150, 154, 164))
    face = ("DejaVuSans.ttf", "")[int(rng.integers(2))]
    return Theme(
        pixels(base),
        pixels(panel),
        ink,
        faint,
        accents,
        font(face, size),
        font(CODE_FACE, size),
        size,
    )


def _accent(rng: np.random.Generator, theme: Theme) -> Colour:
    return theme.accents[int(rng.integers(len(theme.accents)))]


def _write_code(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Box, theme: Theme
) -> None:
    """Numbered lines of a program, its words coloured by what they are."""
    left, top, right, bottom = box
    advance = max(4, round(draw.textlength("m", font=theme.code)))
    step, indent, number = round(1.45 * theme.size), 0, int(rng.integers(1, 400))
    while top + step <= bottom:
        draw.text((left + 2, top), f"{number:4d}", fill=theme.faint, font=theme.code)
        x = left + advance * (6 + 2 * indent)
        for word in words(rng, int(rng.integers(0, 7))).split():
            token = word + str(rng.choice(["", "", "(", ")", ":", " =", ".", "[0]", ","]))
            if x + advance * len(token) > right:
                break
            draw.text(
                (x, top),
                token,
                fill=theme.ink if rng.random() < 0.5 else _accent(rng, theme),
                font=theme.code,
            )
            x += advance * (len(token) + 1)
        indent = int(np.clip(indent + rng.integers(-1, 2), 0, 4))
        top, number = top + step, number + 1


def _draw_chart(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Box, theme: Theme
) -> None:
    """Bars or lines over a grid."""
    left, top, right, bottom = box[0] + 30, box[1] + 8, box[2] - 8, box[3] - 20
    if right - left < 40 or bottom - top < 30:
        return
    for line in range(5):
        y = top + line * (bottom - top) // 4
        draw.line((left, y, right, y), fill=theme.faint)
        draw.text(
            (box[0] + 2, y - theme.size // 2),
            f"{100 - 25 * line}",
            fill=theme.faint,
            font=theme.face,
        )
    count = int(rng.integers(5, 24))
    places = np.linspace(left + 4, right - 4, count)
    if rng.random() < 0.5:
        wide, shade = (right - left) / count * 0.6, _accent(rng, theme)
        for x, value in zip(places, rng.beta(2, 2, count), strict=True):
            draw.rectangle(
                (x - wide / 2, bottom - value * (bottom - top), x + wide / 2, bottom), fill=shade
            )
        return
    for shade in theme.accents[: int(rng.integers(1, 4))]:
        walk = np.clip(0.5 + np.cumsum(rng.normal(0, 0.09, count)), 0, 1)
        draw.line(
            [(x, bottom - v * (bottom - top)) for x, v in zip(places, walk, strict=True)],
            fill=shade,
            width=2,
        )


def _draw_list(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Box, theme: Theme) -> None:
    """Rows with a mark and a name, one of them chosen; every other one tinted or not."""
    left, top, right, bottom = box
    step = round(theme.size * rng.uniform(1.5, 2.2))
    rows = (bottom - top) // step
    chosen, striped, marks = int(rng.integers(max(1, rows))), rng.random() < 0.4, rng.random() < 0.7
    for row in range(rows):
        y = top + row * step
        if row == chosen or (striped and row % 2):
            draw.rectangle(
                (left, y, right, y + step - 1),
                fill=_accent(rng, theme) if row == chosen else theme.ground,
            )
        if marks:
            draw.rounded_rectangle(
                (left + 6, y + 3, left + step - 2, y + step - 5), 2, fill=_accent(rng, theme)
            )
        text = fit_line(
            draw, rng, theme.face, max(8, (right - left - 2 * step) * rng.uniform(0.3, 1))
        )
        draw.text((left + step + 6, y + 2), text, fill=theme.ink, font=theme.face)


def _draw_form(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Box, theme: Theme) -> None:
    """Labels, fields, ticks and buttons."""
    left, top, right, bottom = box
    step = round(2.4 * theme.size)
    for y in range(top + 6, bottom - step, step):
        draw.text((left + 10, y + 4), words(rng, 1).title(), fill=theme.ink, font=theme.face)
        x, choice = left + 10 + 8 * theme.size, rng.random()
        if choice < 0.5:
            draw.rounded_rectangle(
                (x, y, max(x + 8, right - 10), y + step - 8),
                3,
                outline=theme.faint,
                fill=theme.ground,
            )
            draw.text(
                (x + 5, y + 2),
                fit_line(draw, rng, theme.face, max(8, right - x - 24)),
                fill=theme.faint,
                font=theme.face,
            )
        elif choice < 0.75:
            draw.rectangle(
                (x, y + 2, x + theme.size, y + 2 + theme.size),
                outline=theme.faint,
                fill=theme.ground,
            )
            draw.text((x + 2 * theme.size, y + 2), words(rng, 2), fill=theme.ink, font=theme.face)
        else:
            draw.rounded_rectangle(
                (x, y, x + 6 * theme.size, y + step - 8), 5, fill=_accent(rng, theme)
            )
            draw.text(
                (x + theme.size, y + 3),
                words(rng, 1).title(),
                fill=(255, 255, 255),
                font=theme.face,
            )


_PARTS = (_write_code, _draw_chart, _draw_list, _draw_form)


def _draw_window(canvas: Image.Image, rng: np.random.Generator, box: Box, theme: Theme) -> None:
    """A title bar with tabs or buttons, and one to four parts below it."""
    draw, (left, top, right, bottom) = ImageDraw.Draw(canvas), box
    bar = round(2 * theme.size)
    draw.rectangle(box, fill=theme.panel, outline=theme.faint)
    draw.rectangle(
        (left, top, right, top + bar),
        fill=_accent(rng, theme) if rng.random() < 0.3 else theme.ground,
    )
    draw.text((left + 8, top + bar // 4), words(rng, 2).title(), fill=theme.ink, font=theme.face)
    for number, light in enumerate(((236, 95, 87), (245, 191, 79), (98, 197, 84))):
        x = right - 14 - 16 * number
        draw.ellipse((x - 5, top + bar // 2 - 5, x + 5, top + bar // 2 + 5), fill=light)
    split = left + int((right - left) * rng.uniform(0.25, 0.5))
    middle = top + bar + int((bottom - top - bar) * rng.uniform(0.4, 0.7))
    boxes = [
        (left + 1, top + bar + 1, split, bottom - 1),
        (split + 1, top + bar + 1, right - 1, bottom - 1),
    ]
    if rng.random() < 0.6:
        boxes[1:] = [
            (split + 1, top + bar + 1, right - 1, middle),
            (split + 1, middle + 1, right - 1, bottom - 1),
        ]
    for part in boxes:
        if part[2] - part[0] < 40 or part[3] - part[1] < 24:
            continue
        inner = Image.new("RGB", (part[2] - part[0], part[3] - part[1]), theme.panel)
        if rng.random() < 0.15 and min(inner.size) >= 64:
            inner.paste(Image.fromarray(photograph(rng, inner.height, inner.width)))
        else:
            _PARTS[int(rng.integers(len(_PARTS)))](
                ImageDraw.Draw(inner), rng, (0, 4, *inner.size), theme
            )
        canvas.paste(inner, part[:2])
        draw.rectangle(part, outline=theme.faint)


def interface(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A screen: one window that fills it, or several on a desktop, with code, charts, lists, forms
    and pictures.
    """
    theme = _draw_theme(rng)
    if rng.random() < 0.5:
        canvas = Image.new("RGB", (width, height), theme.ground)
        _draw_window(canvas, rng, (0, 0, width - 1, height - 1), theme)
        return np.asarray(canvas)
    if rng.random() < 0.5:
        canvas = Image.fromarray(photograph(rng, height, width))
    else:
        sweep = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
        start, end = colour(rng, 20, 200), colour(rng, 20, 200)
        canvas = Image.fromarray(
            to_bytes(np.broadcast_to(start + (end - start) * sweep, (height, width, 3)))
        )
    for _ in range(int(rng.integers(1, 4))):
        wide, tall = int(width * rng.uniform(0.4, 0.8)), int(height * rng.uniform(0.4, 0.8))
        left, top = int(rng.integers(0, width - wide)), int(rng.integers(0, height - tall))
        _draw_window(canvas, rng, (left, top, left + wide, top + tall), theme)
    return np.asarray(canvas)


SCENES: dict[str, Drawing] = {"photograph": photograph, "page": page, "interface": interface}
