"""Settings as options: a command says which it takes, and the model of the settings says the
rest.
"""

import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from demoire.cleaning.config import CleanerConfig
from demoire.errors import UsageError
from flows.app import help_of
from flows.commands.archives import clean, retry
from flows.commands.flags import takes_settings
from flows.settings import CleanSettings

GIVEN: list[Any] = []  # what the commands below were called with


@takes_settings("device", "loud", "max_megapixels", "weights")
def paint(
    name: Annotated[str, typer.Argument()],
    *,
    settings: CleanSettings,
    loud: Annotated[bool, typer.Option("--loud")] = False,
) -> int:
    """Paint a picture,
    and hang it.

    Not a real
    command.
    """
    GIVEN.append((name, loud, settings))
    return 0


@takes_settings("config", "device")
def sketch(*, settings: CleanSettings, config: Annotated[Path | None, typer.Option()]) -> int:
    GIVEN.append((config, settings))
    return 0


@takes_settings("device")
def frame(config: Annotated[str, typer.Argument()], *, settings: CleanSettings) -> int:
    GIVEN.append((config, settings))
    return 0


def run(command: Any, *words: str) -> Any:
    GIVEN.clear()
    app = typer.Typer(add_completion=False)
    app.command()(command)
    app(list(words), standalone_mode=False)
    return GIVEN[-1]


def test_a_flag_that_is_given_is_a_setting_and_all_others_have_their_defaults() -> None:
    name, loud, settings = run(paint, "--device", "cpu", "--loud", "--weights", "a", "me")

    assert (name, loud) == ("me", True)
    assert settings == CleanSettings(device="cpu", weights=("a",))


def test_a_command_without_flags_has_the_default_settings() -> None:
    _, _, settings = run(paint, "me")

    assert settings == CleanSettings()
    assert settings.model_fields_set == set()


def test_a_value_out_of_range_is_named_by_its_flag() -> None:
    with pytest.raises(UsageError, match="'?-1.0'? of --max-megapixels is out of place"):
        run(paint, "--max-megapixels", "-1", "me")


def test_options_stand_in_the_order_that_the_command_says() -> None:
    assert list(inspect.signature(paint).parameters) == [
        "name",
        "device",
        "loud",
        "max_megapixels",
        "weights",
    ]


def test_a_command_that_asks_for_the_file_gets_it_beside_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('device = "cpu"\n')

    config, settings = run(sketch, "--config", str(file))

    assert config == file
    assert settings.device == "cpu"


def test_a_command_may_have_a_configuration_that_is_none_of_settings() -> None:
    assert run(frame, "--device", "cpu", "restorer") == ("restorer", CleanSettings(device="cpu"))


def test_defaults_are_those_of_the_cleaner() -> None:
    assert CleanSettings().cleaner_config() == CleanerConfig()


def test_clean_takes_every_setting_but_the_threads() -> None:
    taken = set(inspect.signature(clean).parameters) & set(CleanSettings.model_fields)

    assert set(CleanSettings.model_fields) - taken == {"threads"}


def test_the_help_does_not_depend_on_where_a_docstring_breaks_its_lines() -> None:
    assert help_of(paint) == "Paint a picture, and hang it.\n\nNot a real command."


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({}, False),
        ({"workers": 2, "ray_address": "auto", "registry": "weights", "sample": 9}, False),
        ({"device": "cpu"}, True),
        ({"weights": ["restorer"]}, True),
        ({"max_side": 9}, True),
    ],
)
def test_retry_keeps_the_cleaning_of_the_run_before_unless_a_setting_of_it_is_given(
    settings: dict[str, Any], changes: bool
) -> None:
    assert CleanSettings(**settings).changes_cleaning is changes


def test_a_retry_can_be_told_all_that_a_run_can_be_told_of_how_and_where_it_cleans() -> None:
    of_the_archive = {"src", "also", "from_file", "prune", "sample", "merge", "fixity"}
    of_the_archive |= {"office", "bilevel"}
    of_the_run = {"dry_run", "canary", "canary_limit", "prefect"}
    known_by_clean = inspect.signature(clean).parameters.keys() - of_the_archive - of_the_run
    assert known_by_clean <= inspect.signature(retry).parameters.keys()
