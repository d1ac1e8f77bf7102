"""The names of everything under DST/_demoire, and of images: composed and taken apart here only.

People query the report, and a run of this version goes on where one of an earlier version stopped,
so these names are promises. All paths are relative to DST.

    manifest/<plan>.parquet, <plan>.sources.parquet, latest.json     what is planned
    attempts/<unit>.<n>.json                                         a unit was begun
    segments/<unit>.<n>-<token>.bin, rows/<unit>.<n>-<token>.parquet what an attempt gave
    commits/<unit>.json                                              a unit is committed
    bundles/<bundle>.json                                            several small ones are
    announced/<source or shelf>.<token>-<n>.json                     what a mirror is about to get
    mirrored/<source>.parquet                                        what is in a source's mirror
    published/<source>.json                                          a source is published
    shelves/<shelf>.<token>.json                                     both of many small sources
    report/<source>.parquet, report/<shelf>.parquet                  their rows
    page/previews/<source>.parquet, page/previews/<shelf>.parquet    their pictures before and after
    page/index.html, page/summary.json                               the report
    page/canary.html                                                 why a canary stopped a run
    grey/<path of the source>/<image>.png, grey/<source>/<n>.png     grey ones of 1-bit images
    fixity.csv, fixity.json                                          what changed; checksums of it
    runs/<run>.json                                                  what a finished run came to
    weights/<digest><suffix>                                         weights that are not shipped

Nothing but the tables may lie in report/: pandas, pyarrow, DuckDB and Polars open the folder as one
data set, and Polars takes every file in it, whatever its name begins with, for a part of that set.
Version 0.1 kept the page, its summary and previews/ there (see `pipelines.report.earlier`).
"""

from pipelines.names import as_text
from pipelines.paths import path_below

BOOKKEEPING = "_demoire"

MANIFEST = f"{BOOKKEEPING}/manifest"
LATEST_PLAN = f"{MANIFEST}/latest.json"

ATTEMPT_NOTES = f"{BOOKKEEPING}/attempts"
SEGMENTS = f"{BOOKKEEPING}/segments"
ROWS = f"{BOOKKEEPING}/rows"
COMMIT_MARKERS = f"{BOOKKEEPING}/commits"
BUNDLE_MARKERS = f"{BOOKKEEPING}/bundles"

ANNOUNCEMENTS = f"{BOOKKEEPING}/announced"
MIRROR_RECORDS = f"{BOOKKEEPING}/mirrored"
PUBLISHED = f"{BOOKKEEPING}/published"
SHELVES = f"{BOOKKEEPING}/shelves"
REPORT = f"{BOOKKEEPING}/report"

PAGE_FOLDER = f"{BOOKKEEPING}/page"
PREVIEWS = f"{PAGE_FOLDER}/previews"
PAGE = f"{PAGE_FOLDER}/index.html"
SUMMARY = f"{PAGE_FOLDER}/summary.json"
CANARY_PAGE = f"{PAGE_FOLDER}/canary.html"

EARLIER_PREVIEWS = f"{REPORT}/previews"
EARLIER_PAGE = f"{REPORT}/index.html"
EARLIER_SUMMARY = f"{REPORT}/summary.json"

GREY = f"{BOOKKEEPING}/grey"
GREY_SUFFIX = ".png"

FIXITY_TABLE = f"{BOOKKEEPING}/fixity.csv"
FIXITY_LISTS = f"{BOOKKEEPING}/fixity.json"

RUNS = f"{BOOKKEEPING}/runs"
WEIGHTS = f"{BOOKKEEPING}/weights"

_SHELF_PREFIX = "shelf-"


def units_table(plan_id: str) -> str:
    """Path of a plan's units."""
    return f"{MANIFEST}/{plan_id}.parquet"


def sources_table(plan_id: str) -> str:
    """Path of a plan's sources and totals."""
    return f"{MANIFEST}/{plan_id}.sources.parquet"


def plan_id_of(name: str) -> str | None:
    """The plan of a table of sources, by its name; None for other names in the folder."""
    suffix = ".sources.parquet"
    return name.removesuffix(suffix) if name.endswith(suffix) else None


def attempt_note(unit_id: str, number: int) -> str:
    """Path of the note that a unit was begun for the n-th time."""
    return f"{ATTEMPT_NOTES}/{unit_id}.{number}.json"


def commit_marker(unit_id: str) -> str:
    """Path of the marker that makes a unit committed."""
    return f"{COMMIT_MARKERS}/{unit_id}.json"


def bundle_marker(bundle_id: str) -> str:
    """Path of the marker that makes all units of a bundle committed."""
    return f"{BUNDLE_MARKERS}/{bundle_id}.json"


def attempt_name(unit_id: str, attempt: int, token: str) -> str:
    """Name, without suffix, of what one attempt at a unit writes.

    Args:
        unit_id: The unit.
        attempt: Its number, from 1.
        token: Keeps two writers apart that were given the same number.
    """
    return f"{unit_id}.{attempt}-{token}"


def unit_id_of(name: str) -> str:
    """Unit or bundle of an attempt, segment, rows file or marker, by the name in its folder."""
    return name.partition(".")[0]


def mirror_record(source_id: str) -> str:
    """Path of the record of what was written into a source's mirror."""
    return f"{MIRROR_RECORDS}/{source_id}.parquet"


def announcement(home_id: str, token: str, number: int) -> str:
    """Path of a note of what is about to be written into the mirrors of a home.

    Args:
        home_id: The source, or the shelf that it is on.
        token: Keeps two writers apart.
        number: Of the note, from 1.
    """
    return f"{ANNOUNCEMENTS}/{name_prefix(home_id)}{token}-{number}.json"


def name_prefix(home_id: str) -> str:
    """How the names of the announcements of a source or shelf begin, and those of a shelf's own
    objects.
    """
    return f"{home_id}."


def shelf_object(shelf_id: str, token: str) -> str:
    """Path of one state of a shelf; `token`: each state has a name of its own."""
    return f"{SHELVES}/{name_prefix(shelf_id)}{token}.json"


def new_shelf_id(digest: str) -> str:
    """The id of a shelf, which nobody can take for a source's."""
    return f"{_SHELF_PREFIX}{digest[:16]}"


def is_shelf(name: str) -> bool:
    """Whether a table or state of this name or path is a shelf's."""
    return source_id_of(name).startswith(_SHELF_PREFIX)


def publication_marker(source_id: str) -> str:
    """Path of the marker that makes a source published."""
    return f"{PUBLISHED}/{source_id}.json"


def report_table(home_id: str) -> str:
    """Path of the report rows of a source or shelf."""
    return f"{REPORT}/{home_id}.parquet"


def previews_table(home_id: str) -> str:
    """Path of the pictures before and after of a source or shelf."""
    return f"{PREVIEWS}/{home_id}.parquet"


def earlier_previews_table(source_id: str) -> str:
    """Path where version 0.1 kept a source's pictures before and after."""
    return f"{EARLIER_PREVIEWS}/{source_id}.parquet"


def source_id_of(name: str) -> str:
    """Source or shelf of a table, record, note, marker or state that is named after it, by its name
    or path.
    """
    return name.rpartition("/")[2].partition(".")[0]


def grey_picture(source: str, member: str) -> str:
    """Path of the grey picture of a black and white image.

    Args:
        source: The source's path under DST.
        member: The image's name in it.
    """
    return f"{GREY}/{as_text(path_below(source, member))}{GREY_SUFFIX}"


def grey_picture_of(image_id: str) -> str:
    """Path of the grey picture of a black and white image whose name DST cannot hold."""
    return f"{GREY}/{image_id}{GREY_SUFFIX}"


def run_note(run_id: str) -> str:
    """Path of the note that a finished run leaves."""
    return f"{RUNS}/{run_id}.json"


def kept_weights(digest: str, suffix: str) -> str:
    """Path of weights by the digest of their file."""
    return f"{WEIGHTS}/{digest}{suffix}"


def probe_object(name: str) -> str:
    """Path of a small object that is written and deleted, to see whether DST can be written."""
    return f"{BOOKKEEPING}/{name}"


def image_id_prefix(source_id: str) -> str:
    """How the ids of a source's images begin."""
    return f"{source_id}/"


def image_id(source_id: str, position: int) -> str:
    """The id of an image for good: its source, and its position there."""
    return f"{image_id_prefix(source_id)}{position}"


def position_of(image_id: str) -> int:
    """The position in its source of the image with this id."""
    return int(image_id.rpartition("/")[2])
