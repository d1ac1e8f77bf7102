"""Pages that a person reads: one file each, with nothing outside it.

Styles and charts are inline, pictures are data: URIs, and a content policy in the page itself
forbids scripts and any request, so a page can be mailed, archived, or opened from a bucket years
later. What a page shows comes from archives that strangers filled: the template engine escapes
everything, and names go through `shown` first.
"""

from base64 import b64encode
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from demoire.errors import UsageError
from demoire.reasons import Reason
from demoire.wording import figure, moment, share, size
from pipelines.names import shown


def render(template: str, **facts: Any) -> bytes:
    """Render a page as UTF-8.

    Args:
        template: File name in `report/templates`.
        facts: What the template names. A name that is missing is an error, never an empty space.
    """
    page = _environment().get_template(template).render(**facts)
    # A lone surrogate that slipped past `shown` must not cost a whole report.
    return page.encode("utf-8", "backslashreplace")


def write_page(page: bytes, out: Path) -> None:
    """Write a page to a file of this machine; folders above it are made.

    Raises:
        UsageError: `out` cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(page)
    except OSError as error:
        raise UsageError(
            f"{shown(str(out))} cannot be written ({error.strerror}): choose another file."
        ) from error


def jpeg_uri(jpeg: bytes) -> str:
    """A JPEG as the data: URI of an <img>."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"


def with_code(text: str) -> Markup:
    """Text in which what stands between backticks is set as code, as in the documents."""
    parts = []
    for number, part in enumerate(text.split("`")):
        template = "<code>{}</code>" if number % 2 else "{}"
        parts.append(Markup(template).format(part))
    return Markup().join(parts)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "figure": figure,
        "size": size,
        "share": share,
        "moment": moment,
        "jpeg_uri": jpeg_uri,
        "with_code": with_code,
    }
    environment.globals["explained"] = {reason.value: reason for reason in Reason}
    return environment
