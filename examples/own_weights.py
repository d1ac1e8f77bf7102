"""Clean one image with a restorer of your own, and be told what is wrong with its file.

    python examples/own_weights.py restorer.safetensors scan.jpg clean.jpg

The weights may come from `demoire train`, or be a checkpoint of another program (.pth, .pt).
"""

import sys
from pathlib import Path

from demoire import Cleaner, CleanerConfig, WeightsError


def main(weights: str, source: Path, target: Path) -> None:
    """Clean `source` into `target` with these weights."""
    # Without the gate every cell is restored, whatever the detector says: that shows what the
    # restorer does.
    config = CleanerConfig(restorer=weights, gate="off")
    try:
        cleaner = Cleaner(config)
    except WeightsError as error:
        sys.exit(str(error))  # one sentence, with the way out

    target.write_bytes(cleaner.clean(source.read_bytes()).data)
    print(f"restored with {cleaner.weights_digest}")  # the sha256 that a report would name


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
