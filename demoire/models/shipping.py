"""Putting weights among those that come with the package: a tool for releases.

    python -m demoire.models.shipping runs/detector/detector.safetensors detector

copies the file into `weights_data` of the checkout that is run, and notes its digest in the index.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from demoire.files import write_whole
from demoire.models.weights import INDEX, SHIPPED_FOLDER, Weights, find_weights, shipped_files


def ship_weights(path: Path, name: str, folder: Path = SHIPPED_FOLDER) -> Weights:
    """Copy a sound weights file into a folder and note its digest in the folder's index.

    Weights that were there under this name are replaced.

    Args:
        path: A weights file or a checkpoint.
        name: What it is to be called.
        folder: Where it goes; by default the package's own weights.

    Raises:
        WeightsError: The file is not sound.
    """
    weights = find_weights(str(path))
    folder.mkdir(parents=True, exist_ok=True)
    file = name + path.suffix
    write_whole(folder / file, path.read_bytes())
    entries = {known: asdict(entry) for known, entry in shipped_files(folder).items()}
    entries[name] = {"file": file, "sha256": weights.digest}
    text = json.dumps(entries, indent=1, sort_keys=True) + "\n"
    write_whole(folder / INDEX, text.encode())
    return find_weights(str(folder / file))


def _main() -> None:
    """Ship the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="the weights file")
    parser.add_argument("name", help="what it is to be called")
    arguments = parser.parse_args()
    ship_weights(arguments.path, arguments.name)


if __name__ == "__main__":
    _main()
