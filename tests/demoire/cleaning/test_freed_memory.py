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


def pages_handed_out(first: str, then: str = "print(pages_of_third_time())") -> int:
    """How many pages are handed out the third time, in a process that begins with `first`."""
    script = f"{TAKE_AND_FREE}\n{first}\n{then}"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_kept_memory_is_taken_again_without_new_pages() -> None:
    keeping = (
        "from demoire.cleaning.freed_memory import keep_freed_memory\nassert keep_freed_memory()"
    )
    assert pages_handed_out("") > 20_000
    assert pages_handed_out(keeping) < 1_000
    assert pages_handed_out("", IN_A_THREAD) > 20_000
    assert pages_handed_out(keeping, IN_A_THREAD) < 1_000
