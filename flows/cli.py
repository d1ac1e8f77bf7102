"""The `demoire` command: where every command is known by name, and where every error becomes one
sentence.

Commands live in `flows.commands`; each imports what it needs inside its own function, so that
`demoire --help` stays a matter of typer alone (0.1 s) although the program stands on torch, Ray and
Prefect (several seconds together).

Exit status: 0 all well; 1 finished, but something is in quarantine (with `--strict`); 2 bad usage
or input; 3 failed; 130 stopped by the keyboard.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from demoire import errors
from demoire.imaging.quiet import quiet_decoders
from flows.commands import archives, images, service, training

FAILED = errors.DemoireError.exit_code
BAD_USAGE = errors.UsageError.exit_code
INTERRUPTED = 130

app = typer.Typer(
    name="demoire",
    help="Takes moiré out of image archives: touches nothing that was fine, loses nothing, and proves it with figures.",
    epilog="Exit status: 0 all well; 1 something is in quarantine (with --strict); 2 bad usage or input; 3 failed. "
    "--debug, anywhere, shows the traceback of an error.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _group in (archives, images, training, service):
    for _command in _group.COMMANDS:
        app.command()(_command)


@app.callback(invoke_without_command=True)
def demoire(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"demoire {version_of('demoire')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's own) and return its exit status; errors are
    printed, not raised.
    """
    words, debug = _without_debug(list(sys.argv[1:] if arguments is None else arguments))
    _prepare_output(debug)
    try:
        return app(args=words, prog_name="demoire", standalone_mode=False) or 0
    except (TyperException, errors.DemoireError) as error:
        return _tell(_sentence(error), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _tell(
            "stopped; the same command again goes on where this one ended", INTERRUPTED, debug
        )
    except BrokenPipeError:
        _swallow_stdout()
        return 0
    # the last fence: whatever it is, the user gets a sentence and a status
    except Exception as error:
        known = _known_cause(error)
        if known is not None:
            return _tell(_sentence(known), known.exit_code, debug)
        return _tell(
            f"unexpected {type(error).__name__}: {_short(str(error))}; run again with --debug",
            FAILED,
            debug,
        )


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """`--debug` may stand anywhere, since it is what one adds to the end of a line that has just
    failed.
    """
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) < end


def _prepare_output(debug: bool) -> None:
    for stream in (sys.stdout, sys.stderr):
        # member names need not be Unicode; showing one must never end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    level = logging.DEBUG if debug else logging.WARNING
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for package in ("demoire", "pipelines", "flows"):
        logging.getLogger(package).setLevel(level)
    quiet_decoders()
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if debug else "ERROR")


def _known_cause(error: BaseException) -> errors.DemoireError | None:
    """The error meant for the user inside one that Ray or Prefect wrapped on its way between
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


def _sentence(error: Exception) -> str:
    if not isinstance(error, TyperException):
        return _short(str(error))
    context = getattr(error, "ctx", None)
    hint = f" (see '{context.command_path} --help')" if context is not None else ""
    return _short(error.format_message().replace("Value error, ", "")).rstrip(".") + hint


def _short(message: str, limit: int = 1000) -> str:
    line = " ".join(message.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _tell(sentence: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    typer.echo(f"demoire: {sentence}", err=True)
    return status


def _swallow_stdout() -> None:
    """The reader of a pipe went away, which is its right; without this Python complains once more
    at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
