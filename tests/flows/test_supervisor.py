"""A command that uses Ray works in a child process, and begins again where that ends oddly."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.test_leash import is_running, wait_until_gone

ROOT = Path(__file__).parents[2]
AGAIN = "The same command is begun again now"

# The work is what a test wants it to be; `go` says how often it was begun.
SCRIPT = """
import atexit, os, resource, signal, subprocess, sys, time
from pathlib import Path
from flows.supervisor import supervise

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def work():
    with (folder / "goes").open("a") as file:
        file.write("x")
    go = len((folder / "goes").read_text())
    (folder / "pid").write_text(str(os.getpid()))
    {body}
    return 0

sys.exit(supervise(work, keeps_stdin={keeps_stdin}))
"""


@contextmanager
def command(
    folder: Path, body: str, *, keeps_stdin: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A supervised process whose work is this."""
    script = SCRIPT.format(body="\n    ".join(body.splitlines()), keeps_stdin=keeps_stdin)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(folder: Path, body: str) -> tuple[int, int, str]:
    """Exit status of work like this, how often it was begun, and what was said."""
    with command(folder, body) as process:
        _, said = process.communicate(timeout=60)
    return process.returncode, len((folder / "goes").read_text()), said


def counting(number: signal.Signals) -> str:
    """Work that waits for a signal and a little longer; `got` then holds all that came."""
    return f"""got = []
signal.signal(signal.{number.name}, lambda number, frame: got.append(number))
(folder / "ready").touch()
while not got: time.sleep(0.01)
time.sleep(0.3)"""


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "odd_end",
    ["os._exit(1)", "os.abort()", "os.kill(os.getpid(), signal.SIGSEGV)", "return 75"],
    ids=["Ray ends it", "abort", "segmentation fault", "it stood still"],
)
def test_work_that_ended_oddly_is_begun_again(tmp_path: Path, odd_end: str) -> None:
    status, goes, said = ended(tmp_path, f"if go < 3: {odd_end}")
    assert (status, goes) == (0, 3)
    assert said.count(AGAIN) == 2


def test_work_that_always_ends_oddly_is_begun_five_times_and_then_the_machine_is_named(
    tmp_path: Path,
) -> None:
    status, goes, said = ended(tmp_path, "return 75")
    assert (status, goes) == (3, 5)
    assert said.splitlines()[-1].startswith("demoire: The command was begun 5 times: see whether")


@pytest.mark.parametrize("status", [0, 1, 2, 3, 130])
def test_a_status_that_the_work_gives_itself_is_the_commands(tmp_path: Path, status: int) -> None:
    assert ended(tmp_path, f"return {status}") == (status, 1, "")


def test_an_error_of_the_program_itself_is_not_repeated(tmp_path: Path) -> None:
    status, goes, said = ended(tmp_path, "raise RuntimeError('a defect')")
    assert (status, goes) == (1, 1) and "RuntimeError: a defect" in said


def test_what_happens_to_python_after_the_work_does_not_count(tmp_path: Path) -> None:
    assert ended(tmp_path, "atexit.register(os._exit, 1)") == (0, 1, "")


def test_a_thread_that_goes_on_does_not_hold_up_the_end(tmp_path: Path) -> None:
    body = """import threading
from flows import leaving
leaving._LONGEST_END = 0.5
threading.Thread(target=time.sleep, args=(3600,)).start()
print("all is told", file=sys.stderr, end="")
return 3"""
    assert ended(tmp_path, body) == (3, 1, "all is told")


def test_ctrl_c_after_the_work_does_not_count(tmp_path: Path) -> None:
    body = "atexit.register(os.kill, os.getpid(), signal.SIGINT)\nreturn 3"
    assert ended(tmp_path, body) == (3, 1, "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_work_that_somebody_kills_is_not_begun_again(
    tmp_path: Path, number: signal.Signals
) -> None:
    status, goes, said = ended(tmp_path, f"os.kill(os.getpid(), signal.{number.name})")
    assert (status, goes) == (128 + number, 1)
    assert said.startswith("demoire: ") and number.name in said and said.count("\n") == 1


def test_a_signal_reaches_the_work_once_and_the_command_waits_for_its_end(tmp_path: Path) -> None:
    """As `timeout` sends it: to the command, and to its whole group."""
    body = f"{counting(signal.SIGTERM)}\nreturn len(got)"
    with command(tmp_path, body) as process:
        wait_for(tmp_path / "ready")
        process.terminate()
        process.terminate()
        assert process.wait(30) == 1


def test_ctrl_c_reaches_the_work_once_and_the_command_waits_for_its_end(tmp_path: Path) -> None:
    """The terminal sends it to both; the command must not send it on."""
    told = '(folder / "got").write_text(f"{len(got)} {sys.stdin.isatty()}")'
    body = f"{counting(signal.SIGINT)}\n{told}"
    script = SCRIPT.format(body="\n    ".join(body.splitlines()), keeps_stdin=False)
    on_a_terminal = (
        "import os, pty, sys; "
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, '-c', *sys.argv[1:]])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", on_a_terminal, script, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(tmp_path / "ready")
        process.communicate(b"\x03", timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert (tmp_path / "got").read_text() == "1 True"


@pytest.mark.parametrize(
    "handler", ["lambda number, frame: os._exit(1)", "signal.SIG_DFL"], ids=["Ray ends it", "none"]
)
def test_work_that_is_asked_to_stop_is_not_begun_again(tmp_path: Path, handler: str) -> None:
    body = f"""signal.signal(signal.SIGTERM, {handler})
(folder / "ready").touch()
time.sleep(60)"""
    with command(tmp_path, body) as process:
        wait_for(tmp_path / "ready")
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3 and said.startswith("demoire: Stopped")
    assert (tmp_path / "goes").read_text() == "x"


def test_ctrl_c_in_the_work_s_last_moment_prints_no_traceback(tmp_path: Path) -> None:
    assert ended(tmp_path, "raise KeyboardInterrupt") == (130, 1, "")


def test_the_work_ends_where_the_command_is_killed(tmp_path: Path) -> None:
    with command(tmp_path, '(folder / "ready").touch()\ntime.sleep(600)') as process:
        wait_for(tmp_path / "ready")
        work = int((tmp_path / "pid").read_text())
        assert is_running(work)
        process.kill()
        wait_until_gone(work)


def test_what_the_work_left_is_gone_before_it_is_begun_again(tmp_path: Path) -> None:
    """Although it is stopped, in a session of its own, and has another title, as Ray's have."""
    body = """if go == 1:
    from flows.process import prepare_process
    prepare_process(debug=False)
    title = "import setproctitle as s, time; s.setproctitle('ray::idle'); print(); time.sleep(600)"
    words = [sys.executable, "-uc", title]
    left = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE)
    left.stdout.readline()
    os.kill(left.pid, signal.SIGSTOP)
    (folder / "left").write_text(str(left.pid))
    os._exit(1)"""
    status, goes, _ = ended(tmp_path, body)
    assert (status, goes) == (0, 2)
    wait_until_gone(int((tmp_path / "left").read_text()))


def test_a_list_on_standard_input_is_read_by_every_go(tmp_path: Path) -> None:
    body = """print(sys.stdin.read(), flush=True)
if go < 3: os._exit(1)"""
    with command(tmp_path, body, keeps_stdin=True) as process:
        out, _ = process.communicate("a.tar\nb.tar", timeout=30)
    assert (process.returncode, out) == (0, "a.tar\nb.tar\n" * 3)


# The command, but that its work ends oddly once it has read its list.
READS_A_LIST = """
import os, sys, types

def work(words):
    print(*words[:2], sys.stdin.read(), flush=True)
    os._exit(1)

sys.modules["flows.app"] = types.SimpleNamespace(run_command_line=work)
from flows.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("words", [["--from-file", "-"], ["--from-file=-"]])
def test_the_command_that_reads_a_list_keeps_it(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READS_A_LIST, "--debug", "clean", "out", *words],
        input=b"a.tar",
        capture_output=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (3, b"--debug clean a.tar\n" * 5)


def test_a_command_without_ray_works_in_its_own_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READS_A_LIST, "plan", "out"],
        input=b"",
        capture_output=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (1, b"plan out \n")


# The command, but that Ctrl-C comes while it loads what it consists of.
STOPPED_WHILE_IT_LOADS = """
import sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "flows.app":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder())
from flows.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["plan", "clean"])
def test_ctrl_c_while_the_command_loads_ends_it_with_a_sentence(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_WHILE_IT_LOADS, name, "in", "out"],
        capture_output=True,
        cwd=ROOT,
    )
    assert done.returncode == 130
    assert done.stderr == b"demoire: stopped before anything was done\n"
