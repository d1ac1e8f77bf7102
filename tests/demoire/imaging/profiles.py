"""ICC profiles made here: an RGB space wider than sRGB, and a press of four inks.

References:
    ICC.1:2001-04 (version 2.4): header in 6.1, tag table in 6.2, curves in 6.5.3, lut8 in 6.5.8.
"""

import struct
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage import color

D50 = (0.9642, 1.0, 0.8249)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">2I", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI", size, b"test", 0x02400000) + kind + space + connection
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _description(text: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 78)


def _named(name: bytes) -> dict[bytes, bytes]:
    return {
        b"desc": _description(name),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50),
    }


def wide_rgb(gamma: float = 2.19921875) -> bytes:
    """A space with the primaries of Adobe RGB (1998), adapted to D50."""
    primaries = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    tags = _named(b"wide RGB")
    for name, values in primaries.items():
        tags[name] = b"XYZ " + bytes(4) + _fixed(*values)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def press() -> bytes:
    """Four inks that take away light one after the other; dark greys are printed in black."""
    tags = _named(b"a press")
    tags[b"A2B0"] = _lut8(4, 3, 9, lambda inks: _as_lab(seen_on_paper(inks)))
    tags[b"B2A0"] = _lut8(3, 4, 33, lambda lab: separated(_from_lab(lab)))
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def seen_on_paper(inks: NDArray) -> NDArray:
    """Inks (..., 4) of 0..1 as sRGB (..., 3) of 0..1."""
    dense = np.array([[0.9, 0.15, 0.05], [0.2, 0.9, 0.25], [0.02, 0.1, 0.85]])
    light = np.prod(1 - inks[..., :3, None] * dense, axis=-2)
    return light * (1 - 0.95 * inks[..., 3:])


def separated(rgb: NDArray) -> NDArray:
    """Inks (..., 4) that give about this sRGB (..., 3)."""
    grey = 1 - rgb.max(axis=-1, keepdims=True)
    black = np.clip(grey, 0, 1) ** 1.5 / 0.95 * 0.9
    rest = np.clip(rgb / (1 - 0.95 * black), 0, 1)
    inks = 1 - rest
    for _ in range(30):  # the inks are not pure: a fixed point
        print_ = seen_on_paper(np.concatenate([inks, np.zeros_like(black)], axis=-1))
        inks = np.clip(inks + 0.7 * (print_ - rest), 0, 1)
    return np.concatenate([inks, black], axis=-1)


def _as_lab(rgb: NDArray) -> NDArray:
    lab = color.rgb2lab(rgb)
    return (lab + [0, 128, 128]) / [100, 255, 255]


def _from_lab(lab: NDArray) -> NDArray:
    flat = (lab * [100, 255, 255] - [0, 128, 128]).reshape(-1, 1, 3)
    with warnings.catch_warnings():  # colours that no screen shows
        warnings.simplefilter("ignore")
        rgb = color.lab2rgb(flat)
    return np.clip(rgb, 0, 1).reshape(lab.shape)


def _lut8(inputs: int, outputs: int, points: int, look_up: Callable) -> bytes:
    steps = np.linspace(0, 1, points)
    grid = np.stack(np.meshgrid(*[steps] * inputs, indexing="ij"), axis=-1)
    table = np.rint(np.clip(look_up(grid), 0, 1) * 255).astype(np.uint8).tobytes()
    head = b"mft1" + bytes(4) + bytes((inputs, outputs, points, 0))
    unit = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    straight = bytes(range(256))
    return head + unit + straight * inputs + table + straight * outputs
