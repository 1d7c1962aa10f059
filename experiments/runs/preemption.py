"""Stopping on SIGTERM, which schedulers send before they take a machine away."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Preempted(Exception):  # noqa: N818
    """The run was asked to stop and has saved what it has done; not an error."""


class Watch:
    """Notes a SIGTERM; see `watch`."""

    def __init__(self, alone: bool) -> None:
        """Nothing was asked for yet; `alone` is False where other processes would wait for one that leaves."""
        self.requested = False
        self._alone = alone
        self._interruptible = False

    def handle(self, signum: int, frame: object) -> None:
        """The signal's handler, called by Python between two of its instructions."""
        del signum, frame
        self.requested = True
        if self._interruptible and self._alone:
            raise Preempted

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """A stretch that may be left at any point, since it changes nothing: `Preempted` is raised in it at once.

        One of several processes goes on to where all of them can stop.
        """
        if self.requested and self._alone:
            raise Preempted
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False


@contextlib.contextmanager
def watch(alone: bool = True) -> Iterator[Watch]:
    """Notes SIGTERM from now on; only the main thread can, elsewhere the signal keeps its meaning."""
    watching = Watch(alone)
    if threading.current_thread() is not threading.main_thread():
        yield watching
        return
    before = signal.signal(signal.SIGTERM, watching.handle)
    try:
        yield watching
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def stoppable(watching: Watch, sentence: str) -> Iterator[None]:
    """A stretch that SIGTERM ends at once, with a sentence."""
    try:
        with watching.interruptible():
            yield
    except Preempted:
        raise Preempted(sentence) from None
