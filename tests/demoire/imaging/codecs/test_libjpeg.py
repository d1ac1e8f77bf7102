"""The libjpeg that Pillow brings is asked whether it is the one that is known here."""

from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import MachineError
from demoire.imaging import room
from demoire.imaging.codecs import libjpeg
from demoire.imaging.codecs.libjpeg_blocks import Coefficients, PixelCoder
from demoire.imaging.codecs.libjpeg_target import Coding, Colours
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
        coding = Coding(Colours.GREY)  # only for pixels, of which there are none
        with closing(Coefficients(data)) as file:
            file.read_blocks()
            in_memory = file.coded(coding)
        with monkeypatch.context() as large, closing(Coefficients(data)) as page:
            large.setattr(room, "LARGE_BYTES", 1)
            page.read_blocks()
            assert room.file_of(page.blocks(0)) is not None
            page.let_go()
            assert page.coded(coding) == in_memory, name
        assert np.array_equal(decode(in_memory).pixels, decode(data).pixels), name


def test_blocks_made_of_pixels_are_those_of_a_file_of_these_pixels(
    jpeg_files: dict[str, bytes],
) -> None:
    for name, data in jpeg_files.items():
        pixels = decode(data).pixels
        channels = pixels.shape[2]
        coding = Coding(Colours.GREY if channels == 1 else Colours.YCBCR)
        with closing(Coefficients(data)) as file:
            with closing(PixelCoder(file, pixels.shape, coding)) as coder:
                coder.add(pixels)
                whole = coder.coded()
            with closing(PixelCoder(file, pixels.shape, coding, keeps_blocks=True)) as maker:
                maker.add(pixels)
        with closing(Coefficients(whole)) as written:
            written.read_blocks()
            for component in range(channels):
                expected = written.blocks(component)
                rows, columns = expected.shape[:2]
                blocks = maker.blocks(component)[:rows, :columns]
                assert np.array_equal(blocks, expected), (name, component)
