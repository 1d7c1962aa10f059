"""Stopping on SIGTERM, which schedulers send before they take a machine away, and on Ctrl-C, its like at a terminal."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

INTERRUPTED = 128 + signal.SIGINT  # exit status of a process that Ctrl-C stopped hard
_SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Preempted(BaseException):
    """The run was asked to stop and has saved what it has done; not an error.

    Like KeyboardInterrupt it may be raised anywhere, so it is no Exception, which libraries catch.
    """


class Watch:
    """Notes a request to stop; see `watch`."""

    def __init__(self, alone: bool) -> None:
        """Nothing was asked for yet; `alone` is False where other processes would wait for one that leaves."""
        self.requested = False
        self.by = _SIGNALS[signal.SIGTERM]
        self._alone = alone
        self._interruptible = False

    def handle(self, signum: int, frame: object) -> None:
        """The signals' handler, called by Python between two of its instructions.

        Raises:
            KeyboardInterrupt: Ctrl-C came again.
        """
        del frame
        if self.requested and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested, self.by = True, _SIGNALS[signal.Signals(signum)]
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
    """Notes SIGTERM and Ctrl-C from now on; only the main thread can, elsewhere the signals keep their meaning."""
    watching = Watch(alone)
    if threading.current_thread() is not threading.main_thread():
        yield watching
        return
    before = {signum: signal.signal(signum, watching.handle) for signum in _SIGNALS}
    try:
        yield watching
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def stoppable(watching: Watch, sentence: str) -> Iterator[None]:
    """A stretch that a request to stop ends at once, with a sentence; {by} in it stands for who asked."""
    try:
        with watching.interruptible():
            yield
    except Preempted:
        raise Preempted(sentence.format(by=watching.by)) from None


def exit_on_second_interrupt() -> None:
    """Ends the process, from now on, where Ctrl-C comes twice, even while a library computes; for commands.

    Python's own handlers wait for the library. The system tells a thread of every signal that comes instead.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        with receiver, sender:
            interrupts = 0
            while interrupts < 2:
                interrupts += receiver.recv(1) == bytes([signal.SIGINT])
            os._exit(INTERRUPTED)

    threading.Thread(target=listen, name="interrupts", daemon=True).start()
