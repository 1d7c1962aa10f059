"""Links of the pages lead somewhere."""

import urllib.error
import urllib.request

import pytest

from tests import pages
from tests.tiny import ROOT


def test_links_of_the_pages_lead_to_files_and_headings(capsys):
    found = [pages.read(path) for path in pages.PAGES]
    wrong = [
        f"{page.name}: {link} {why}" for page in found for link in page.links if (why := pages.broken_link(page, link))
    ]
    assert not wrong, "\n".join(wrong)
    links = [link for page in found for link in page.links]
    outside = [link for link in links if "://" in link]
    assert len(links) - len(outside) >= 40 and outside
    with capsys.disabled():
        print(
            f"\n{len(links) - len(outside)} links of {len(found)} pages lead somewhere, {len(outside)} more go outside."
        )


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        waiting += [
            (path.parent / link.split("#")[0]).resolve() for link in pages.read(path).links if "://" not in link
        ]
    assert {*pages.PAGES} - reached - {ROOT / "CONTRIBUTING.md"} == set()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("docs/nothing.md", "leads to no file"),
        ("../outside.md", "leads to no file"),
        ("docs/extending.md#nothing", "has no heading"),
        ("#nothing", "has no heading"),
        ("LICENSE#start", "has no heading"),
        ("http://example.com", "not a well-formed"),
        ("https://example", "not a well-formed"),
        ("docs/extending.md#a-sampler", None),
        ("#start", None),
        ("LICENSE", None),
        ("https://example.com/a", None),
    ],
)
def test_broken_links_are_found(target, why):
    page = pages.read(ROOT / "README.md", f"# Start\n\n[here]({target}) and ![there]({target})\n")
    assert page.links == [target, target]
    said = pages.broken_link(pages.read(ROOT / "README.md"), target)
    assert (said is None) if why is None else (said is not None and why in said)


def test_anchors_of_headings_are_those_of_github():
    text = "# A, b & `c_d`\n\n## Last.fm (2011; 1,885 users)\n\n## Twice\n\n## Twice\n"
    anchors = pages.read(ROOT / "README.md", text).anchors
    assert anchors == {"a-b--c_d", "lastfm-2011-1885-users", "twice", "twice-1"}


@pytest.mark.online
def test_links_to_other_sites_are_answered():
    """A site may refuse a program, which says that the address is one of its own."""
    targets = {link for path in pages.PAGES for link in pages.read(path).links if "://" in link}
    for target in sorted(targets):
        try:
            urllib.request.urlopen(
                urllib.request.Request(target, headers={"User-Agent": "Mozilla/5.0"}), timeout=30
            ).close()
        except urllib.error.HTTPError as error:
            assert error.code in (401, 403, 429), f"{target}: {error}"
