"""Settings as options of a command: what `flows.settings` says of each becomes what typer needs.

A command that takes settings has one parameter `settings`; `takes_settings` puts the options in its
place. Thus no command repeats names, types, ranges, defaults or help texts.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import typer
from pydantic.fields import FieldInfo

from flows.commands import options
from flows.settings import CleanSettings, Flag, read_settings

Command = Callable[..., int]

# The settings that decide how an image comes out, but for the device: which images are cleaned ...
GATES = ("gate", "threshold")
# ... and with what, and within which limits.
MEANS = (
    "detector",
    "restorer",
    "weights",
    "registry",
    "max_megapixels",
    "max_side",
    "allow_signed",
    "provenance",
    "rewrite",
)
CLEANING = (*GATES, *MEANS)
# How whole archives are cleaned: by what, where, and with how much patience.
ARCHIVE_CLEANING = (
    *("device", "workers", "gpus", "config"),
    *CLEANING,
    *("ray_address", "stall_minutes"),
)

_SETTINGS = "settings"
_FILE = "config"


def takes_settings(*names: str) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings, and call it with the settings.

    The options stand in this order where the command has its parameter `settings`. Two kinds of
    names are no settings: "config" stands for the file with settings, and the name of a parameter
    of the command's own moves that parameter's option to this place in the order. The command gets
    `config` too where it has a parameter of that name.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command).parameters

        @wraps(command)
        def run(**given: Any) -> int:
            file = given.get(_FILE) if _FILE in names else None
            if _FILE not in own:
                given.pop(_FILE, None)
            values = {name: given.pop(name) for name in names if name in CleanSettings.model_fields}
            return command(**given, settings=read_settings(file, **values))

        parameters = _parameters(own, names)
        annotations = {parameter.name: parameter.annotation for parameter in parameters}
        run.__annotations__ = {**annotations, "return": int}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _parameters(own: Any, names: tuple[str, ...]) -> list[Parameter]:
    """The parameters of the command as typer is to see them, in the order of its help page."""
    parameters: list[Parameter] = []
    for name, parameter in own.items():
        if name == _SETTINGS:
            parameters += [own.get(inner) or _option(inner) for inner in names]
        elif name not in names:
            parameters.append(parameter)
    return [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]


def _option(name: str) -> Parameter:
    """The option for one setting; None where the user does not give it."""
    if name == _FILE:
        annotation: Any = options.Config
    else:
        annotation = flag_annotation(name, CleanSettings.model_fields[name])
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def switch_name(name: str, *, is_on: bool) -> str:
    """The switch that turns a setting on or off."""
    word = name.replace("_", "-")
    return f"--{word}" if is_on else f"--no-{word}"


def flag_annotation(name: str, field: FieldInfo) -> Any:
    """The annotation by which typer makes an option of a setting."""
    (flag,) = [item for item in field.metadata if isinstance(item, Flag)]
    lowest = None
    highest = None
    for item in field.metadata:
        if isinstance(item, annotated_types.Ge):
            lowest = item.ge
        if isinstance(item, annotated_types.Le):
            highest = item.le
    # Without a name of its own typer would give a switch a second one, --no-NAME.
    names = []
    if field.annotation is bool:
        switch = switch_name(name, is_on=not field.default)
        # For a switch that only turns something off typer wants an empty name before the slash.
        names.append(f" /{switch}" if field.default else switch)
    option = typer.Option(
        *names,
        help=flag.help,
        metavar=flag.metavar,
        min=lowest,  # type: ignore[arg-type]
        max=highest,  # type: ignore[arg-type]
        show_default=_shown_default(field, flag),
    )
    return Annotated[_optional(field.annotation), option]


def _shown_default(field: FieldInfo, flag: Flag) -> str | Literal[False]:
    """What the help says of the default; False: nothing."""
    if flag.default is not None:
        return flag.default or False
    if isinstance(field.default, float):
        return f"{field.default:g}"
    return str(field.default)


def _optional(annotation: Any) -> Any:
    """The type of a setting for an option that may be left out; typer wants lists, not tuples."""
    if get_origin(annotation) is tuple:
        annotation = list[get_args(annotation)[0]]  # type: ignore[misc]
    if isinstance(annotation, UnionType):
        return annotation
    return annotation | None
