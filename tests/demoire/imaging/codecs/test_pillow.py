"""Pillow's switch for decoding in part is off while something decodes, and put back."""

import pytest
from PIL import ImageFile

from demoire.imaging.codecs.pillow import whole_files_only
from demoire.imaging.images import decode
from tests.demoire.imaging.files import reason_of


def test_half_pictures_are_refused_even_where_pillow_was_told_to_take_them(
    jpeg_files: dict[str, bytes], lossless_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (jpeg_files["4:4:4"], lossless_files["png"]):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        assert reason_of(data[: len(data) // 2]) == "truncated"


def test_what_another_library_told_pillow_is_put_back(
    lossless_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    decode(lossless_files["png"])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_pillow_is_strict_until_the_last_thread_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with whole_files_only():
        with whole_files_only():
            pass
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
