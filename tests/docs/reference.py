"""docs/reference.md, written from what the program says of itself.

    python -m tests.docs.reference

Commands and options come from the command line itself, settings from their model, reasons and
columns from the tables beside them. `test_reference.py` fails while the file is not what would be
written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from demoire.reasons import Reason
from flows.app import COMMANDS as FUNCTIONS
from flows.app import app, help_of
from flows.settings import CleanSettings, Flag
from pipelines.columns import MEANINGS
from pipelines.records import REPORT_SCHEMA

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"

HEAD = """\
# Reference

Written by `python -m tests.docs.reference`; a test fails where it is not up to date. `demoire
COMMAND --help` says the same about a command.

Exit status: 0 all well; 1 finished, but something is in quarantine or withheld (with `--strict`);
2 bad usage or input; 3 failed, or a run of clean, retry or demo that was asked to stop (Ctrl-C,
SIGTERM); 130 any other command that the keyboard stopped. `--debug`, anywhere, shows the traceback
of an error.

An option that does nothing beside the others of its line, such as `--canary-limit` without
`--canary`, is told of on stderr, and the command goes on.
"""


def reference() -> str:
    """The whole document."""
    sections = [HEAD, "## Commands\n", *_commands(), _settings(), _columns(), _reasons()]
    return "\n".join(sections)


def _commands() -> Iterator[str]:
    group: Any = get_command(app)
    for function in FUNCTIONS:
        name = function.__name__
        command = group.commands[name]
        context = typer.Context(command, info_name=name)
        rows = [_parameter(parameter, context) for parameter in command.params]
        table = _table(("argument or option", "default", "meaning"), rows)
        yield f"### demoire {name}\n\n{help_of(function)}\n\n{table}"


def _parameter(parameter: Any, context: typer.Context) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.human_readable_name
        return f"`{name}`", _default(parameter), parameter.help
    names = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    if not parameter.is_flag:
        names += f" {_code(parameter.display_type_rich(context))}"
    return names, _default(parameter), parameter.help


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.required:
        return "required"
    if (
        parameter.default in (None, False)
        or callable(parameter.default)
        or not parameter.show_default
    ):
        return ""
    return str(parameter.default)


def _settings() -> str:
    rows = []
    for name, field in CleanSettings.model_fields.items():
        (flag,) = [item for item in field.metadata if isinstance(item, Flag)]
        default = flag.default
        if default is None:
            default = str(field.default)
        rows.append((f"`{name}`", default, flag.help))
    table = _table(("key", "default", "meaning"), rows)
    return f"## Keys of the configuration file\n\nThe TOML file of `--config`.\n\n{table}"


def _columns() -> str:
    rows = []
    for field in REPORT_SCHEMA:
        nullable = ", or null" if field.nullable else ""
        rows.append((f"`{field.name}`", f"{field.type}{nullable}", MEANINGS[field.name]))
    table = _table(("column", "type", "meaning"), rows)
    about = (
        "`DST/_demoire/report`: Parquet, one file a source or one for many small sources, "
        "one row an image, nothing else beside them."
    )
    return f"## Columns of the report\n\n{about}\n\n{table}"


def _reasons() -> str:
    rows = []
    for reason in Reason:
        rows.append((f"`{reason.value}`", reason.status, reason.meaning, reason.remedy))
    table = _table(("reason", "the image is", "what happened", "what to do"), rows)
    return f"## Reasons\n\nThe values of the report's column `reason`.\n\n{table}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
