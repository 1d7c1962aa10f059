"""What a command says, the first of several processes: a log on standard error, results on standard output."""

from cml_jax.runs import processes, progress


def say(text: str) -> None:
    """Prints a line of the log, above the progress bar."""
    if processes.is_first():
        progress.write(text)


def show(text: str) -> None:
    """Prints a result."""
    if processes.is_first():
        print(text)
