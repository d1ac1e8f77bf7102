"""What is decoded unless told otherwise. Apart from the decoders: settings need no numpy."""

MAX_MEGAPIXELS = 500.0
MAX_SIDE = 100_000  # px

# A file that unpacks to so many bytes, and to so many times its own size, is a trap, or a sheet so
# blank that nothing is lost by leaving it be.
PICTURE_BOMB_BYTES = 128_000_000
PICTURE_BOMB_RATIO = 500
