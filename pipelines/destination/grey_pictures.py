"""The grey pictures of black and white images, which `--bilevel grey` asks for.

    grey/<path of the source>/<name of the image>.png
    grey/<source>/<position>.png    of an image whose name DST cannot hold

They are no part of a mirror: whoever needs none deletes the folder. A worker writes them before it
commits their unit, so a unit that is committed has them, and an attempt that is repeated writes
them again. `gc` removes those whose image is black and white no longer, `prune` those whose image
has left SRC.

Costs a write for each grey picture, and a delete for each black and white image without one.
"""

from collections.abc import Collection, Iterator

import pyarrow.parquet as pq

from demoire.errors import RefusedNameError
from demoire.reasons import Reason
from pipelines import layout
from pipelines.destination.tables import tables_in
from pipelines.paths import folders_above
from pipelines.records import Member, Source
from pipelines.storage.place import Entry, Place

_OF_A_FILE = "!"  # ends the folder of the images in a file of several pages


class GreyPictures:
    """Those under DST.

    Args:
        place: DST.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def put(self, source: Source, member: Member, grey: bytes | None) -> None:
        """Keep the grey picture of an image; None: there is none, and none of an earlier run stays.

        Args:
            source: What the image is in.
            member: The image.
            grey: A PNG file.
        """
        by_name = layout.grey_picture(source.path, member.name)
        by_position = layout.grey_picture_of(layout.image_id(source.id, member.position))
        path = by_position if self._place.refuses(by_name) else by_name
        if grey is None:
            self._place.delete(path)
            return
        try:
            self._place.write(path, grey)
        except RefusedNameError:
            self._place.write(by_position, grey)

    def all(self) -> Iterator[Entry]:
        """All that are there."""
        for entry in self._place.list(layout.GREY):
            if entry.kind == "file" and entry.name.endswith(layout.GREY_SUFFIX):
                yield entry

    def remove_of(self, paths: Collection[str]) -> None:
        """Remove those of files and archives.

        Args:
            paths: Where these were under DST.
        """
        if not paths:
            return
        for entry in list(self.all()):
            if not _owners(entry.path).isdisjoint(paths):
                self._place.delete(entry.path)

    def without_image(self) -> list[Entry]:
        """Those of which no report says that the image is black and white."""
        entries = list(self.all())
        if not entries:
            return []
        named: set[str] = set()
        for table in tables_in(self._place, layout.REPORT):
            named.update(self._named_in(table))
        return [entry for entry in entries if entry.path not in named]

    def _named_in(self, table: Entry) -> Iterator[str]:
        """Where the grey pictures of the black and white images in a report table may lie."""
        with self._place.open(table.path) as file:
            rows = pq.read_table(
                file,
                columns=["source", "source_kind", "member", "image_id"],
                filters=[("reason", "=", Reason.BILEVEL.value)],
            )
        for row in rows.to_pylist():
            yield layout.grey_picture(row["source"], row["member"])
            yield layout.grey_picture_of(row["image_id"])
            if row["source_kind"] == "folder":  # the top one, which the report names by its URI
                yield layout.grey_picture("", row["member"])


def _owners(path: str) -> set[str]:
    """The paths under DST of which one is the image, file or archive of a grey picture."""
    image = path.removeprefix(f"{layout.GREY}/").removesuffix(layout.GREY_SUFFIX)
    owners = {image}
    for folder in folders_above(image):
        owners.add(folder)
        owners.add(folder.removesuffix(_OF_A_FILE))
    return owners
