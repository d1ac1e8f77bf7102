"""Switches as help pages show them. typer writes `<bool>` behind each, as if it took a value."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


class SwitchCommand(TyperCommand):
    """A command whose switches are shown without a value."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, `--help` among them."""
        return _without_values(super().get_params(ctx))


class SwitchGroup(TyperGroup):
    """The same for the program itself."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, `--help` among them."""
        return _without_values(super().get_params(ctx))


def _without_values(parameters: Sequence[Any]) -> Sequence[Any]:
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    return parameters
