"""Children that read PDF files end with the tests that started them."""

from collections.abc import Iterator

import pytest

from demoire.imaging.pdf.guarded import pdf_readers


@pytest.fixture(autouse=True, scope="module")
def readers() -> Iterator[None]:
    yield
    pdf_readers.end()
