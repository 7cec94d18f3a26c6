"""Folders at URLs: files whole or not at all, kept once on a machine, one line for what fails."""

import hashlib
import sys
from multiprocessing import get_context

import pytest

from tcnfast.base import node_files
from tcnfast.base.errors import TcnfastError
from tcnfast.base.node_files import fetched_file, fetched_folder, node_folder
from tcnfast.base.store import Store, is_url, last_name

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture(name="urls")
def fixture_urls(tmp_path, monkeypatch):
    """A place in memory and one on disk; what is fetched is kept below ``tmp_path``."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(node_files.tempfile, "tempdir", str(tmp_path / "tmp"))
    yield [f"memory://{tmp_path.name}/run", f"file://{tmp_path}/stored/run"]
    fsspec.filesystem("memory").store.clear()


def test_what_is_a_url():
    assert is_url("s3://bucket/run") and is_url("gs://b") and is_url("memory://x")
    assert not is_url("scan/") and not is_url("/a/b") and not is_url(None) and not is_url("a:b")
    assert last_name("s3://bucket/hg38.2bit") == "hg38.2bit" and last_name("s3://b/m/") == "m"


def test_files_go_there_and_come_back(urls, tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "one.npy").write_bytes(b"1" * 1000)
    (tmp_path / "a" / "deep" / "two").write_bytes(b"")
    (tmp_path / "a" / "run.json").write_text("{}")
    for url in urls:
        store = Store(url)
        assert store.names() == [] and store.state("one.npy") is None
        assert not store.get("one.npy", tmp_path / "none") and not (tmp_path / "none").exists()
        store.put_all(tmp_path / "a", last=["run.json"])
        assert store.names() == ["deep/two", "one.npy", "run.json"]
        assert store.inside("deep").names() == ["two"]
        back = tmp_path / f"back {urls.index(url)}"
        store.get_all(back)
        assert (back / "one.npy").read_bytes() == b"1" * 1000 and (back / "deep/two").exists()
        before = store.state("one.npy")
        assert store.state("one.npy") == before
        (tmp_path / "other").write_bytes(b"2" * 999)
        store.put(tmp_path / "other", "one.npy")
        assert store.state("one.npy") != before
        store.clear()
        assert store.names() == []
        store.clear()


def test_what_says_that_all_is_there_comes_last(urls, tmp_path, monkeypatch):
    for name in ("a", "run.json", "z"):
        (tmp_path / name).write_text(name)
    put, order = Store.put, []
    monkeypatch.setattr(Store, "put", lambda self, path, name: order.append(name))
    (tmp_path / "tmp").rmdir()
    Store(urls[0]).put_all(tmp_path, last=["run.json"])
    assert order == ["a", "z", "run.json"] and put is not Store.put


def test_half_a_file_is_never_seen(urls, tmp_path, monkeypatch):
    """A put that fails leaves nothing, and the file of before."""
    (tmp_path / "old").write_text("old")
    (tmp_path / "new").write_text("new and longer")
    for url in urls:
        store = Store(url)
        store.put(tmp_path / "old", "file")
        files = fsspec.core.url_to_fs(url)[0]
        real = type(files).put_file

        def half(self, source, target, real=real, **more):
            real(self, source, target, **more)
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(type(files), "put_file", half)
            with pytest.raises(TcnfastError, match=rf"^{url}/file: cannot be written \(Permission"):
                store.put(tmp_path / "new", "file")
        assert store.names() == ["file"] and store.get("file", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "old"
        assert fsspec.core.url_to_fs(url)[0].find(fsspec.core.url_to_fs(url)[1])[0].endswith("file")


def test_a_package_that_is_missing_is_one_line(tmp_path, monkeypatch):
    def unknown():
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: unknown())
    words = "^s3://b/run: fsspec needs a package for s3: Install s3fs to access S3$"
    with pytest.raises(TcnfastError, match=words):
        Store("s3://b/run").names()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(
        TcnfastError, match=r"^s3://b/run: needs the package fsspec: pip install .*"
    ):
        Store("s3://b/run").names()


def test_an_unknown_protocol_is_one_line():
    with pytest.raises(TcnfastError, match="^nosuch://b: cannot be read .*nosuch"):
        Store("nosuch://b").names()


def _fetch(url, sha256, folder, queue):
    node_files.tempfile.tempdir = folder
    real, fetched = Store.get, []
    Store.get = lambda self, name, path: fetched.append(name) or real(self, name, path)
    path = fetched_file(url, sha256)
    queue.put((str(path), len(fetched)))


def test_a_file_is_fetched_once_by_several_processes(urls, tmp_path):
    data = bytes(range(256)) * 4000
    (tmp_path / "hg.2bit").write_bytes(data)
    Store(urls[1]).put(tmp_path / "hg.2bit", "hg.2bit")
    url, sha256 = f"{urls[1]}/hg.2bit", hashlib.sha256(data).hexdigest()
    context = get_context("spawn")
    queue = context.Queue()
    about = url, sha256, str(tmp_path / "tmp"), queue
    processes = [context.Process(target=_fetch, args=about) for _ in range(3)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert len({path for path, _ in found}) == 1 and sum(n for _, n in found) == 1
    path = node_folder() / sha256 / "hg.2bit"
    assert found[0][0] == str(path) and path.read_bytes() == data
    assert node_folder().stat().st_mode & 0o077 == 0


def test_another_file_than_was_asked_for_is_refused(urls, tmp_path):
    (tmp_path / "hg.2bit").write_text("other")
    Store(urls[0]).put(tmp_path / "hg.2bit", "hg.2bit")
    url = f"{urls[0]}/hg.2bit"
    with pytest.raises(TcnfastError, match=f"^{url}: is not the file that the run began with"):
        fetched_file(url, "0" * 64)
    assert not list(node_folder().rglob("hg.2bit"))
    first = fetched_file(url)
    assert first.read_text() == "other" and fetched_file(url) == first
    (tmp_path / "hg.2bit").write_text("changed")
    Store(urls[0]).put(tmp_path / "hg.2bit", "hg.2bit")
    assert fetched_file(url).read_text() == "changed", "what is kept is of the URL's last state"
    with pytest.raises(TcnfastError, match=f"^{urls[0]}/none.fa: there is no such file$"):
        fetched_file(f"{urls[0]}/none.fa")


def test_a_folder_is_fetched(urls, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    Store(f"{urls[0]}/model").put_all(tmp_path / "model")
    path = fetched_folder(f"{urls[0]}/model/")
    assert path.name == "model" and (path / "config.json").read_text() == "{}"
    assert fetched_folder(f"{urls[0]}/model").name == "model"
    with pytest.raises(TcnfastError, match="there is no such folder"):
        fetched_folder(f"{urls[0]}/none")


def test_a_folder_that_others_may_write_to_is_refused(urls, tmp_path):
    node_folder().chmod(0o777)
    with pytest.raises(TcnfastError, match="is not a folder of yours alone; .* TMPDIR"):
        node_folder()
