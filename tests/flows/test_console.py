"""What the commands show of their progress where nobody sits at a terminal."""

import pytest

from flows import console


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time it was set to."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def test_a_log_gets_a_line_after_a_minute_and_then_ever_fewer(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.progress_bar("evaluating", total=90_000) as bar:
        for minute in range(90):
            clock.now = 1000.0 + 60 * minute
            bar(1000 * minute)

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[:2] == [
        "demoire: evaluating: 1,000 of 90,000",
        "demoire: evaluating: 3,000 of 90,000",
    ]
    assert len(printed.err.splitlines()) == 8


def test_a_log_is_told_the_phase_that_is_at_work_and_a_short_command_says_nothing(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.phases_bar() as progress:
        progress("plan", 3, 3)
        assert capsys.readouterr().err == ""
        clock.now += 61
        progress("clean", 12, 2000)

    assert capsys.readouterr().err == "demoire: cleaning (images): 12 of 2,000\n"


def test_the_title_of_a_narrow_table_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table("not looked into, mirrored as it came", ("kind", "files"), [("raw", 1)])

    assert capsys.readouterr().out.startswith("not looked into, mirrored as it came\n")
