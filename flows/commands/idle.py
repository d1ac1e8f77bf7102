"""Options that do nothing beside the others of a command line: the user is told.

An option is told of only where it was typed: a file of settings may hold for several commands. What
depends on what lies in SRC, such as passwords without an encrypted PDF, is none of this, and
neither is what a dry run leaves out.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from flows import console
from flows.commands.switches import SwitchCommand

Values = Mapping[str, Any]  # of all parameters of a command, by their names


@dataclass(frozen=True)
class _Idle:
    """Options that have no effect in a certain case.

    Attributes:
        options: Names of their parameters.
        when: Says by all values whether the case is there.
        case: What to say of it.
        commands: Names of the commands; none: all that have one of the options.
    """

    options: tuple[str, ...]
    when: Callable[[Values], bool]
    case: str
    commands: tuple[str, ...] = ()


def _without(name: str) -> Callable[[Values], bool]:
    return lambda values: name in values and not values[name]


_IDLE = (
    _Idle(("canary_limit",), _without("canary"), "without --canary"),
    _Idle(("registry",), _without("weights"), "without --weights"),
    _Idle(("readings",), _without("ocr"), "without --ocr"),
    _Idle(("split",), _without("field"), "without --field", ("train",)),
    _Idle(("pairs", "force", "registry"), _without("register"), "without --register", ("train",)),
    _Idle(("write",), _without("places"), "without a place to write to", ("doctor",)),
    _Idle(
        ("split",),
        lambda values: values["clean"] == "drawn",
        "on drawn scenes, which belong to no part",
        ("simulate",),
    ),
    _Idle(
        ("threshold",),
        lambda values: values["gate"] == "off",
        "beside --gate off, which restores every tile",
        ("clean", "plan", "retry", "preview", "fix"),
    ),
    _Idle(
        ("restorer", "weights", "registry"),
        lambda values: bool(values["no_networks"]),
        "beside --no-networks",
        ("bench",),
    ),
    _Idle(
        ("port",),
        lambda values: bool(os.environ.get("PREFECT_API_URL")),
        "where PREFECT_API_URL names a server",
        ("serve",),
    ),
)


class RemarkingCommand(SwitchCommand):
    """A command that says which of its options do nothing before it runs."""

    def invoke(self, ctx: Any) -> Any:
        """Say so, and run."""
        for sentence in _sentences(ctx):
            console.remark(sentence)
        return super().invoke(ctx)


def _sentences(context: typer.Context) -> Iterator[str]:
    command = context.command.name
    for idle in _IDLE:
        if idle.commands and command not in idle.commands:
            continue
        for parameter in context.command.params:
            name = parameter.name or ""
            if name in idle.options and _is_typed(context, name) and idle.when(context.params):
                yield f"{parameter.opts[-1]} has no effect {idle.case}"


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
