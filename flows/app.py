"""The command line: where every command is known by name, and where every error becomes one
sentence.

Commands live in `flows.commands`; each imports what it needs inside its own function, so that
`demoire --help` stays a matter of typer and pydantic (0.3 s) although the program stands on torch,
Ray and Prefect (several seconds together).

Exit status: 0 all well; 1 finished, but something is in quarantine or withheld (with `--strict`); 2
bad usage or input; 3 failed, or a run that was asked to stop (Ctrl-C, SIGTERM); 130 any other
command that the keyboard stopped.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from demoire import errors
from flows.commands import archives, images, measuring, preview, service, simulation, training
from flows.commands.idle import RemarkingCommand
from flows.commands.switches import SwitchGroup
from flows.process import prepare_process

FAILED = errors.DemoireError.exit_code

COMMANDS: tuple[Callable[..., int], ...] = (
    *archives.COMMANDS,
    *preview.COMMANDS,
    *images.COMMANDS,
    *simulation.COMMANDS,
    *training.COMMANDS,
    *measuring.COMMANDS,
    *service.COMMANDS,
)

_LONGEST_SENTENCE = 1000  # characters


def help_of(command: Callable[..., int]) -> str:
    """The docstring of a command as its help page shows it: one line a paragraph.

    A terminal is as wide as it is, so where the source breaks its lines must not matter.
    """
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app = typer.Typer(
    name="demoire",
    cls=SwitchGroup,
    help=(
        "Takes moiré out of image archives: touches nothing that was fine, loses nothing, "
        "and proves it with figures."
    ),
    epilog=(
        "Exit status: 0 all well; 1 something is in quarantine or withheld (with --strict); "
        "2 bad usage or input; 3 failed. --debug, anywhere, shows the traceback of an error."
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    app.command(cls=RemarkingCommand, help=help_of(_command))(_command)


@app.callback(invoke_without_command=True)
def demoire(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"demoire {version_of('demoire')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command line in this process; errors are printed, not raised.

    Args:
        arguments: The words after `demoire`.

    Returns:
        The exit status; STALLED_STATUS where the work stood still, so that it can be begun again.
    """
    words, debug = _without_debug(arguments)
    prepare_process(debug=debug, is_service=words[:1] == ["serve"])
    stopped = "stopped; the same command again goes on where this one ended"
    try:
        status = app(args=words, prog_name="demoire", standalone_mode=False) or 0
        # typer makes this status of a KeyboardInterrupt, without a word.
        if status == errors.INTERRUPTED_STATUS:
            return _end(stopped, status, debug=debug)
        return status
    except (TyperException, errors.DemoireError) as error:
        return _end_by(error, debug=debug)
    except (KeyboardInterrupt, typer.Abort):
        return _end(stopped, errors.INTERRUPTED_STATUS, debug=debug)
    except SystemExit as end:
        # typer ends the process itself where the reader of a pipe went away.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        _swallow_stdout()
        return 0
    # The last fence: whatever it is, the user gets a sentence and a status.
    except Exception as error:
        known = _known_cause(error) or _refusal(error)
        if known is not None:
            return _end_by(known, debug=debug)
        name = type(error).__name__
        sentence = f"unexpected {name}: {_short(str(error))}; run again with --debug"
        return _end(sentence, FAILED, debug=debug)


def _without_debug(words: Sequence[str]) -> tuple[list[str], bool]:
    """The words without `--debug`, and whether it was among them.

    It may stand anywhere, since one adds it to the end of a line that has just failed; only after
    `--` it is a name like any other.
    """
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return [*kept, *words[end:]], len(kept) < end


def _known_cause(error: BaseException) -> errors.DemoireError | None:
    """The error for the user inside one that Ray or Prefect wrapped on its way between
    processes.
    """
    seen: set[int] = set()
    current: Any = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, errors.DemoireError):
            return current
        current = getattr(current, "cause", None) or current.__cause__ or current.__context__
    return None


def _refusal(error: Exception) -> errors.DemoireError | None:
    """The error for the user where the operating system refused something, such as to write stdout
    onto a full disk.
    """
    if not isinstance(error, OSError):
        return None
    from pipelines.storage.os_errors import system_refusal

    return system_refusal(error)


def _sentence(error: Exception) -> str:
    if not isinstance(error, TyperException):
        return _short(str(error))
    message = error.format_message().replace("Value error, ", "")
    sentence = _short(message).rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return sentence
    takes_sources = any(parameter.name == "also" for parameter in context.command.params)
    if takes_sources and sentence.startswith("Got unexpected extra argument"):
        sentence += "; quote a glob ('boxes/*'), or name each further SRC by --also"
    return f"{sentence} (see '{context.command_path} --help')"


def _short(message: str) -> str:
    line = " ".join(message.split())
    if len(line) <= _LONGEST_SENTENCE:
        return line
    return line[: _LONGEST_SENTENCE - 1] + "…"


def _end_by(error: TyperException | errors.DemoireError, *, debug: bool) -> int:
    status = error.exit_code
    if isinstance(error, errors.StalledError):
        status = errors.STALLED_STATUS
    return _end(_sentence(error), status, debug=debug)


def _end(sentence: str, status: int, *, debug: bool) -> int:
    """Tell the user how the command ended; returns its exit status."""
    if debug:
        traceback.print_exc()
    typer.echo(f"demoire: {sentence}", err=True)
    return status


def _swallow_stdout() -> None:
    """Send the rest of the output nowhere.

    The reader of a pipe went away, which is its right; but Python would complain once more while
    it flushes stdout at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
