"""A launcher that goes by steps: a thread that halts before every call of the storage.

So a test says who makes the next call and who dies, between any two of them.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pipelines.layout import BOOKKEEPING
from pipelines.storage.local import LocalPlace
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.open import open_place
from pipelines.storage.place import Entry, Place
from tests.pipelines.destination.launcher import Death, Launcher

# Seconds for one step of some milliseconds: rather a failure than a test that hangs.
_PATIENCE = 120.0


class Life:
    """A thread that halts before each of its calls of the storage, and goes on when it is told
    to.
    """

    def __init__(self, launcher: Launcher, work: Callable[[Place], None], exclusive: bool) -> None:
        self.launcher, self.exclusive = launcher, exclusive
        # the folder that the next call is about, and what it does there: "commits: create"
        self.next = ""
        self.alive, self.finished = True, False
        self._error: BaseException | None = None
        self._order: Literal["go on", "die", "die after"] = "go on"
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(
            target=self._live, args=(work,), name=launcher.run_id, daemon=True
        )
        self._thread.start()
        self._wait()

    # In the thread of the machine

    def step(self) -> None:
        """One call, up to the next. Raises what the launcher raised."""
        self._go.release()
        self._wait()

    def die(self, *, after: bool = False) -> None:
        """The end of this life: before its next call, or when that is done and before it is
        known.
        """
        self._order = "die after" if after else "die"
        self.step()

    def _wait(self) -> None:
        assert self._halted.acquire(timeout=_PATIENCE), (
            f"{self.launcher.run_id} hangs after '{self.next}'"
        )
        if not self.alive:
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    # In the thread of the launcher

    def _live(self, work: Callable[[Place], None]) -> None:
        place = open_place(self.launcher.dst)
        try:
            work(SteppedPlace(place.uri, self))
            self.finished = True
        except Death:
            pass
        except BaseException as error:
            self._error = error
        self.alive = False
        self._halted.release()

    def before(self, path: str, verb: str) -> None:
        """Called before each call of the storage."""
        self.after()  # nothing is called by a launcher that is on its way out
        self.next = f"{folder_of(path)}: {verb}"
        self._halted.release()
        self._go.acquire()
        if self._order == "die":
            raise Death

    def after(self) -> None:
        """Called after each call, before its result is known."""
        if self._order != "go on":
            raise Death


@dataclass(frozen=True)
class SteppedPlace(LocalPlace):
    """A local folder whose every call is a step of a life."""

    life: Life

    def stat(self, path: str) -> Entry | None:
        self.life.before(path, "stat")
        entry = super().stat(path)
        self.life.after()
        return entry

    def list(self, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        self.life.before(path, "list")
        found = list(super().list(path, recursive=recursive))
        self.life.after()
        yield from found

    def open(self, path: str, *, version: str | None = None) -> BinaryIO:
        self.life.before(path, "read")
        file = super().open(path, version=version)
        self.life.after()
        return file

    @contextmanager
    def new_file(self, path: str, facts: ObjectFacts = NO_FACTS) -> Iterator[Path]:
        """What is written appears in the last moment of the block; so this is `write` and
        `put_file` as well.
        """
        with super().new_file(path, facts) as local:
            yield local
            self.life.before(path, "write")
        self.life.after()

    def create(self, path: str, data: bytes) -> bool:
        # as `pipelines.storage.bucket` does where a store ignores `If-None-Match`
        if not self.life.exclusive:
            if self.exists(path):
                return False
            self.write(path, data)
            return True
        self.life.before(path, "create")
        created = super().create(path, data)
        self.life.after()
        return created

    def delete(self, path: str) -> None:
        self.life.before(path, "delete")
        super().delete(path)
        self.life.after()


def write_in_turn(place: Place, objects: Mapping[str, bytes]) -> None:
    """In place of `write_side_by_side`: one after the other, since each of them is a step."""
    for path, data in objects.items():
        place.write(path, data)


def folder_of(path: str) -> str:
    """Where a path belongs: a folder of the bookkeeping, or the mirror."""
    return path.split("/")[1] if path.startswith(f"{BOOKKEEPING}/") else "mirror"
