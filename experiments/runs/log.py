"""What a run says: its log on standard error, its result on standard output, from the first of several processes."""

import sys

from tqdm import tqdm

from experiments.runs import processes


def say(text: str) -> None:
    """Prints a line of the log, above the progress bar."""
    if processes.is_first():
        tqdm.write(text, file=sys.stderr)


def show(text: str) -> None:
    """Prints a result."""
    if processes.is_first():
        print(text)
