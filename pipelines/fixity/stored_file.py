"""One stored file, for its digests."""

import hashlib
from dataclasses import dataclass

from pipelines.storage.place import Place

_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class StoredFile:
    """A file at a place."""

    place: Place
    path: str

    def digest(self, algorithm: str) -> str:
        """Its digest in hexadecimal; one read of it, a megabyte in memory.

        Args:
            algorithm: As hashlib names it.

        Raises:
            StorageError: It cannot be read.
        """
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with self.place.open(self.path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()
