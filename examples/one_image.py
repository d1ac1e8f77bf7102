"""Clean one image, and say what was done.

python examples/one_image.py scan.jpg clean.jpg
"""

import sys
from pathlib import Path

from demoire import Cleaner


def main(source: Path, target: Path) -> None:
    """Clean `source` into `target`."""
    cleaner = Cleaner()  # loads both networks, so make it once for all images

    cleaned = cleaner.clean(source.read_bytes(), name=source.name)

    # Unless it was cleaned, `data` is the file that came in, byte for byte.
    target.write_bytes(cleaned.data)
    if cleaned.status == "cleaned":
        print(
            f"{cleaned.moire_kind}: moiré {cleaned.moire_before:.2f} -> {cleaned.moire_after:.2f}"
        )
        print(f"{cleaned.cells_restored} of {cleaned.cells} cells restored")
    else:
        print(cleaned.status, cleaned.reason or "nothing to do")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
