"""The page as one file that opens offline."""

from pathlib import Path

from experiments.pages import building

NAME = "report.html"
SOURCE = building.Source(Path(__file__).parent / "page", ("tables", "marks", "charts", "sections", "configs", "main"))
