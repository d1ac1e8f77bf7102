"""zlib's unpacker under the names that those of the other methods have."""

import zlib


class Inflater:
    """Unpacks one deflated stream; see `pipelines.sources.formats.streams.Unpacker`."""

    def __init__(self, window_bits: int) -> None:
        """`window_bits`: as `zlib.decompressobj` takes them; they tell what is around the data."""
        self._inflater = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        """Whether more has to go in before anything comes out."""
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """What went in behind the stream's end."""
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take in some more; at most `max_length` bytes come out."""
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)
