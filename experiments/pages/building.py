"""A page as one file that opens offline: template, styles, scripts, plotly's bundle and the content."""

import base64
import hashlib
import importlib.util
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from cml_jax.errors import UserError
from cml_jax.files import replacing
from experiments.pages.packing import script_json
from experiments.table_files import errors_named

INSTALL = "pip install 'cml_jax[explore]'"
_SHARED = Path(__file__).parent / "shared"
_SHARED_SCRIPTS = ("base", "theme", "marks", "tip", "plotly")
_MARKS = ("policy", "style", "content", "plotly", "script")


class Source(NamedTuple):
    """What a page is made of, beside what all have.

    Attributes:
        folder: with template.html, style.css and the scripts.
        scripts: their names, without .js, in order.
        compiles: whether plotly draws by WebGL, for which it compiles functions.
    """

    folder: Path
    scripts: tuple[str, ...]
    compiles: bool = False


def is_installed() -> bool:
    """Whether plotly is there."""
    return importlib.util.find_spec("plotly") is not None


def check_installed() -> None:
    """Raises UserError where plotly is not there."""
    if not is_installed():
        raise UserError(f"the page needs {INSTALL}; or leave it out.")


def check_output(path: Path) -> None:
    """Raises UserError where a page cannot be written there, which is known before it is made."""
    if path.suffix != ".html" or path.is_dir() or not path.parent.is_dir():
        raise UserError(f"--output={path}: name a file of HTML, such as space.html, in a folder that is there.")
    with errors_named(path), tempfile.TemporaryFile(dir=path.parent):
        pass


def as_html(source: Source, content: dict[str, Any]) -> str:
    """The page of a content."""
    from plotly.offline import get_plotlyjs  # an extra

    files = [
        *(_SHARED / f"{name}.js" for name in _SHARED_SCRIPTS),
        *(source.folder / f"{name}.js" for name in source.scripts),
    ]
    own = "\n".join(path.read_text() for path in files)
    scripts = {"plotly": get_plotlyjs(), "script": f'"use strict";\n(() => {{\n{own}\n}})();\n'}
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in scripts.values())
    # Nothing is loaded, and no script but these runs, whatever the content holds.
    compiling = " 'unsafe-eval'" if source.compiles else ""
    policy = f"default-src 'none'; script-src {hashes}{compiling}; style-src 'unsafe-inline'; img-src data: blob:"
    styles = [(folder / "style.css").read_text() for folder in (_SHARED, source.folder)]
    parts = {"policy": policy, "style": "".join(styles), "content": script_json(content)} | scripts
    rest, page = (source.folder / "template.html").read_text(), []
    for name in _MARKS:  # in their order, so that no mark is looked for in what was put in
        before, mark, rest = rest.partition(f"@@{name}@@")
        assert mark, f"the template has no place for {name}"
        page += [before, parts[name]]
    return "".join([*page, rest])


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write(source: Source, content: dict[str, Any], path: Path) -> None:
    """Writes the page; it is there when it is whole, and not before.

    Raises:
        UserError: it cannot be written.
    """
    text = as_html(source, content)
    with errors_named(path), replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")
