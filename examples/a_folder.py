"""Clean all JPEGs of a folder into another one, several at a time.

python examples/a_folder.py photos clean
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from demoire import Cleaner, CleanerConfig, use_threads


def main(source: Path, target: Path) -> None:
    """Clean the images in `source` into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    use_threads()  # all cores for torch; a setting of the whole process, so the program makes it
    cleaner = Cleaner(CleanerConfig(max_megapixels=200))

    def images() -> Iterator[tuple[str, bytes]]:
        # Read by other threads as far ahead as memory allows: a folder of any size will do.
        for path in sorted(source.glob("*.jpg")):
            yield path.name, path.read_bytes()

    statuses: Counter[str] = Counter()
    for name, cleaned in cleaner.clean_many(images()):  # in order of completion
        (target / name).write_bytes(cleaned.data)
        statuses[cleaned.status] += 1
        if cleaned.status == "quarantined":
            print(f"{name}: {cleaned.reason}")  # copied as it is; nothing is lost
    print(dict(statuses))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
