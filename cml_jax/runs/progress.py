"""What a training shows while it goes on: a bar in a terminal or a notebook, lines elsewhere."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tqdm import TqdmExperimentalWarning, TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmExperimentalWarning)  # that the kind of bar is found automatically
    from tqdm.autonotebook import tqdm

COMPILING, STEPPING, EVALUATING, SCORING = "compiling", "training", "evaluating", "scoring"
_SLOW = (COMPILING, SCORING)  # of these a line is worth printing where there is no bar


class Progress(Protocol):
    """Is told what goes on."""

    def phase(self, name: str) -> None:
        """What begins: one of COMPILING, STEPPING, EVALUATING, SCORING."""

    def advance(self, num_steps: int, text: str) -> None:
        """Steps that were taken, and a few words on them."""

    def leave_out(self, num_steps: int) -> None:
        """Steps that are not going to be taken, since a run ended early or failed."""


class Silent:
    """Shows nothing."""

    def phase(self, name: str) -> None:
        """Shows nothing."""

    def advance(self, num_steps: int, text: str) -> None:
        """Shows nothing."""

    def leave_out(self, num_steps: int) -> None:
        """Shows nothing."""


class Lines:
    """Prints a line where something slow begins."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Prints by `say`."""
        self._say, self._last = say, ""

    def phase(self, name: str) -> None:
        """Prints the name, once in a row."""
        if name in _SLOW and name != self._last:
            self._say(f"{name.capitalize()} ...")
            self._last = name

    def advance(self, num_steps: int, text: str) -> None:
        """Prints nothing; evaluations have lines of their own."""

    def leave_out(self, num_steps: int) -> None:
        """Prints nothing; a line of its own says why."""


class Bar:
    """A progress bar, whose description says what goes on."""

    def __init__(self, bar: Any, prefix: str = "", scale: int = 1) -> None:
        """Takes a bar of tqdm, what stands before the phase, and units of the bar a step."""
        self.bar, self.prefix, self._scale = bar, prefix, scale

    def phase(self, name: str) -> None:
        """Shows the name before the bar."""
        self.bar.set_description(f"{self.prefix}{name}")

    def advance(self, num_steps: int, text: str) -> None:
        """Moves the bar and shows the words after it."""
        self.bar.update(num_steps * self._scale)
        self.bar.set_postfix_str(text)

    def leave_out(self, num_steps: int) -> None:
        """Makes the bar shorter."""
        if num_steps and self.bar.total is not None:
            self.bar.total -= num_steps * self._scale
            self.bar.refresh()


def is_interactive() -> bool:
    """Whether a bar can be shown: standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "notebook" in tqdm.__name__


@contextlib.contextmanager
def open_bar(**options: Any) -> Iterator[Any]:
    """A bar of tqdm in a terminal or a notebook; it is cleared away where nobody could see it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # that the notebook's own bars are not installed
        with tqdm(mininterval=0.5, file=sys.stderr, disable=not is_interactive(), **options) as bar:
            yield bar


@contextlib.contextmanager
def open_progress(total: int, initial: int, say: Callable[[str], None], shown: bool = True) -> Iterator[Progress]:
    """What shows the steps of one run.

    Args:
        total: steps of the run.
        initial: those done before.
        say: prints a line.
        shown: whether anything is.
    """
    if not shown:
        yield Silent()
    elif not is_interactive():
        yield Lines(say)
    else:
        with open_bar(total=total, initial=initial, unit="step") as bar:
            yield Bar(bar)


def write(text: str) -> None:
    """Prints a line to standard error, above a bar."""
    tqdm.write(text, file=sys.stderr)
