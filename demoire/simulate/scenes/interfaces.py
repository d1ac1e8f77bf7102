"""User interfaces: windows with code, charts, lists, forms and pictures, on a desktop or alone.

10 to 60 ms at 512 px on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from demoire.simulate.arrays import Scene, to_bytes
from demoire.simulate.scenes.canvas import (
    CODE_FACE,
    Area,
    Colour,
    Face,
    colour,
    fit_line,
    font,
    pixels,
    words,
)
from demoire.simulate.scenes.photographs import photograph

_LIGHTS = ((236, 95, 87), (245, 191, 79), (98, 197, 84))  # the three buttons of a title bar
_WHITE = (255, 255, 255)
_SUFFIXES = ("", "", "(", ")", ":", " =", ".", "[0]", ",")  # of the words of a program


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


def interface(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A screen, (height, width, 3): one window that fills it, or several on a desktop."""
    theme = _draw_theme(rng)
    if rng.random() < 0.5:
        canvas = Image.new("RGB", (width, height), theme.ground)
        _draw_window(canvas, rng, Area(0, 0, width - 1, height - 1), theme)
        return np.asarray(canvas)
    canvas = _draw_desktop(rng, height, width)
    for _ in range(int(rng.integers(1, 4))):
        wide = int(width * rng.uniform(0.4, 0.8))
        tall = int(height * rng.uniform(0.4, 0.8))
        left = int(rng.integers(0, width - wide))
        top = int(rng.integers(0, height - tall))
        _draw_window(canvas, rng, Area(left, top, left + wide, top + tall), theme)
    return np.asarray(canvas)


def _draw_theme(rng: np.random.Generator) -> Theme:
    size = int(rng.integers(10, 16))
    if rng.random() < 0.45:  # dark
        base = colour(rng, 18, 48, 0.4)
        panel = np.clip(base + 12, 0, 255)
        ink = (224, 226, 230)
        faint = (118, 122, 132)
    else:
        base = colour(rng, 222, 246, 0.3)
        panel = np.clip(base + 14, 0, 255)
        ink = (34, 36, 42)
        faint = (150, 154, 164)
    accents = tuple(pixels(colour(rng, 70, 220, 0.9)) for _ in range(5))
    face = ("DejaVuSans.ttf", "")[int(rng.integers(2))]
    return Theme(
        ground=pixels(base),
        panel=pixels(panel),
        ink=ink,
        faint=faint,
        accents=accents,
        face=font(face, size),
        code=font(CODE_FACE, size),
        size=size,
    )


def _draw_desktop(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A photograph, or one colour that runs into another."""
    if rng.random() < 0.5:
        return Image.fromarray(photograph(rng, height, width))
    sweep = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    start = colour(rng, 20, 200)
    end = colour(rng, 20, 200)
    gradient = np.broadcast_to(start + (end - start) * sweep, (height, width, 3))
    return Image.fromarray(to_bytes(gradient))


def _accent(rng: np.random.Generator, theme: Theme) -> Colour:
    return theme.accents[int(rng.integers(len(theme.accents)))]


def _draw_window(canvas: Image.Image, rng: np.random.Generator, area: Area, theme: Theme) -> None:
    """A title bar with buttons, and two or three parts below it."""
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = area
    bar = round(2 * theme.size)
    draw.rectangle(area, fill=theme.panel, outline=theme.faint)
    bar_fill = _accent(rng, theme) if rng.random() < 0.3 else theme.ground
    draw.rectangle((left, top, right, top + bar), fill=bar_fill)
    title = words(rng, 2).title()
    draw.text((left + 8, top + bar // 4), title, fill=theme.ink, font=theme.face)
    middle_of_bar = top + bar // 2
    for number, light in enumerate(_LIGHTS):
        x = right - 14 - 16 * number
        draw.ellipse((x - 5, middle_of_bar - 5, x + 5, middle_of_bar + 5), fill=light)
    split = left + int((right - left) * rng.uniform(0.25, 0.5))
    middle = top + bar + int((bottom - top - bar) * rng.uniform(0.4, 0.7))
    parts = [Area(left + 1, top + bar + 1, split, bottom - 1)]
    if rng.random() < 0.6:
        parts.append(Area(split + 1, top + bar + 1, right - 1, middle))
        parts.append(Area(split + 1, middle + 1, right - 1, bottom - 1))
    else:
        parts.append(Area(split + 1, top + bar + 1, right - 1, bottom - 1))
    for part in parts:
        if part.width >= 40 and part.height >= 24:
            canvas.paste(_draw_part(rng, part.width, part.height, theme), part[:2])
            draw.rectangle(part, outline=theme.faint)


def _draw_part(rng: np.random.Generator, width: int, height: int, theme: Theme) -> Image.Image:
    """A picture, or one of `_PARTS`."""
    inner = Image.new("RGB", (width, height), theme.panel)
    if rng.random() < 0.15 and min(width, height) >= 64:
        inner.paste(Image.fromarray(photograph(rng, height, width)))
    else:
        draw_part = _PARTS[int(rng.integers(len(_PARTS)))]
        draw_part(ImageDraw.Draw(inner), rng, Area(0, 4, width, height), theme)
    return inner


def _write_code(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, area: Area, theme: Theme
) -> None:
    """Numbered lines of a program, its words coloured by what they are."""
    advance = max(4, round(draw.textlength("m", font=theme.code)))
    step = round(1.45 * theme.size)
    indent = 0
    number = int(rng.integers(1, 400))
    top = area.top
    while top + step <= area.bottom:
        draw.text((area.left + 2, top), f"{number:4d}", fill=theme.faint, font=theme.code)
        x = area.left + advance * (6 + 2 * indent)
        for word in words(rng, int(rng.integers(0, 7))).split():
            token = word + str(rng.choice(_SUFFIXES))
            if x + advance * len(token) > area.right:
                break
            ink = theme.ink if rng.random() < 0.5 else _accent(rng, theme)
            draw.text((x, top), token, fill=ink, font=theme.code)
            x += advance * (len(token) + 1)
        indent = int(np.clip(indent + rng.integers(-1, 2), 0, 4))
        top += step
        number += 1


def _draw_chart(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, area: Area, theme: Theme
) -> None:
    """Bars or lines over a grid."""
    plot = Area(area.left + 30, area.top + 8, area.right - 8, area.bottom - 20)
    if plot.width < 40 or plot.height < 30:
        return
    for line in range(5):
        y = plot.top + line * plot.height // 4
        draw.line((plot.left, y, plot.right, y), fill=theme.faint)
        label = (area.left + 2, y - theme.size // 2)
        draw.text(label, f"{100 - 25 * line}", fill=theme.faint, font=theme.face)
    count = int(rng.integers(5, 24))
    columns = np.linspace(plot.left + 4, plot.right - 4, count)
    if rng.random() < 0.5:
        shade = _accent(rng, theme)
        half = plot.width / count * 0.6 / 2
        for x, value in zip(columns, rng.beta(2, 2, count), strict=True):
            y = plot.bottom - value * plot.height
            draw.rectangle((x - half, y, x + half, plot.bottom), fill=shade)
        return
    for shade in theme.accents[: int(rng.integers(1, 4))]:
        walk = np.clip(0.5 + np.cumsum(rng.normal(0, 0.09, count)), 0, 1)
        points = list(zip(columns, plot.bottom - walk * plot.height, strict=True))
        draw.line(points, fill=shade, width=2)


def _draw_list(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, area: Area, theme: Theme
) -> None:
    """Rows with a mark and a name, one of them chosen; every other one tinted or not."""
    left, top, right, _ = area
    step = round(theme.size * rng.uniform(1.5, 2.2))
    rows = area.height // step
    chosen = int(rng.integers(max(1, rows)))
    is_striped = rng.random() < 0.4
    has_marks = rng.random() < 0.7
    for row in range(rows):
        y = top + row * step
        if row == chosen or (is_striped and row % 2):
            fill = _accent(rng, theme) if row == chosen else theme.ground
            draw.rectangle((left, y, right, y + step - 1), fill=fill)
        if has_marks:
            mark = (left + 6, y + 3, left + step - 2, y + step - 5)
            draw.rounded_rectangle(mark, 2, fill=_accent(rng, theme))
        room = (area.width - 2 * step) * rng.uniform(0.3, 1)
        text = fit_line(draw, rng, theme.face, max(8, room))
        draw.text((left + step + 6, y + 2), text, fill=theme.ink, font=theme.face)


def _draw_form(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, area: Area, theme: Theme
) -> None:
    """Labels, each with a field, a tick box or a button."""
    step = round(2.4 * theme.size)
    x = area.left + 10 + 8 * theme.size
    for y in range(area.top + 6, area.bottom - step, step):
        label = words(rng, 1).title()
        draw.text((area.left + 10, y + 4), label, fill=theme.ink, font=theme.face)
        choice = rng.random()
        if choice < 0.5:
            field = (x, y, max(x + 8, area.right - 10), y + step - 8)
            draw.rounded_rectangle(field, 3, outline=theme.faint, fill=theme.ground)
            text = fit_line(draw, rng, theme.face, max(8, area.right - x - 24))
            draw.text((x + 5, y + 2), text, fill=theme.faint, font=theme.face)
        elif choice < 0.75:
            box = (x, y + 2, x + theme.size, y + 2 + theme.size)
            draw.rectangle(box, outline=theme.faint, fill=theme.ground)
            draw.text((x + 2 * theme.size, y + 2), words(rng, 2), fill=theme.ink, font=theme.face)
        else:
            button = (x, y, x + 6 * theme.size, y + step - 8)
            draw.rounded_rectangle(button, 5, fill=_accent(rng, theme))
            text = words(rng, 1).title()
            draw.text((x + theme.size, y + 3), text, fill=_WHITE, font=theme.face)


_Part: TypeAlias = Callable[[ImageDraw.ImageDraw, np.random.Generator, Area, Theme], None]

_PARTS: tuple[_Part, ...] = (_write_code, _draw_chart, _draw_list, _draw_form)
