"""What the header of an image says, before any pixel is decoded."""

from dataclasses import dataclass
from typing import Literal

Format = Literal["JPEG", "PNG", "TIFF", "WEBP", "BMP", "JPEG2000", "AVIF", "HEIC", "JXL"]


@dataclass(frozen=True)
class ImageFacts:
    """What the header says.

    Attributes:
        format: The file format, as its first bytes tell it.
        width: Pixels in a row, as the file stores them: an orientation tag turns nothing here.
        height: Rows of pixels, as the file stores them.
        mode: L, LA, RGB, RGBA, P, CMYK, 1 and so on: Pillow's names. 16-bit grey is L with 16
            `bits`.
        bits: Bits per sample.
        dpi: Horizontal resolution in pixels per inch, or None if the file does not say.
        icc: Description of the colour profile, "unreadable" or "unnamed"; None without a profile.
        pages: Pages or frames in the file, at least 1.
    """

    format: Format
    width: int
    height: int
    mode: str
    bits: int
    dpi: float | None
    icc: str | None
    pages: int

    @property
    def megapixels(self) -> float:
        """Millions of pixels in one page."""
        return self.width * self.height / 1e6
