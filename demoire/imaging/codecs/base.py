"""What every codec can do, as a protocol that mypy checks for each of them.

A codec is a module. Reading a file takes two steps: `read_header` looks at its first bytes, and
`decode` takes the header it returned, so that no header is parsed twice on the way to the pixels.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.raster import Pixels, Raster
from demoire.imaging.facts import Format, ImageFacts

EditXmp = Callable[[bytes | None], bytes | None]
"""The new XMP packet, given the old one or None; None where it is to stay as it is."""


class Header(Protocol):
    """A header that was read: the facts in it, and whatever else its codec needs to go on."""

    @property
    def facts(self) -> ImageFacts:
        """What the header says."""
        ...

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of the samples, if the file has one."""
        ...


HeaderT = TypeVar("HeaderT", bound=Header)


class Codec(Protocol[HeaderT]):
    """Reads and writes one file format.

    The functions may raise any exception for bad bytes, CutShortError among them.
    """

    FORMAT: Format
    SUFFIXES: frozenset[str]  # of file names, in lower case and with the dot

    def recognises(self, data: FileBytes) -> bool:
        """Whether the first bytes are those of a file in this format."""
        ...

    def read_header(self, data: FileBytes) -> HeaderT:
        """The header of a file; its first 64 KB are usually enough. Decodes no pixels."""
        ...

    def is_cut_short(self, data: FileBytes) -> bool:
        """Whether a whole file ends before its picture does."""
        ...

    def is_risky(self, data: FileBytes) -> bool:
        """Whether to decode this file in a process that may crash or hang on it."""
        ...

    def decode(self, data: FileBytes, header: HeaderT) -> Raster:
        """The pixels of a whole file.

        A header can be decoded once: Pillow's view in it keeps the pixels that it has loaded.
        """
        ...

    def encode(self, data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
        """The file `data` with `pixels` in place of those of `raster`, which were decoded from it.

        Args:
            data: The original file.
            raster: What `decode` gave for it, without an obstacle.
            pixels: New pixels of the same shape and type, contiguous.

        Returns:
            A file of the same mode, bit depth, compression, alpha and metadata, but without a
            signed manifest.
        """
        ...

    def with_xmp(self, data: FileBytes, edit: EditXmp) -> FileBytes:
        """A whole file that `encode` has written, with another XMP packet and no other change.

        It stays as it is where the format has no place for one, or none that fits.
        """
        ...
