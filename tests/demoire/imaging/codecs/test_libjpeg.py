"""The libjpeg that Pillow brings is asked whether it is the one that is known here."""

from collections.abc import Callable

import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import MachineError
from demoire.imaging.codecs import libjpeg


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
