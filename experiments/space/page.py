"""The page as one file that opens offline."""

from pathlib import Path
from typing import Any

from experiments.pages import building

SOURCE = building.Source(
    Path(__file__).parent / "page",
    ("base", "picker", "arithmetic", "map", "items", "users", "negatives", "plots", "main"),
    compiles=True,
)


def write(content: dict[str, Any], path: Path) -> None:
    """Writes the page of a content, see `content.make`; it is there when it is whole, and not before."""
    building.write(SOURCE, content, path)
