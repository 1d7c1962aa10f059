"""Ctrl-C where a command has nothing to save, such as while libraries are imported: one sentence, no traceback."""

import atexit
import os
import signal
import sys

_GO_ON = ("experiments.main", "experiments.search", "experiments.sweep")  # commands that go on when started again


def end_quietly() -> None:
    """Makes Ctrl-C end the process with a sentence, wherever nothing else is said about it."""
    goes_on = any(name in sys.orig_argv for name in _GO_ON)
    sentence = "Stopped by Ctrl-C; start again to go on.\n" if goes_on else "Stopped by Ctrl-C.\n"

    def stop(signum: int, frame: object) -> None:
        del frame
        os.write(2, sentence.encode())
        os._exit(0 if goes_on else 128 + signum)

    signal.signal(signal.SIGINT, stop)
    # Registered first, so called last: all is done, and what Python restores after it would make an end by a signal.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
