"""Pieces of RESULTS.md."""

from collections.abc import Sequence

from cml_jax.errors import UserError


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def between(text: str, start: str, end: str, content: str) -> str:
    """A text with other content between its marks `<!-- START -->` and `<!-- end END -->`.

    Raises:
        UserError: a mark is missing.
    """
    start, end = f"<!-- {start} -->", f"<!-- end {end} -->"
    before, opened, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise UserError(f"RESULTS.md: has no '{start}' with '{end}' after it; put both where the table belongs.")
    return f"{before}{start}\n{content}\n{end}{after}"
