"""The libjpeg that Pillow brings is asked whether it is the one that is known here."""

from collections.abc import Callable

import numpy as np
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import MachineError
from demoire.imaging import room
from demoire.imaging.codecs import libjpeg
from demoire.imaging.codecs.libjpeg import Coefficients
from demoire.imaging.images import decode


def test_the_library_of_this_installation_fits() -> None:
    libjpeg.check_interface()


@pytest.mark.parametrize(
    ("what", "value"), [("_VERSION", 80), ("_DECOMPRESS", 656), ("_COMPRESS", 584)]
)
def test_another_version_or_size_ends_a_run_before_its_first_picture(
    make_cleaner: Callable[..., Cleaner], monkeypatch: pytest.MonkeyPatch, what: str, value: int
) -> None:
    """As where a distribution builds its Pillow with version 8 of the interface."""
    cleaner = make_cleaner()
    monkeypatch.setattr(libjpeg, what, value)
    with pytest.raises(MachineError, match="install the Pillow of its own project"):
        cleaner.clean(b"no picture yet")


def test_a_pillow_without_functions_to_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def built_in() -> object:
        raise AttributeError("undefined symbol: jpeg_std_error")

    monkeypatch.setattr(libjpeg, "_library", built_in)
    with pytest.raises(MachineError, match="Pillow"):
        libjpeg.check_interface()


def test_blocks_in_a_file_are_coded_as_those_in_memory(
    jpeg_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a large page, whose memory is given back between two looks."""
    for name, data in jpeg_files.items():
        in_memory = Coefficients(data).coded()
        with monkeypatch.context() as large:
            large.setattr(room, "LARGE_BYTES", 1)
            page = Coefficients(data)
            assert room.file_of(page.blocks(0)) is not None
            page.let_go()
            assert page.coded() == in_memory, name
        assert np.array_equal(decode(in_memory).pixels, decode(data).pixels), name


def test_a_file_whose_blocks_are_all_given_need_not_be_read(jpeg_files: dict[str, bytes]) -> None:
    for name, data in jpeg_files.items():
        old = Coefficients(data)
        new = Coefficients(data, are_read=False)
        for component in range(decode(data).pixels.shape[2]):
            assert not new.blocks(component).any()
            new.blocks(component)[:] = old.blocks(component)
        assert new.coded() == old.coded(), name
