"""Scans through a store: shards at URLs, and workers that share no disk with the driver. The bytes
of one process, or one clear line."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.cluster import Here
from support.scan import FP32, TRACKS, files_in, partial, run_record_of

import tcnfast
from tcnfast.base import node_files
from tcnfast.base.errors import TcnfastError
from tcnfast.base.store import Store
from tcnfast.cli import main
from tcnfast.scan import cluster_device, scan_genome
from tcnfast.scan.exchange import Exchange

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
pytestmark = pytest.mark.usefixtures("small_segments")

NOWHERE = Path("/nowhere")


@pytest.fixture(name="url")
def fixture_url(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(node_files.tempfile, "tempdir", str(tmp_path / "tmp"))
    yield f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").store.clear()


class Apart(Here):
    """A worker that sees neither the genome nor the output of the driver."""

    def changed(self, told):
        files = tuple(file._replace(path=NOWHERE / "genome.fa") for file in told.files)
        return replace(told, files=files, exchange=replace(told.exchange, work=NOWHERE / "out"))


@pytest.fixture(name="apart")
def fixture_apart(monkeypatch):
    """Cluster runs have one worker, in this process."""
    monkeypatch.setattr(scan_genome, "RayEngine", Apart)
    return dict(cluster="ray", workers=1, **FP32)


# shards of job arrays


def test_shards_at_urls_are_the_scan_of_one_process(scanned, fasta, model, out, url):
    for number in (1, 2, 3):
        place = f"{url}/shards/{number}"
        made = tcnfast.scan(fasta, model, place, shard=(number, 3), tracks=TRACKS, **FP32)
        assert made.path == place and made.words == f"shard {number}/3"
    merged = tcnfast.merge(f"{url}/shards/*", out=out)
    assert files_in(out) == files_in(scanned.path) and merged.summary.equals(scanned.summary)
    again = tcnfast.merge([f"{url}/shards/{n}" for n in (3, 1, 2)], out=out, force=True)
    assert files_in(again.path) == files_in(scanned.path)
    assert not list(Path(node_files.tempfile.tempdir).iterdir()), "nothing is left on this machine"


def test_a_shard_at_a_url_is_refused_replaced_or_complete(fasta, model, url, caplog):
    def shard(number, **more):
        return tcnfast.scan(fasta, model, f"{url}/s", shard=(number, 2), **more, **FP32)

    shard(1)
    store = Store(f"{url}/s")
    before = store.state("run.json")
    with pytest.raises(TcnfastError, match=f"^{url}/s: exists; choose another out, or force"):
        shard(1)
    with pytest.raises(TcnfastError, match=f"^{url}/s: holds shard 1/2, which would be lost"):
        shard(2, force=True)
    with pytest.raises(TcnfastError, match=f"^{url}/s: is the result of another run"):
        shard(1, resume=True, stride=64)
    caplog.clear()
    assert shard(1, resume=True).number == 1 and store.state("run.json") == before
    shard(1, force=True)
    assert store.state("run.json") != before


def test_what_is_no_shard_is_one_line(fasta, model, url, tmp_path, out):
    with pytest.raises(TcnfastError, match="is a URL, where only shards go"):
        tcnfast.scan(fasta, model, f"{url}/scan", **FP32)
    (tmp_path / "file").write_text("mine")
    Store(f"{url}/full").put(tmp_path / "file", "file")
    with pytest.raises(TcnfastError, match=f"^{url}/full: holds something that is no shard"):
        tcnfast.scan(fasta, model, f"{url}/full", shard=(1, 2), **FP32)
    for place in (f"{url}/full", f"{url}/none"):
        with pytest.raises(TcnfastError, match=f"^{place}: .*no"):
            tcnfast.merge([place], out=out)
    with pytest.raises(TcnfastError, match=r"/\*: there is no finished shard"):
        tcnfast.merge([f"{url}/*"], out=out)
    whole = tcnfast.scan(fasta, model, f"{url}/1", shard=(1, 1), **FP32)
    with pytest.raises(TcnfastError, match="is a URL; give a folder"):
        tcnfast.merge([whole.path], out=f"{url}/merged")


def test_a_shard_whose_putting_was_stopped_is_put_anew(fasta, model, url, monkeypatch):
    """run.json is not there yet, so that nobody merges it."""
    put = Store.put

    def stop(self, path, name):
        if name.startswith("calls"):
            raise KeyboardInterrupt
        put(self, path, name)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", stop)
        with pytest.raises(KeyboardInterrupt):
            tcnfast.scan(fasta, model, f"{url}/s", shard=(1, 2), **FP32)
    assert Store(f"{url}/s").names() == ["key.json"]
    with pytest.raises(TcnfastError, match=f"^{url}/s: was left by an unfinished run; give resume"):
        tcnfast.scan(fasta, model, f"{url}/s", shard=(1, 2), **FP32)
    tcnfast.scan(fasta, model, f"{url}/s", shard=(1, 2), resume=True, **FP32)
    names = Store(f"{url}/s").names()
    assert "run.json" in names and "key.json" not in names


def test_a_missing_shard_is_named(fasta, model, url, out):
    tcnfast.scan(fasta, model, f"{url}/1", shard=(1, 2), **FP32)
    with pytest.raises(TcnfastError, match="of 2 shards there is no 2"):
        tcnfast.merge([f"{url}/1"], out=out)
    tcnfast.scan(fasta, model, f"{url}/2", shard=(1, 2), **FP32)
    with pytest.raises(TcnfastError, match=f"^{url}/2: is shard 1/2, as {url}/1 is; give one$"):
        tcnfast.merge([f"{url}/1", f"{url}/2"], out=out)


# workers of a cluster


def test_workers_that_see_no_file_of_the_driver(scanned, fasta, model, out, url, apart):
    tcnfast.scan(fasta, model, out, tracks=TRACKS, store=url, **apart)
    assert files_in(out) == files_in(scanned.path)
    assert run_record_of(out)["key"] == run_record_of(scanned.path)["key"]
    # the genome stays in the store for the next run, and nothing else
    (name,) = Store(url).names()
    assert name.startswith("inputs/") and name.endswith("/genome.fa")
    kept = list(node_files.node_folder().rglob("genome.fa"))
    assert len(kept) == 1 and kept[0].read_bytes() == fasta.read_bytes()
    before = Store(url).state(name)
    tcnfast.scan(fasta, model, out, tracks=TRACKS, store=url, force=True, **apart)
    assert Store(url).state(name) == before and Store(url).names() == [name]


def test_genome_and_model_at_urls(scanned, fasta, model, out, url, apart, tmp_path):
    Store(f"{url}/small").put_all(model)
    Store(url).put(fasta, "genome.fa")
    given = f"{url}/genome.fa", f"{url}/small"
    tcnfast.scan(*given, out, tracks=TRACKS, store=f"{url}/run", **apart)
    want, found = files_in(scanned.path), files_in(out)
    unlike = {name for name in want if found[name] != want[name]}
    assert unlike <= {"igv_session.xml", "jbrowse.json"}, "they name the genome's place"
    assert not [name for name in Store(url).names() if "inputs" in name], "it is there already"
    with pytest.raises(TcnfastError, match="is a URL; download it first"):
        tcnfast.scan("s3://bucket/genome.fa", model, tmp_path / "alone", **FP32)


def test_a_run_that_stopped_goes_on_after_what_is_in_the_store(
    scanned, fasta, model, out, url, apart, monkeypatch
):
    """Also a driver on another machine, which finds no folder of an unfinished run."""
    with monkeypatch.context() as patch:  # killed before it empties the store
        patch.setattr(Exchange, "done", lambda self: None)
        tcnfast.scan(fasta, model, out, tracks=TRACKS, store=url, **apart)
    shutil.rmtree(out)
    calls = [name for name in Store(url).names() if "/calls." in name]
    assert len(calls) == 4
    where = fsspec.core.url_to_fs(Store(url).of(calls[2]))
    where[0].rm_file(where[1])
    done, do = [], Apart.do
    monkeypatch.setattr(Apart, "do", lambda self, unit: done.append(unit) or do(self, unit))
    tcnfast.scan(fasta, model, out, tracks=TRACKS, store=url, **apart)
    assert [unit.files[1] for unit in done] == [calls[2].rpartition("/")[2]]
    assert files_in(out) == files_in(scanned.path)


def test_a_store_that_cannot_be_written_is_one_line(fasta, model, out, url, apart, monkeypatch):
    memory = type(fsspec.filesystem("memory"))
    real = memory.put_file

    def full(self, source, target, **more):
        if "calls" in target:
            raise OSError(28, "No space left on device")
        real(self, source, target, **more)

    monkeypatch.setattr(memory, "put_file", full)
    with pytest.raises(TcnfastError, match=rf"^{url}/\w+/calls.*: cannot be written \(No space"):
        tcnfast.scan(fasta, model, out, store=url, **apart)
    monkeypatch.setattr(memory, "put_file", real)
    tcnfast.scan(fasta, model, out, store=url, force=True, **apart)


def test_a_file_of_the_same_name_and_another_content_is_not_read(
    scanned, fasta, model, out, url, apart, monkeypatch, tmp_path
):
    """On the node's own disk."""
    other = tmp_path / "genome.fa"
    other.write_bytes(fasta.read_bytes().translate(bytes.maketrans(b"ACGT", b"TGCA")))

    def changed(self, told):
        files = tuple(file._replace(path=other) for file in told.files)
        return replace(told, files=files)

    monkeypatch.setattr(Apart, "changed", changed)
    tcnfast.scan(fasta, model, out, tracks=TRACKS, store=url, **apart)
    assert files_in(out) == files_in(scanned.path)


def test_without_a_store_what_is_not_seen_is_named(fasta, model, out, apart, monkeypatch):
    with pytest.raises(TcnfastError, match="^/nowhere/out: is not on .*, or store name a store$"):
        tcnfast.scan(fasta, model, out, **apart)

    def changed(self, told):
        files = tuple(file._replace(path=NOWHERE / "genome.fa") for file in told.files)
        return replace(told, files=files)

    monkeypatch.setattr(Apart, "changed", changed)
    with pytest.raises(TcnfastError, match="^/nowhere/genome.fa: is not on .*; the genome must"):
        tcnfast.scan(fasta, model, out, force=True, **apart)


def test_what_does_not_go_with_a_store_is_refused(fasta, model, out, url, capsys):
    asked = dict(cluster="ray", store=url, **FP32)
    with pytest.raises(TcnfastError, match="with store there are bigWigs"):
        tcnfast.scan(fasta, model, out, tracks=TRACKS, track_format="zarr", **asked)
    with pytest.raises(TcnfastError, match="^store needs cluster='ray'$|^store needs cluster"):
        tcnfast.scan(fasta, model, out, store=url, **FP32)
    with pytest.raises(SystemExit):
        main(["scan", str(fasta), "--cluster", "ray", "--store", "shared/"])
    assert "--store shared/: is no URL, as s3://bucket/run" in capsys.readouterr().err
    assert not out.exists() and not partial(out).exists()


def test_a_driver_without_the_device_of_its_workers(
    scanned, fasta, model, out, monkeypatch, caplog
):
    """It asks one of them first what they run. Here "cuda" is a processor, which workers know."""
    asked = []

    class Known(Here):
        """A worker for which cuda is the processor."""

        def start(self):
            asked.append(type(self.told).__name__)
            if isinstance(self.told, cluster_device.Question):
                self.told = replace(self.told, run=replace(self.told.run, device="cpu"))
            else:
                own = replace(self.told.start.run, device="cpu")
                self.told = replace(self.told, start=replace(self.told.start, run=own))
            super().start()

    monkeypatch.setattr(scan_genome, "RayEngine", Known)
    monkeypatch.setattr(cluster_device, "RayEngine", Known)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    caplog.set_level("INFO")
    given = dict(device="cuda", precision="fp32", tracks=TRACKS)
    tcnfast.scan(fasta, model, out, cluster="ray", **given)
    assert asked == ["Question", "ClusterStart"]
    assert files_in(out) == files_in(scanned.path)
    assert run_record_of(out)["device"] == "cpu, of a cluster"
    assert "this machine has none" in caplog.text
    with pytest.raises(TcnfastError, match="device cuda: 0 CUDA devices are here"):
        tcnfast.scan(fasta, model, out, force=True, **given)
