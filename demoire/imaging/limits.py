"""What is decoded unless told otherwise. Apart from the decoders: settings need no numpy."""

MAX_MEGAPIXELS = 500.0
MAX_SIDE = 100_000  # px
