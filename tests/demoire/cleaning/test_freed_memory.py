"""Memory that is freed and taken again costs the system no work, where it is kept."""

import platform
import subprocess
import sys

import pytest

# Takes blocks of 20 MB and one of 100 MB and frees them, three times; prints how many pages the
# system handed out for the last of them.
TAKE_AND_FREE = """
import resource

def pages_of_third_time():
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [b"x" * (20 << 20) for _ in range(6)] + [b"x" * (100 << 20)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""


IN_A_THREAD = """
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    print(pool.submit(pages_of_third_time).result())
"""


# As pyarrow's, which is started when it is imported.
EARLIER_THREAD = """
import threading
has_taken = threading.Event()

def take_and_stay():
    memory = bytearray(1 << 20)
    has_taken.set()
    threading.Event().wait()

threading.Thread(target=take_and_stay, daemon=True).start()
has_taken.wait()
"""

IN_FOUR_THREADS = """
import concurrent.futures
pages = []
for _ in range(4):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pages.append(pool.submit(pages_of_third_time).result())
print(max(pages))
"""

KEEPING = "from demoire.cleaning.freed_memory import keep_freed_memory\nassert keep_freed_memory()"
SHARING = "from demoire.cleaning.freed_memory import share_one_heap\nassert share_one_heap()"

only_with_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc has this setting"
)


def pages_handed_out(first: str, then: str = "print(pages_of_third_time())") -> int:
    """How many pages are handed out the third time, in a process that begins with `first`."""
    script = f"{TAKE_AND_FREE}\n{first}\n{then}"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(run.stdout.splitlines()[-1])


@only_with_glibc
def test_kept_memory_is_taken_again_without_new_pages() -> None:
    assert pages_handed_out("") > 20_000
    assert pages_handed_out(KEEPING) < 1_000
    assert pages_handed_out("", IN_A_THREAD) > 20_000
    assert pages_handed_out(KEEPING, IN_A_THREAD) < 1_000


@only_with_glibc
def test_a_thread_from_before_does_no_harm_to_a_program_that_says_first_that_it_has_one_heap() -> (
    None
):
    earlier_thread_and_keeping = f"{EARLIER_THREAD}\n{KEEPING}"
    assert pages_handed_out(earlier_thread_and_keeping, IN_FOUR_THREADS) > 20_000
    sharing_first = f"{SHARING}\n{earlier_thread_and_keeping}"
    assert pages_handed_out(sharing_first, IN_FOUR_THREADS) < 1_000


@only_with_glibc
def test_the_command_shares_one_heap_before_it_imports_what_starts_threads() -> None:
    command = "import sys\nfrom flows.cli import main\nsys.argv = ['demoire']\nmain()"
    first = f"{command}\n{EARLIER_THREAD}\n{KEEPING}"
    assert pages_handed_out(first, IN_FOUR_THREADS) < 1_000
