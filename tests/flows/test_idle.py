"""Who types an option that does nothing beside the others is told, and the command goes on."""

from pathlib import Path

import pytest

from flows.cli import main

NOWHERE = "no-such-place"


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a command says of options before it ends because of its input."""
    assert main(words) == 2
    return [line for line in capsys.readouterr().err.splitlines() if "has no effect" in line]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["clean", NOWHERE, "out", "--canary-limit", "1,1"],
            "--canary-limit has no effect without",
        ),
        (["detect", NOWHERE, "--registry", "r"], "--registry has no effect without --weights"),
        (["evaluate", NOWHERE, "--readings", "3"], "--readings has no effect without --ocr"),
        (
            ["fix", NOWHERE, "-o", "out", "--gate", "off", "--threshold", "0.5"],
            "--threshold has no effect beside --gate off",
        ),
        (["train", NOWHERE, "--images", "i", "-o", "o", "--split", "s"], "without --field"),
        (["train", NOWHERE, "--images", "i", "-o", "o", "--force"], "without --register"),
    ],
)
def test_an_option_without_effect_is_told_of(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = told(words, capsys)
    assert sentence in line and line.startswith("demoire: ")


@pytest.mark.parametrize(
    "words",
    [
        ["clean", NOWHERE, "out", "--canary", "9", "--canary-limit", "1,1"],
        ["fix", NOWHERE, "-o", "out", "--gate", "auto", "--threshold", "0.5"],
        ["train", NOWHERE, "--images", "i", "-o", "o", "--field", "f", "--split", "s"],
    ],
    ids=lambda words: words[0],
)
def test_an_option_with_an_effect_is_not(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(words, capsys) == []


def test_a_file_of_settings_may_hold_for_other_commands_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.toml").write_text('gate = "off"\nthreshold = 0.5\nregistry = "r"\n')
    words = ["clean", NOWHERE, "out", "--config", str(tmp_path / "settings.toml")]
    assert told(words, capsys) == []
