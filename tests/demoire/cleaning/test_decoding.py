"""The decoding threads among bad files."""

import pytest

from demoire.cleaning import decoding
from demoire.cleaning.cleaner import Cleaner
from demoire.imaging.images import OpenedImage


@pytest.mark.parametrize("step", ["open_image", "decode_guarded"])
@pytest.mark.timeout(60)
def test_a_decoder_that_fails_in_a_way_nobody_thought_of_costs_its_image_only(
    cleaner: Cleaner, mixed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    works = getattr(decoding, step)

    def fails_on_one(image: bytes | OpenedImage, **options: object) -> object:
        data = image if isinstance(image, bytes) else image.data
        if data is mixed["red 3.png"]:
            raise MemoryError("no room")
        return works(image, **options)

    monkeypatch.setattr(decoding, step, fails_on_one)
    results = dict(cleaner.clean_many(mixed.items()))
    assert len(results) == len(mixed)
    assert (results["red 3.png"].status, results["red 3.png"].reason) == (
        "quarantined",
        "decode_failed",
    )
    assert results["red 2.png"].status == "cleaned"
