"""Decoders that keep their remarks to themselves."""

import logging
import warnings


def quiet_decoders() -> None:
    """Silence what Pillow and tifffile say about odd metadata, for the rest of the process.

    Both report every tag that is out of order, as a warning or in the log. What matters about a
    file ends in an ImageError anyway. Where Python turns warnings into errors (`-W error`), odd
    metadata would even make a sound picture unreadable. Entry points call this once; calling it
    again changes nothing.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
