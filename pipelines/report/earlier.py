"""What version 0.1 kept among the report tables, moved to where it belongs now.

The page, its summary and the previews used to lie in DST/_demoire/report, beside the tables, so
that few readers of Parquet could open the folder. Whoever builds the page moves the previews and
then removes the old page and summary. Each step can be interrupted and done again, and none takes
the place of what this version has written. Costs three requests for each table of previews, once,
and then a listing and two look-ups for each page.
"""

from concurrent.futures import ThreadPoolExecutor

from demoire.errors import SourceChangedError
from pipelines import layout
from pipelines.destination.tables import tables_in
from pipelines.storage.place import Entry, Place

_MOVED_AT_ONCE = 16


def move_earlier_previews(place: Place) -> None:
    """Move the previews of sources that version 0.1 published out of the folder of the tables."""
    tables = list(tables_in(place, layout.EARLIER_PREVIEWS))
    if not tables:
        return
    with ThreadPoolExecutor(_MOVED_AT_ONCE, thread_name_prefix="previews") as pool:
        moves = [pool.submit(_move, place, table) for table in tables]
    for move in moves:
        move.result()


def remove_earlier_page(place: Place) -> None:
    """Remove the page and summary that version 0.1 wrote into the folder of the tables."""
    for path in (layout.EARLIER_PAGE, layout.EARLIER_SUMMARY):
        if place.exists(path):
            place.delete(path)


def _move(place: Place, table: Entry) -> None:
    try:
        content = place.read(table.path, version=table.version)
    except SourceChangedError:  # another process has moved it meanwhile
        return
    # A table that is there already is from a later publication, and stays.
    place.create(layout.previews_table(layout.source_id_of(table.name)), content)
    place.delete(table.path)
