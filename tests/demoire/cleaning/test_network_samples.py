"""Samples go to the networks as parts of full scale, and come back as they were."""

import numpy as np
import pytest
import torch

from demoire.cleaning.network_samples import floats_of, rounded_samples

CPU = torch.device("cpu")


def every_value(dtype: type, channels: int) -> np.ndarray:
    """Pixels that hold each value of a type, (H, 256, channels)."""
    values = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    plane = values.reshape(-1, 256, 1)
    return np.concatenate([np.roll(plane, number, axis=1) for number in range(channels)], axis=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_are_parts_of_full_scale_to_the_last_bit(dtype: type) -> None:
    pixels = every_value(dtype, 3)
    floats = floats_of([pixels, pixels[:, ::-1]], CPU)
    assert floats.shape == (2, 3, *pixels.shape[:2])
    assert floats.is_contiguous(memory_format=torch.channels_last)
    parts = (pixels / np.float64(np.iinfo(dtype).max)).astype(np.float32)
    np.testing.assert_array_equal(floats[0].permute(1, 2, 0).numpy(), parts)
    np.testing.assert_array_equal(floats[1].permute(1, 2, 0).numpy(), parts[:, ::-1])


def test_grey_comes_three_times() -> None:
    floats = floats_of([every_value(np.uint8, 1)], CPU)
    assert floats.is_contiguous(memory_format=torch.channels_last)
    red, green, blue = floats[0]
    assert torch.equal(red, green) and torch.equal(red, blue)
    assert red.max() == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_samples_come_back_as_they_were(dtype: type) -> None:
    pixels = every_value(dtype, 3)
    values = floats_of([pixels], CPU)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(rounded_samples(values, np.dtype(dtype)), pixels)


def test_what_lies_beyond_the_range_is_kept_in_it() -> None:
    values = torch.tensor([-0.5, 0.0, 0.5 / 255, 1.0, 1.5]).reshape(1, 5, 1)
    assert rounded_samples(values, np.dtype(np.uint8)).ravel().tolist() == [0, 0, 0, 255, 255]
