"""RESULTS.md's tables, boards and figures, built again; `experiments.report --results` does it."""

from pathlib import Path
from typing import Any

from cml_jax.runs.workdir import write_atomically
from experiments.results import boards, figures, keeping, tables

ROOT = Path(__file__).parent.parent.parent
_KEPT = Path("experiments", "results", "kept")


def rebuilt(text: str, kept: dict[str, list[dict[str, Any]]]) -> str:
    """A text with everything between marks as it follows from the kept results.

    Raises:
        UserError: a mark is missing.
    """
    return boards.with_boards(tables.with_tables(text, kept), kept)


def rebuild(workdir: Path | None, root: Path = ROOT) -> str:
    """Builds the tables and figures of RESULTS.md again; returns a sentence about it.

    Args:
        workdir: folder with the folders of the tables' runs, whose results are kept first; none: those kept are used.
        root: of the repository.

    Raises:
        UserError: runs, kept files or marks are missing or cannot be read.
    """
    folder = root / _KEPT
    names = keeping.keep(workdir, folder) if workdir is not None else []
    kept = keeping.read(folder)
    path = root / "RESULTS.md"
    write_atomically(path, rebuilt(path.read_text(), kept))
    titled = {keeping.TABLES[name].title: found for name, found in kept.items()}
    figures.draw(titled, folder, root / "experiments" / "figures")
    return f"RESULTS.md has {len(kept)} tables" + (f", those of {', '.join(names)} from new runs." if names else ".")


def leaderboard(root: Path = ROOT) -> str:
    """The boards as RESULTS.md has them, with columns aligned.

    Raises:
        UserError: kept or published rows are missing or cannot be read.
    """
    return boards.as_text(keeping.read(root / _KEPT), boards.published())
