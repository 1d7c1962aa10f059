"""The Markdown pages of the repository: their links, headings, code and commands."""

import functools
import re
import shlex
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

from tests.tiny import ROOT

_NAMES = ("README.md", "RESULTS.md", "CHANGELOG.md", "CONTRIBUTING.md")
PAGES = sorted([ROOT / name for name in _NAMES if (ROOT / name).is_file()] + list((ROOT / "docs").glob("**/*.md")))
_HTTP_ONLY = ("http://millionsongdataset.com/tasteprofile",)  # a site that answers no https
_COMMAND = re.compile(r"\b(python -m experiments\.|pip install|pytest\b|mkdocs )")
_PARSER = MarkdownIt("commonmark").enable("table")


class Page(NamedTuple):
    """What a page holds.

    Attributes:
        path: of the file.
        links: targets of links and images, as they are written.
        anchors: of its headings, as GitHub and the site make them.
        spans: inline code, on one line.
        fences: (language, text) of the blocks of code.
    """

    path: Path
    links: list[str]
    anchors: set[str]
    spans: list[str]
    fences: list[tuple[str, str]]

    @property
    def name(self) -> str:
        """Path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()


def read(path: Path, text: str | None = None) -> Page:
    """A page; of the text instead of the file's, if given."""
    page = Page(path, [], set(), [], [])
    tokens = _PARSER.parse(path.read_text() if text is None else text)
    for i, token in enumerate(tokens):
        if token.type == "fence":
            page.fences.append((token.info.split(" ")[0], token.content))
        for child in token.children or []:
            if child.type == "code_inline":
                page.spans.append(child.content)
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                page.links.append(str(target))
        if token.type == "heading_open":
            page.anchors.add(_unused(_anchor(tokens[i + 1]), page.anchors))
    return page


def _anchor(heading) -> str:
    text = "".join(child.content for child in heading.children)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def _unused(anchor: str, taken: set[str]) -> str:
    return next(name for name in (anchor, *(f"{anchor}-{n}" for n in range(1, 100))) if name not in taken)


@functools.cache
def _anchors(path: Path) -> set[str]:
    return read(path).anchors


def broken_link(page: Page, target: str) -> str | None:
    """What is wrong with a link, in words; None where it leads somewhere."""
    parts = urllib.parse.urlsplit(target)
    if parts.scheme or parts.netloc:
        secure = parts.scheme == "https" or target in _HTTP_ONLY
        good = secure and "." in parts.netloc and not re.search(r"\s", target)
        return None if good else "is not a well-formed https address"
    path = (page.path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else page.path
    if not path.is_relative_to(ROOT) or not path.exists():
        return "leads to no file of the repository"
    if parts.fragment and (path.suffix != ".md" or parts.fragment not in _anchors(path)):
        return f"{path.name} has no heading #{parts.fragment}"
    return None


def commands(page: Page) -> list[tuple[list[str], bool]]:
    """Command lines of a page, each with whether it is to be run as it stands: from blocks of code, not from text."""
    lines = []
    for language, text in page.fences:
        if language in ("", "sh", "bash", "console"):
            lines += [(line, True) for line in text.replace("\\\n", " ").split("\n")]
    lines += [(span, False) for span in page.spans]
    found = []
    for line, whole in lines:
        for part in re.split(r"&&|;|\|", line) if _COMMAND.search(line) else []:
            words = shlex.split(part, comments=True)
            start = next((i for i, word in enumerate(words) if word in ("python", "pip", "pytest", "mkdocs")), None)
            if start is not None:
                found.append((words[start:], whole))
    return found
