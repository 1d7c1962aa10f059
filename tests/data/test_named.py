"""Every public data set, from a server on loopback that has generated files of its layout."""

import hashlib
import http.server
import io
import json
import re
import threading
import zipfile

import numpy as np
import pytest

from cml_jax.data import datasets, download
from cml_jax.data.named import SOURCES
from cml_jax.data.options import DataOptions
from cml_jax.errors import DataError
from cml_jax.options import declared
from tests.tiny import ROOT

USERS, ITEMS = range(1, 7), range(12)
LIGHTGCN = ("gowalla", "yelp2018", "amazon-book")
GAMES = [f'Game {i}, "The {i}th"' if i % 2 else f"Game {i}" for i in ITEMS]


def pairs():
    """Each user has 10 of the 12 items, so that every recipe and the default split keep all."""
    return [(u, i) for u in USERS for i in ITEMS if (u + i) % 6]


def zipped(member, text, encoding="utf-8"):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(member, text.encode(encoding))
        archive.writestr("readme.txt", "about")
    return data.getvalue()


def lines(*rows):
    return "".join(f"{row}\n" for row in rows)


def adjacency(chosen):
    return lines(*(" ".join(map(str, [u, *(i for v, i in chosen if v == u)])) for u in USERS))


def published(name):
    """What the publisher's server sends, by the last part of the URL, and the raw ids of the pairs in it."""
    source, rated = SOURCES[name], [(u, i, 1 + (u * i) % 5, 1_000_000_000 + 1000 * u + i) for u, i in pairs()]
    member, (url, *_) = source.files[0].member, [file.url.rpartition("/")[2] for file in source.files]
    if name in ("movielens-100k", "movielens-1m", "movielens-10m"):
        separator = "\t" if name == "movielens-100k" else "::"
        return {url: zipped(member, lines(*(separator.join(map(str, row)) for row in rated)))}, pairs()
    if name.startswith("movielens"):
        rows = (",".join(map(str, row)) for row in rated)
        return {url: zipped(member, lines("userId,movieId,rating,timestamp", *rows))}, pairs()
    if name in LIGHTGCN:
        train, test = ([pair for pair in pairs() if (pair[1] < 9) == first] for first in (True, False))
        return {"train.txt": adjacency(train).encode(), "test.txt": adjacency(test).encode()}, pairs()
    if name == "lastfm-2k":
        rows = (f"{u}\t{i}\t{100 * i + u}\r" for u, i in pairs())
        return {url: zipped(member, lines("userID\tartistID\tweight\r", *rows))}, pairs()
    if name == "steam-200k":
        quoted = ['"' + game.replace('"', '""') + '"' if "," in game else game for game in GAMES]
        rows = [f"{u},{quoted[i]},{what},0" for u, i in pairs() for what in ("purchase,1.0", f"play,{i}.5")]
        return {url: zipped(member, lines(*rows))}, [(u, GAMES[i]) for u, i in pairs()]
    if name == "citeulike-a":
        rows = [[i for v, i in pairs() if v == u] for u in USERS]
        return {url: lines(*(" ".join(map(str, [len(row), *row])) for row in rows)).encode()}, pairs()
    if name == "book-crossing":
        isbn = [f"0{i:08d}X" if i else "3è;1" for i in ITEMS]
        rows = (f'"{u}";"{isbn[i]}";"{i}"' for u, i in pairs())
        body = zipped(member, lines('"User-ID";"ISBN";"Book-Rating"', *rows), "latin-1")
        return {url: body}, [(u, isbn[i]) for u, i in pairs()]
    assert name == "taste-profile"
    few = [f"rare\tSO{i}\t{count}" for i, count in [(0, 50), (1, 9)]]
    rows = (f"u{u}\tSO{i}\t{10 + i}" for u, i in pairs())
    return {url: zipped(member, lines(*few, *rows))}, [(f"u{u}", f"SO{i}") for u, i in pairs()]


def checksum_of(kind, body):
    if kind == "git":
        body = f"blob {len(body)}\0".encode() + body
    return f"{kind}:{hashlib.new({'git': 'sha1'}.get(kind, kind), body).hexdigest()}"


class Publisher:
    """A server on loopback; `bodies` are what it sends, `cut` the last parts of URLs whose transfer breaks off."""

    def __init__(self, bodies):
        self.bodies, self.cut, self.requests = dict(bodies), set(), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                last = self.path.rpartition("/")[2]
                outer.requests.append(last)
                body = outer.bodies[last]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if last in outer.cut else body)

            def log_message(self, format, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def source(self, source):
        """The source with this server's address and the checksums of what it sends, where there is one."""
        files = []
        for file in source.files:
            last = file.url.rpartition("/")[2]
            kind = file.checksum and file.checksum.partition(":")[0]
            checksum = kind and checksum_of(kind, self.bodies[last])
            files.append(file._replace(url=f"{self.url}/{last}", checksum=checksum))
        return source._replace(files=tuple(files))


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """publish(name) -> the publisher, from whom `datasets.load(name)` downloads into a cache of the test's own."""
    started = []

    def start(name):
        publisher = Publisher(published(name)[0])
        started.append(publisher)
        monkeypatch.setitem(SOURCES, name, publisher.source(SOURCES[name]))
        monkeypatch.setenv("CML_JAX_CACHE", str(tmp_path / "cache"))
        return publisher

    yield start
    for publisher in started:
        publisher.server.shutdown()
        publisher.server.server_close()


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def raw_pairs(dataset):
    parts = (dataset.train, dataset.valid, dataset.test)
    users, items = (np.concatenate([getattr(part, rows) for part in parts]) for rows in ("users", "items"))
    return sorted(zip(dataset.user_ids[users].tolist(), dataset.item_ids[items].tolist(), strict=True))


@pytest.mark.parametrize("name", SOURCES)
def test_every_name_is_downloaded_and_read_as_its_publisher_writes_it(publish, name):
    publisher = publish(name)
    first = datasets.load(name)
    assert raw_pairs(first) == sorted(published(name)[1])
    assert sorted(publisher.requests) == sorted(publisher.bodies)
    assert datasets.load(name).sha256() == first.sha256()
    assert len(publisher.requests) == len(publisher.bodies), "the second time comes from the cache"
    source = SOURCES[name]
    assert f"Please cite {source.citation}." in first.notes
    assert f"Terms of use: {source.terms} ({source.page})." in first.notes
    assert first.test.num_pairs and first.valid.num_pairs


@pytest.mark.parametrize("name", SOURCES)
def test_without_a_connection_the_error_says_what_to_do_and_that_works(name, tmp_path, monkeypatch):
    source = SOURCES[name]
    unreachable = [file._replace(url=f"http://127.0.0.1:9/{file.url.rpartition('/')[2]}") for file in source.files]
    monkeypatch.setitem(SOURCES, name, source._replace(files=tuple(unreachable)))
    monkeypatch.setenv("CML_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        DataError, match=rf"^{name} could not be downloaded from http://127.*\(no answer: .*\); try again, or "
    ) as caught:
        datasets.load(name)
    assert files_in(tmp_path / "cache") == []
    folder = tmp_path / "by hand"
    folder.mkdir()
    bodies, expected = published(name)
    for file, body in zip(source.files, bodies.values(), strict=True):
        assert file.name in str(caught.value)
        if file.member is not None:
            body = zipfile.ZipFile(io.BytesIO(body)).read(file.member)
        (folder / file.name).write_bytes(body)
    if "into a folder" in str(caught.value):
        (format,) = re.findall(r"dataset\.format to '(\w+)' and dataset\.path to that folder\.$", str(caught.value))
        found = datasets.load("mine", path=str(folder), format=format)
        assert set(raw_pairs(found)) >= set(expected)
    else:
        assert re.search(r"or set dataset\.path to .* of http.*, saved under that name\.$", str(caught.value))
        assert raw_pairs(datasets.load(name, path=str(folder / source.files[0].name))) == sorted(expected)
    assert raw_pairs(datasets.load(name, path=str(folder))) == sorted(expected)


def test_options_that_are_given_come_before_the_recipe(publish):
    publish("taste-profile")
    assert len(datasets.load("taste-profile", min_rating=15, min_user_items=5).item_ids) == 7
    publish("steam-200k")
    kinds = datasets.load("steam-200k", kind_column="3", kind_weights="purchase=1,play=2")
    assert kinds.train.weights is not None and set(kinds.train.weights.tolist()) == {3.0}
    publish("lastfm-2k")
    found = datasets.load("lastfm-2k", weight_column="weight", rating_column="weight", min_rating=500)
    assert found.train.weights is not None and found.item_ids.min() == 5


def test_a_name_is_a_label_for_other_files(tmp_path):
    """The split of another publisher, as adjacency lists."""
    train = [pair for pair in pairs() if pair[1] < 9]
    (tmp_path / "train.txt").write_text(adjacency(train))
    (tmp_path / "test.txt").write_text(adjacency([pair for pair in pairs() if pair[1] >= 9]))
    for name in ("steam-200k", "lastfm-2k", "citeulike-a"):
        assert raw_pairs(datasets.load(name, path=str(tmp_path))) == sorted(pairs())


@pytest.mark.parametrize("name", ["steam-200k", "taste-profile"])
def test_without_a_known_checksum_the_first_download_is_the_one(publish, tmp_path, name):
    publisher, cache = publish(name), tmp_path / "cache"
    source = SOURCES[name]
    (url, body), *_ = publisher.bodies.items()
    checksum = checksum_of("sha256", body)
    said = datasets.load(name).notes
    assert any(
        note.startswith(f"No checksum of {source.files[0].url} is known")
        and checksum in note
        and "checksums.json" in note
        for note in said
    )
    assert datasets.load(name).notes == said, "from the cache too"
    assert json.loads((cache / download.PINS).read_text()) == {source.files[0].url: checksum}
    for path in cache.rglob("*"):
        if path.is_file() and path.name != download.PINS:
            path.unlink()
    publisher.bodies[url] = zipped(source.files[0].member, "other,rows\n")
    with pytest.raises(
        DataError,
        match=rf"{name}: what .* sent does not have the checksum {checksum} of the first download, which .*json",
    ):
        datasets.load(name)
    assert files_in(cache) == [download.PINS]
    publisher.bodies[url] = body
    assert datasets.load(name).notes == said


def test_a_page_in_the_place_of_an_archive_is_not_pinned(publish, tmp_path):
    publisher = publish("steam-200k")
    publisher.bodies["steam-video-games"] = b"<html>Please log in</html>"
    with pytest.raises(
        DataError, match=r"steam-video-games\.zip: steam-200k\.csv cannot be unpacked .*delete the archive"
    ):
        datasets.load("steam-200k")
    assert files_in(tmp_path / "cache") == ["steam-video-games.zip"]


def test_damaged_pins_are_named(publish, tmp_path):
    publish("steam-200k")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / download.PINS).write_text("{")
    with pytest.raises(DataError, match=r"checksums\.json: cannot be read"):
        datasets.load("steam-200k")


def test_of_several_files_one_that_is_cut_off_is_fetched_again(publish, tmp_path):
    publisher = publish("gowalla")
    publisher.cut = {"test.txt"}
    with pytest.raises(
        DataError,
        match=r"gowalla could .*/test\.txt \(the transfer was cut off\); try again, or put train\.txt and test\.txt",
    ):
        datasets.load("gowalla")
    assert files_in(tmp_path / "cache") == ["gowalla/train.txt"]
    publisher.cut = set()
    assert raw_pairs(datasets.load("gowalla")) == sorted(pairs())
    assert publisher.requests == ["train.txt", "test.txt", "test.txt"]


@pytest.mark.parametrize("name", ["gowalla", "citeulike-a", "lastfm-2k", "movielens-32m"])
def test_other_content_than_the_checksum_says_is_refused(publish, tmp_path, name):
    publisher = publish(name)
    last = list(publisher.bodies)[-1]
    publisher.bodies[last] += b" "
    known = SOURCES[name].files[-1].checksum
    with pytest.raises(DataError, match=rf"what http.*{last} sent does not have the checksum {known}; try again"):
        datasets.load(name)
    assert not [path for path in files_in(tmp_path / "cache") if path.endswith((last, SOURCES[name].files[-1].name))]


def test_archive_without_the_member_is_named(publish, monkeypatch):
    publisher = publish("lastfm-2k")
    publisher.bodies["hetrec2011-lastfm-2k.zip"] = zipped("artists.dat", "x")
    monkeypatch.setitem(SOURCES, "lastfm-2k", publisher.source(SOURCES["lastfm-2k"]))
    with pytest.raises(DataError, match=r"hetrec2011-lastfm-2k\.zip: has no file user_artists\.dat"):
        datasets.load("lastfm-2k")


@pytest.mark.parametrize("name", ["gowalla", "steam-200k"])
def test_cache_that_cannot_be_written_is_named(publish, tmp_path, monkeypatch, name):
    publish(name)
    (tmp_path / "file").touch()
    monkeypatch.setenv("CML_JAX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=rf"{name}: cannot write to .*; set CML_JAX_CACHE to another folder, or "):
        datasets.load(name)


def test_registry_is_complete():
    movielens = {f"movielens-{size}" for size in ("100k", "1m", "10m", "20m", "25m", "32m")}
    others = {"lastfm-2k", "steam-200k", "citeulike-a", "book-crossing", "taste-profile"}
    assert set(SOURCES) == movielens | set(LIGHTGCN) | others
    fields = {option.name for option in declared(DataOptions)}
    for source in SOURCES.values():
        assert source.format in datasets.READERS and set(source.recipe) <= {"format", *fields}
        how = DataOptions(**{key: value for key, value in source.recipe.items() if key != "format"})
        how.check()
        datasets.check_format(source.format, how)
        datasets.check_text(source.format, how)
        assert source.page.startswith("http") and source.terms and re.search(r"\b20\d\d\b", source.citation)
        for file in source.files:
            assert re.fullmatch(r"https?://\S+", file.url)
            assert re.fullmatch(
                r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}|git:[0-9a-f]{40}", file.checksum or f"md5:{'0' * 32}"
            )
            assert file.checksum or source in (SOURCES["steam-200k"], SOURCES["taste-profile"])


def test_docs_have_a_row_for_every_name():
    """Users, items and pairs where the files were counted, the recipe, how a download is checked, and the terms."""
    table = (ROOT / "docs/data.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*?) \| `(.*?)` \| (.*?) \| (.*?) \| \[.*?\]\((.*?)\) \|$", table, re.M)
    found = {name: rest for name, *rest in rows}
    assert found == {name: row(source) for name, source in SOURCES.items()}


def row(source):
    sizes = " / ".join(f"{size:,}" for size in source.sizes) if source.sizes else ""
    kinds = {file.checksum.partition(":")[0] if file.checksum else "first download" for file in source.files}
    recipe = " ".join(f"{key}={value}" for key, value in source.recipe.items())
    return [sizes, recipe, " ".join(kinds), source.terms, source.page]
