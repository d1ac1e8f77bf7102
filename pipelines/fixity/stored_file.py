"""One stored file, for its digests."""

from dataclasses import dataclass

from pipelines.storage.digests import digest_of_file
from pipelines.storage.place import Place


@dataclass(frozen=True)
class StoredFile:
    """A file at a place."""

    place: Place
    path: str

    def digest(self, algorithm: str) -> str:
        """Its digest in hexadecimal; one read of it, a megabyte in memory.

        Args:
            algorithm: As `pipelines.storage.digests.new_digest` takes it.

        Raises:
            StorageError: It cannot be read.
        """
        with self.place.open(self.path) as file:
            return digest_of_file(file, algorithm)
