"""What the commands show of their progress where nobody sits at a terminal."""

from io import StringIO

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
        "demoire: evaluating: 1,000 of 90,000, about 89 min left",
        "demoire: evaluating: 3,000 of 90,000, about 87 min left",
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


def test_the_time_left_counts_only_what_this_phase_did(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that goes on after a stop has most images done before it begins."""
    with console.phases_bar() as progress:
        progress("plan", 3, 3)
        progress("clean", 1000, 2000)
        clock.now += 61
        progress("clean", 1100, 2000)

    assert capsys.readouterr().err.endswith("1,100 of 2,000, about 9 min left\n")


class Terminal(StringIO):
    """What a terminal was sent."""

    def isatty(self) -> bool:
        """It says that it is one."""
        return True


def test_a_bar_knows_the_time_left_where_a_unit_takes_minutes(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with console.phases_bar() as progress:
        progress("plan", 500, 500)
        clock.now += 1
        progress("clean", 1000, 2000)
        for images in (1032, 1064, 1096):
            clock.now += 120
            progress("clean", images, 2000)

    shown = terminal.getvalue()
    last = shown[shown.rindex("cleaning (images)") :]
    assert "1096/2000" in last
    assert "0:56:30" in last  # 904 images, of which 32 take two minutes


def test_the_title_of_a_narrow_table_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table("not looked into, mirrored as it came", ("kind", "files"), [("raw", 1)])

    assert capsys.readouterr().out.startswith("not looked into, mirrored as it came\n")
