import errno
import hashlib
import http.server
import shutil
import threading
import zipfile

import pytest

from cml_jax.data import datasets, download
from cml_jax.data.named import Remote, Source
from cml_jax.errors import DataError
from tests.tiny import command, small_disk

RATINGS = "\n".join(f"{u}::{i}::{1 + (u * i) % 5}::{1000 * u + i}" for u in range(1, 9) for i in range(1, 12)) + "\n"


def source_of(url, checksum, member):
    return Source((Remote(url, checksum, member),), {"format": "movielens"}, "page", "terms", "the authors")


def changed(source, **changes):
    """The source with other attributes of its one file."""
    return source._replace(files=(source.files[0]._replace(**changes),))


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "served" / "ml-tiny.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("ml-tiny/ratings.dat", RATINGS)
        file.writestr("../outside.txt", "must not be unpacked")
    return path


@pytest.fixture
def serve(archive):
    """A server on loopback for the archive; `serve(keep=n)` cuts every transfer off after n bytes."""
    servers = []

    def start(keep=None, status=200):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                body = archive.read_bytes()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:keep])

            def log_message(self, format, *args):
                pass

        requests: list[str] = []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        checksum = f"md5:{hashlib.md5(archive.read_bytes()).hexdigest()}"
        url = f"http://127.0.0.1:{server.server_port}/ml-tiny.zip"
        return source_of(url, checksum, "ml-tiny/ratings.dat"), requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_download_is_unpacked_cached_and_loaded(serve, tmp_path, monkeypatch):
    source, requests = serve()
    monkeypatch.setitem(download.SOURCES, "movielens-tiny", source)
    monkeypatch.setenv("CML_JAX_CACHE", str(tmp_path / "cache"))
    first = datasets.load("movielens-tiny", min_rating=2, split="temporal_user")
    assert files_in(tmp_path / "cache") == ["ml-tiny.zip", "ml-tiny/ratings.dat"]
    assert not (tmp_path / "outside.txt").exists()
    again = datasets.load("movielens-tiny", min_rating=2, split="temporal_user")
    assert len(requests) == 1, "the second time comes from the cache"
    assert first.sha256() == again.sha256() and first.train.num_users == 7, "user 5 rates nothing above 1"
    assert "Please cite the authors." in first.notes
    (tmp_path / "cache" / "ml-tiny" / "ratings.dat").unlink()
    assert datasets.load("movielens-tiny", min_rating=2, split="temporal_user").sha256() == first.sha256()
    assert len(requests) == 1, "the archive in the cache is unpacked again"


def test_wrong_checksum_is_refused_and_nothing_is_kept(serve, tmp_path):
    source, _ = serve()
    wrong = changed(source, checksum="md5:" + "0" * 32)
    with pytest.raises(DataError, match=r"ml-tiny\.zip sent does not have the checksum md5:0+; try again, or put"):
        download.fetch("tiny", wrong, tmp_path / "cache")
    assert files_in(tmp_path / "cache") == []
    assert download.fetch("tiny", source, tmp_path / "cache").read_text() == RATINGS


def test_damaged_archive_in_the_cache_is_fetched_again(serve, tmp_path):
    source, requests = serve()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "ml-tiny.zip").write_bytes(b"half")
    assert download.fetch("tiny", source, tmp_path / "cache").read_text() == RATINGS
    assert len(requests) == 1


def test_transfer_that_is_cut_off_is_named_and_nothing_is_kept(serve, tmp_path):
    source, _ = serve(keep=100)
    with pytest.raises(
        DataError, match=r"tiny could not be downloaded from .* \(the transfer was cut off\); try again"
    ):
        download.fetch("tiny", source, tmp_path / "cache")
    assert files_in(tmp_path / "cache") == []


def test_server_that_refuses_or_is_not_there_is_named(serve, tmp_path):
    source, _ = serve(status=404)
    with pytest.raises(DataError, match=r"could not be downloaded .*404"):
        download.fetch("tiny", source, tmp_path / "cache")
    nowhere = changed(source, url="http://127.0.0.1:9/ml-tiny.zip")
    with pytest.raises(DataError, match=r"\(no answer: .*refused\); try again, or put ratings\.dat of http") as caught:
        download.fetch("tiny", nowhere, tmp_path / "cache")
    assert "into a folder and set dataset.format to 'movielens' and dataset.path to that folder" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_archive_without_the_file_is_named(serve, tmp_path):
    source, _ = serve()
    with pytest.raises(DataError, match=r"ml-tiny\.zip: has no file ml-tiny/u\.data"):
        download.fetch("tiny", changed(source, member="ml-tiny/u.data"), tmp_path / "cache")


@pytest.mark.parametrize("member", ["../outside.txt", "/outside.txt", "ml-tiny/../../outside.txt", "C:\\outside.txt"])
def test_file_whose_path_leaves_the_cache_is_refused_before_anything_is_sent(serve, tmp_path, member):
    source, requests = serve()
    with pytest.raises(
        DataError, match=r"tiny: the archive's file .*outside\.txt would be written outside of .*cache\."
    ):
        download.fetch("tiny", changed(source, member=member), tmp_path / "cache")
    assert requests == [] and not (tmp_path / "outside.txt").exists() and not (tmp_path / "cache").exists()


def test_archive_that_cannot_be_unpacked_is_named_and_nothing_is_kept(serve, archive, tmp_path):
    """One with a damaged file, and one under a password; both have the checksum that is asked for."""
    content = archive.read_bytes()
    data, entry = content.index(b"ratings.dat") + len("ratings.dat"), content.index(b"PK\x01\x02")
    for damaged in (
        content[:data] + b"\xff" * 9 + content[data + 9 :],
        content[:6] + b"\1" + content[7 : entry + 8] + b"\1" + content[entry + 9 :],
    ):
        archive.write_bytes(damaged)
        source, _ = serve()
        cache = tmp_path / f"cache{len(files_in(tmp_path))}"
        with pytest.raises(
            DataError, match=r"ml-tiny\.zip: ml-tiny/ratings\.dat cannot be unpacked \(.*delete"
        ) as caught:
            download.fetch("tiny", source, cache)
        assert "\n" not in str(caught.value) and files_in(cache) == ["ml-tiny.zip"]


def test_full_disk_is_named_and_nothing_is_left(serve, archive, tmp_path):
    """The archive does not fit, then it fits but not its content beside it."""
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ml-tiny/ratings.dat", RATINGS * 400)
    size = archive.stat().st_size
    source, _ = serve()
    for kilobytes, left in ((100, []), (size // 1024 + 40, ["ml-tiny.zip"])):
        with small_disk(tmp_path / f"disk{kilobytes}", kilobytes) as cache:
            with pytest.raises(
                DataError, match=r"tiny: cannot write to .* \(No space left on device\); set CML_JAX_CACHE"
            ):
                download.fetch("tiny", source, cache)
            assert files_in(cache) == left


def test_full_disk_while_unpacking_without_a_real_one(serve, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    source, _ = serve()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", fail)
        with pytest.raises(DataError, match="No space left on device"):
            download.fetch("tiny", source, tmp_path / "cache")
    assert files_in(tmp_path / "cache") == ["ml-tiny.zip"]
    assert download.fetch("tiny", source, tmp_path / "cache").read_text() == RATINGS


def test_offline_command_line_says_where_to_put_which_file(tmp_path):
    arguments = ["--config=experiments/configs/quickstart.py", "--config.dataset.name=movielens-1m"]
    proxy = {"https_proxy": "http://127.0.0.1:9", "CML_JAX_CACHE": str(tmp_path / "cache")}
    done = command(*arguments, f"--workdir={tmp_path / 'run'}", env=proxy)
    *progress, error = done.stderr.splitlines()
    assert done.returncode == 1 and len(progress) == 1 and progress[0].startswith("Downloading")
    assert error.startswith("error: movielens-1m could not be downloaded from https://files.grouplens.org")
    assert "or put ratings.dat of" in done.stderr and not (tmp_path / "run").exists()
