"""Lanes: threads that do one piece of work after the other, each with its part of the cores.

They encode, and on a CPU they run the models too. A network that is spread over several threads is
as slow as the slowest of them, after every layer. Two pictures side by side on two cores lose
nothing to each other, nor to a third one that is encoded meanwhile; and on a machine that does
other work too, no thread burns a core's time while it waits for another (at load 16: 208 ms of core
time a megapixel, where it was 250 to 380).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from demoire.cleaning.threads import take_threads

_MOST = 16  # that a process has; more cores than that are shared among them


def lanes_on(cores: int) -> int:
    """How many lanes share so many cores among them."""
    return min(cores, _MOST)


class Lanes:
    """A number of lanes, and how much they have in hand.

    Used by the thread that asks for results.

    Attributes:
        count: How many there are.
        at_work: Pieces of work that are begun and not noted as ended.
    """

    def __init__(self, count: int, torch_threads: int) -> None:
        """Open `count` lanes, each of which computes with so many of torch's threads."""
        self.count = count
        self.at_work = 0
        self._pool = ThreadPoolExecutor(
            count,
            thread_name_prefix="demoire-lane",
            initializer=take_threads,
            initargs=(torch_threads,),
        )

    @classmethod
    def on_cores(cls, cores: int) -> "Lanes":
        """Lanes that share so many cores among them."""
        count = lanes_on(cores)
        return cls(count, cores // count)

    @property
    def have_room(self) -> bool:
        """Whether they may get more: a piece each and one that waits, so that no lane is idle until
        the asking thread comes round.
        """
        return self.at_work <= self.count

    @property
    def is_one_free(self) -> bool:
        """Whether one of them has nothing to do."""
        return self.at_work < self.count

    def begin(self, work: Callable[[], None]) -> None:
        """Let one of them do this. It must not raise, and reports by itself when it is done."""
        self._pool.submit(work)
        self.at_work += 1

    def note_end(self) -> None:
        """Count one piece as done; called when its event is taken."""
        self.at_work -= 1

    def close(self) -> None:
        """Begin nothing that waits, and wait for what is at work."""
        self._pool.shutdown(wait=True, cancel_futures=True)
