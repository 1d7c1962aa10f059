"""What a run shows while it goes on, in a terminal and elsewhere."""

import contextlib
import fcntl
import os
import struct
import sys
import termios
import threading

from experiments import train
from tests.tiny import tiny_config


@contextlib.contextmanager
def terminal(monkeypatch):
    """Standard error is a terminal of 120 columns meanwhile; yields what is shown there, whole at the end."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    shown = []

    def read():
        with contextlib.suppress(OSError):  # at the end, when nobody writes any more
            while piece := os.read(reader, 4096):
                shown.append(piece.decode())

    reading = threading.Thread(target=read)
    reading.start()
    with open(writer, "w") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        yield shown
    reading.join()
    os.close(reader)


def test_a_terminal_has_a_bar_that_says_what_goes_on(tmp_path, monkeypatch):
    with terminal(monkeypatch) as shown:
        train.train_and_evaluate(tiny_config(), tmp_path)
    text = "".join(shown)
    phases = ("compiling", "training", "evaluating", "scoring")
    places = [text.find(f"{name}: ") for name in phases]
    assert -1 not in places and places == sorted(places)
    assert "40/40" in text and "triplets/s" in text and "\r" in text
    assert "step 20 (pass " in text and "Compiling ..." not in text


def test_elsewhere_there_are_plain_lines(tmp_path, capsys):
    train.train_and_evaluate(tiny_config(), tmp_path)
    shown = capsys.readouterr().err
    assert "\r" not in shown and "%|" not in shown and "40/40" not in shown
    lines = shown.splitlines()
    assert lines.count("Compiling ...") == lines.count("Scoring ...") == 1
    steps = [number for number, line in enumerate(lines) if line.startswith("step ")]
    assert lines.index("Compiling ...") < steps[0] < steps[1] < lines.index("Scoring ...")
