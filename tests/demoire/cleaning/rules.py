"""Rules that tests of what becomes of an image begin with, and change where they are about one."""

from demoire.cleaning.verdict import Rules

RULES = Rules(
    restore_all=False,
    threshold=0.5,
    cell_threshold=0.3,
    sure=0.975,
    free_of_doubt=0.3,
    tile_side=512,
    max_megapixels=500,
    max_side=100_000,
)
