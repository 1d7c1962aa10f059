"""What a command says, the first of several processes: a log on standard error, results on standard output."""

import sys

from tqdm import tqdm

from cml_jax.runs import processes


def say(text: str) -> None:
    """Prints a line of the log, above the progress bar."""
    if processes.is_first():
        tqdm.write(text, file=sys.stderr)


def show(text: str) -> None:
    """Prints a result."""
    if processes.is_first():
        print(text)
