"""Distributions that numpy's generators do not have by a name."""

import numpy as np


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A positive number between two, as often in each octave."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
