"""Patterns that are printed or drawn, (SIDE, SIDE) from 0 (paper) to 1 (ink)."""

import numpy as np
from numpy.typing import NDArray

SIDE = 384  # px

Plane = NDArray[np.float64]


def dots(period: float, degrees: float, threshold: float = 0.3) -> Plane:
    """Round dots of hard edge on a square lattice; a higher threshold makes them smaller."""
    along, across = _turned(degrees)
    waves = np.cos(2 * np.pi * along / period) + np.cos(2 * np.pi * across / period)
    ink: Plane = (waves > threshold).astype(np.float64)
    return ink


def hatching(period: float, degrees: float, threshold: float = 0.5) -> Plane:
    """Parallel strokes of a pen; a higher threshold makes them thinner."""
    along, _ = _turned(degrees)
    ink: Plane = (np.cos(2 * np.pi * along / period) > threshold).astype(np.float64)
    return ink


def _turned(degrees: float) -> tuple[Plane, Plane]:
    down, across = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    angle = np.deg2rad(degrees)
    along = across * np.cos(angle) + down * np.sin(angle)
    return along, down * np.cos(angle) - across * np.sin(angle)
