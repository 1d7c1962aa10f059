"""The page as one file that opens offline: template, style, scripts, plotly's bundle and the content."""

import base64
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from cml_jax.errors import UserError
from cml_jax.files import replacing
from experiments.space.packing import script_json

_FOLDER = Path(__file__).parent / "page"
SCRIPTS = ("base", "picker", "arithmetic", "map", "items", "users", "negatives", "plots", "main")
_MARKS = ("policy", "style", "content", "plotly", "script")


def check_installed() -> None:
    """Raises UserError where plotly is not there."""
    if importlib.util.find_spec("plotly") is None:
        raise UserError("the page needs pip install 'cml_jax[explore]'; or leave it out.")


def as_html(content: dict[str, Any]) -> str:
    """The page of a content, see `content.make`."""
    from plotly.offline import get_plotlyjs  # an extra

    own = "\n".join((_FOLDER / f"{name}.js").read_text() for name in SCRIPTS)
    scripts = {"plotly": get_plotlyjs(), "script": f'"use strict";\n(() => {{\n{own}\n}})();\n'}
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in scripts.values())
    # Nothing is loaded, and no script but these runs, whatever the content holds. Plotly compiles its shaders' callers.
    policy = f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
    parts = {
        "policy": policy,
        "style": (_FOLDER / "style.css").read_text(),
        "content": script_json(content),
    } | scripts
    rest, page = (_FOLDER / "template.html").read_text(), []
    for name in _MARKS:  # in their order, so that no mark is looked for in what was put in
        before, mark, rest = rest.partition(f"@@{name}@@")
        assert mark, f"the template has no place for {name}"
        page += [before, parts[name]]
    return "".join([*page, rest])


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write(content: dict[str, Any], path: Path) -> None:
    """Writes the page; it is there when it is whole, and not before."""
    text = as_html(content)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")
