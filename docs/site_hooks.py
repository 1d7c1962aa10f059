"""What the site has beside the files of this folder: pages and figures of the repository's root, and the config keys.

Links between files are written as GitHub takes them. Here the pages of the root are put beside those of this folder,
files that pages link to are copied, and links are rewritten to where things lie on the site.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[1]
_PAGES = {"README.md": "index.md"} | {name: name for name in ("RESULTS.md", "CHANGELOG.md", "CONTRIBUTING.md")}
_MARKER = re.compile(r"^<!-- config keys.*-->$", re.MULTILINE)
# A block of code, in which nothing is a link; or a link to a file.
_LINK = re.compile(r"(?s:^```.*?^```$)|(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the root, and what any page links to."""
    for name, place in _PAGES.items():
        if (_ROOT / name).is_file():
            files.append(File.generated(config, place, content=(_ROOT / name).read_text()))
    for file in list(files.documentation_pages()):
        for path in {
            _in_repository(file.src_uri, found[2]) for found in _LINK.finditer(file.content_string) if found[2]
        }:
            place = _on_site(path)
            if (_ROOT / path).is_file() and files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, abs_src_path=str(_ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites links, and fills in the table of config keys."""
    del config, files
    here = page.file.src_uri

    def rewritten(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        place = posixpath.relpath(_on_site(_in_repository(here, found[2])), posixpath.dirname(here) or ".")
        return f"{found[1]}{place}{found[3]}"

    return _MARKER.sub(lambda _: _table_of_keys(), _LINK.sub(rewritten, markdown))


def _in_repository(page: str, target: str) -> str:
    """Path, from the repository's root, of what a page links to."""
    folder = "" if page in _PAGES.values() else posixpath.join("docs", posixpath.dirname(page))
    return posixpath.normpath(posixpath.join(folder, target))


def _on_site(path: str) -> str:
    """Path, from the site's root, of a file of the repository."""
    return _PAGES.get(path) or path.removeprefix("docs/")


def _table_of_keys() -> str:
    """Tables of all config keys, one a section."""
    from experiments.config import KEYS, section_of

    lines, section = [], None
    for key, option in KEYS.items():
        if section_of(key) != section:
            section = section_of(key)
            lines += ["", f"## {section or 'run'}", "", "| key | default | meaning |", "|---|---|---|"]
        default = "none" if option.default is None else option.default
        meaning = option.help.replace("|", "\\|")
        lines.append(f"| `{key}` | {default} | {meaning} |")
    return "\n".join(lines)
