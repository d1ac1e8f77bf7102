"""Children that read PDF files end with the tests that started them."""

from collections.abc import Iterator

import pytest

from demoire.imaging.pdf.guarded import pdf_readers
from demoire.imaging.pdf.passwords import use_passwords


@pytest.fixture(autouse=True, scope="module")
def readers() -> Iterator[None]:
    yield
    pdf_readers.end()


@pytest.fixture(autouse=True)
def no_passwords() -> Iterator[None]:
    yield
    use_passwords(())
