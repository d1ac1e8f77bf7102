"""What is decoded unless told otherwise. Apart from the decoders: settings need no numpy."""

MAX_MEGAPIXELS = 500.0
MAX_SIDE = 100_000  # px

# A file that unpacks to so many bytes, and to so many times its own size, is a trap, or a sheet so
# blank that nothing is lost by leaving it be.
PICTURE_BOMB_BYTES = 128_000_000
PICTURE_BOMB_RATIO = 500

_BYTES_A_PIXEL = 8  # of four samples of 16 bits, as they are uncompressed
_BYTES_BESIDE_PIXELS = 256 << 20  # profile, metadata, previews


def largest_file(max_megapixels: float) -> float:
    """Bytes of the largest file that is read for its picture: one that holds nothing packed.

    Args:
        max_megapixels: The most that is decoded, MP.
    """
    return 1e6 * max_megapixels * _BYTES_A_PIXEL + _BYTES_BESIDE_PIXELS
