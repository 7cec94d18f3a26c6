"""Scans on a Ray cluster: the bytes of one process, whatever happens to workers and nodes."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.scan import (
    FP32,
    TRACKS,
    calling_model,
    files_in,
    partial,
    random_letters,
    run_record_of,
    write_fasta,
)

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.node_files import node_folder
from tcnfast.scan import ray_engine, scan_genome

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.usefixtures("small_segments"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

ON_RAY = dict(cluster="ray", **FP32)


@pytest.fixture(name="nodes", scope="module")
def fixture_nodes():
    """A cluster of two nodes, one processor each; more may be added. Scans find it by its
    address."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_engine.QUIET.items():
            patch.setenv(name, value)
        about = dict(num_cpus=1, object_store_memory=ray_engine.STORE_BYTES)
        head = dict(about, include_dashboard=False, _system_config=ray_engine.HEALTH)
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(**about)
        patch.setenv(ray_engine.ADDRESS, cluster.address)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(name="pool", autouse=True)
def fixture_pool(monkeypatch):
    """pool(n, act): ``act(engine, worker, unit)`` is called when the n-th stretch is given out."""
    wanted = []
    give = ray_engine.RayEngine.give

    def spy(engine, worker, unit):
        give(engine, worker, unit)
        if unit is not None and wanted:
            wanted[0] -= 1
            if wanted[0] == 0:
                wanted[1](engine, worker, unit)

    monkeypatch.setattr(ray_engine.RayEngine, "give", spy)
    yield lambda n, act: wanted.extend((n, act))
    ray.shutdown()


def process_of(engine, worker):
    return int(engine._places[worker].rpartition("process ")[2].rstrip(": "))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_write_the_bytes_of_one_process(
    nodes, scanned, fasta, model, out, workers
):
    added = [nodes.add_node(num_cpus=1) for _ in range(2)] if workers == 4 else []
    result = tcnfast.scan(fasta, model, out, tracks=TRACKS, workers=workers, **ON_RAY)
    assert files_in(out) == files_in(scanned.path) and result.summary.equals(scanned.summary)
    assert run_record_of(out)["key"] == run_record_of(scanned.path)["key"]
    assert run_record_of(out)["stages"]["compute"] > 0  # theirs
    for node in added:
        nodes.remove_node(node)


@pytest.fixture(name="losses")
def fixture_losses(monkeypatch):
    """When workers were known to be lost."""
    seen, replace = [], ray_engine.RayEngine.replace

    def spy(engine, worker):
        seen.append(time.monotonic())
        replace(engine, worker)

    monkeypatch.setattr(ray_engine.RayEngine, "replace", spy)
    return seen


def test_a_worker_that_is_killed(nodes, scanned, fasta, model, out, pool, losses, caplog):
    killed = []

    def kill(engine, worker, unit):
        os.kill(process_of(engine, worker), signal.SIGKILL)
        killed.append(time.monotonic())

    pool(2, kill)
    tcnfast.scan(fasta, model, out, tracks=TRACKS, workers=2, **ON_RAY)
    assert files_in(out) == files_in(scanned.path)
    assert len(losses) == 1 and losses[0] - killed[0] < 5
    assert "is lost: on " in caplog.text and "; again: chr2" in caplog.text


def test_workers_through_a_store(
    nodes, scanned, fasta, model, out, tmp_path, pool, losses, monkeypatch
):
    """They see neither the genome nor the output; one of them is killed."""
    send = scan_genome.send

    def hidden(*about):
        return tuple(file._replace(path=Path("/nowhere/genome.fa")) for file in send(*about))

    of = scan_genome.ClusterStart.of

    def apart(start, files, exchange):
        told = of(start, files, exchange)
        seen.append(told)
        monkeypatch.setattr(scan_genome.ClusterStart, "seen", lambda _, unit, result: here(unit))
        return replace(told, exchange=replace(exchange, work=Path("/nowhere/out")))

    seen = []

    def here(unit):
        return seen[0].exchange.seen(unit.files)

    monkeypatch.setattr(scan_genome, "send", hidden)
    monkeypatch.setattr(scan_genome.ClusterStart, "of", apart)
    pool(2, lambda engine, worker, unit: os.kill(process_of(engine, worker), signal.SIGKILL))
    store = f"file://{tmp_path}/store"
    tcnfast.scan(fasta, model, out, tracks=TRACKS, workers=2, store=store, **ON_RAY)
    assert files_in(out) == files_in(scanned.path) and len(losses) == 1
    (kept,) = (path for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert kept.name == "genome.fa" and kept.parent.parent.name == "inputs"
    fetched = node_folder() / kept.parent.name
    assert (fetched / "genome.fa").read_bytes() == fasta.read_bytes()
    shutil.rmtree(fetched)


def test_a_worker_that_hangs(nodes, scanned, fasta, model, out, pool, caplog):
    stopped = []

    def stop(engine, worker, unit):
        stopped.append(process_of(engine, worker))
        os.kill(stopped[0], signal.SIGSTOP)

    pool(2, stop)
    try:
        tcnfast.scan(fasta, model, out, tracks=TRACKS, workers=2, time_limit=40, **ON_RAY)
    finally:
        try:
            os.kill(stopped[0], signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert files_in(out) == files_in(scanned.path)
    assert "is lost: no answer within 40 s" in caplog.text


def test_a_node_that_is_removed_without_grace(
    nodes, scanned, fasta, model, out, losses, caplog, monkeypatch
):
    """While a worker on it holds a stretch, which another does."""
    node = nodes.add_node(num_cpus=1)
    raylet = node.all_processes["raylet"][0].process.pid
    removed, held, give = [], [], ray_engine.RayEngine.give

    def remove(engine, worker, unit):
        process = None if unit is None else process_of(engine, worker)
        if unit is None or removed:
            give(engine, worker, unit)
        elif raylet not in parents(process):
            held.append((engine, worker, unit))  # until the other is gone: it starts no sooner
        else:
            os.kill(process, signal.SIGSTOP)  # it finishes nothing more
            give(engine, worker, unit)
            nodes.remove_node(node, allow_graceful=False)
            removed.append(time.monotonic())
            for row in held:
                give(*row)

    monkeypatch.setattr(ray_engine.RayEngine, "give", remove)
    tcnfast.scan(fasta, model, out, tracks=TRACKS, workers=3, **ON_RAY)
    assert files_in(out) == files_in(scanned.path)
    assert len(losses) == 1 and losses[0] - removed[0] < 5
    assert "; again: chr2" in caplog.text


def parents(process):
    found = []
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(process)
    return found


def test_a_stretch_that_kills_every_worker_is_named(nodes, fasta, model, out, monkeypatch, pool):
    """After it was given out four times; what is finished is kept."""
    give = ray_engine.RayEngine.give
    times = []

    def deadly(engine, worker, unit):
        give(engine, worker, unit)
        if unit is not None and unit.chrom == "chr21" and unit.first == 0:
            times.append(worker)
            os.kill(process_of(engine, worker), signal.SIGKILL)

    monkeypatch.setattr(ray_engine.RayEngine, "give", deadly)
    words = r"^chr21, steps 0 to 2,048: lost 4 times with the worker that scanned it, worker \d"
    with pytest.raises(TcnfastError, match=words) as caught:
        tcnfast.scan(fasta, model, out, workers=1, **ON_RAY)
    assert len(times) == 4 and "resume=True goes on" in str(caught.value)
    assert len(list(partial(out).glob("calls.*.npy"))) >= 2


def test_a_store_without_room_is_one_line(nodes, fasta, model, out, tmp_path, pool):
    """And nothing that is finished is lost."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "x", small]).returncode:
        pytest.skip("a small disk cannot be mounted here")
    filled = small / "filled"
    out = small / "scan"

    def fill(engine, worker, unit):
        with pytest.raises(OSError), open(filled, "wb", 0) as file:
            while True:
                file.write(bytes(512))

    try:
        pool(2, fill)
        with pytest.raises(OSError) as caught:
            tcnfast.scan(fasta, model, out, workers=1, **ON_RAY)
        assert caught.value.errno == errno.ENOSPC
        filled.unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        kept = len(list(partial(out).glob("calls.*.npy")))
        tcnfast.scan(fasta, model, out, workers=1, resume=True, **ON_RAY)
        alone = tcnfast.scan(fasta, model, tmp_path / "alone", **FP32)
        assert kept >= 1 and files_in(out) == files_in(alone.path)
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_store_that_cannot_be_written_is_one_line(nodes, fasta, model, tmp_path, pool):
    """Before any worker is asked for."""
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "x", sealed]).returncode:
        pytest.skip("a disk cannot be mounted here")
    try:
        with pytest.raises(TcnfastError, match=r"cannot be made \(Read-only file system\)"):
            tcnfast.scan(fasta, model, sealed / "scan", workers=1, **ON_RAY)
    finally:
        subprocess.run(["umount", "-l", sealed], check=True)


DRIVER = """
import sys
from tcnfast.scan import pieces
pieces.STRETCH_BASES, pieces.LEAST_STEPS = 2**15, 1
import tcnfast, torch
if __name__ == "__main__":
    torch.set_num_threads(1)
    tcnfast.scan(sys.argv[1], sys.argv[2], sys.argv[3], cluster="ray", workers=2, stride=1,
                 device="cpu", precision="fp32")
"""


def test_a_driver_that_is_killed_is_resumed(nodes, model, out, tmp_path, monkeypatch):
    """Its workers end with it, and the next goes on after what they finished."""
    from tcnfast.scan import pieces

    monkeypatch.setattr(pieces, "STRETCH_BASES", 2**15)
    path = write_fasta(tmp_path / "x.fa", {"chr1": random_letters(2_000_000)})
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    driver = subprocess.Popen([sys.executable, script, path, model, out], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(partial(out).glob("calls.*.npy"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = {file.name: file.stat().st_mtime_ns for file in partial(out).glob("calls.*.npy")}
    assert 3 <= len(before) < 62
    options = dict(stride=1, **FP32)
    alone = tcnfast.scan(path, model, tmp_path / "alone", **options)
    tcnfast.scan(path, model, out, cluster="ray", workers=2, resume=True, **options)
    assert files_in(out) == files_in(alone.path)


def test_a_worker_larger_than_every_node_is_refused(nodes, fasta, model, out, monkeypatch):
    """Ray would wait for such a node."""
    monkeypatch.setattr(scan_genome, "threads_of", lambda run: 64)
    with pytest.raises(TcnfastError, match="takes 64 processors, the largest node has 1; threads"):
        tcnfast.scan(fasta, model, out, **ON_RAY)


def test_receipts_are_small(nodes, fasta, model, out, monkeypatch):
    sizes = []
    get = ray.get

    def spy(what, *args, **words):
        value = get(what, *args, **words)
        if isinstance(value, dict):
            sizes.append(len(ray.cloudpickle.dumps(value)))
        return value

    monkeypatch.setattr(ray, "get", spy)
    tcnfast.scan(fasta, model, out, workers=1, **ON_RAY)
    assert len(sizes) >= 5 and max(sizes) < 1000


def test_attributions_and_evaluations_on_the_same_list(
    nodes, lesson, tmp_path, pool, losses, caplog, monkeypatch
):
    """The bytes of one process, though a worker is killed."""
    labels = ["CTCF@here", "MAX@here", "other"]
    calling_model(labels=labels).save(tmp_path / "m")
    bed = tmp_path / "regions.bed"
    bed.write_text("".join(f"chr1\t{at}\t{at + 10}\n" for at in range(500, 20_000, 50)))
    given = lesson / "g.fa", tmp_path / "m"
    sites = dict(bed=str(bed), method="gradient", device="cpu")
    alone = tcnfast.attribute(*given, tmp_path / "a", **sites)
    pool(2, lambda engine, worker, unit: os.kill(process_of(engine, worker), signal.SIGKILL))
    many = tcnfast.attribute(*given, tmp_path / "b", cluster="ray", workers=2, **sites)
    assert files_in(many.path) == files_in(alone.path)
    assert len(losses) == 1 and "windows" in caplog.text.partition("; again: ")[2]
    data = dict(genome=str(lesson / "g.fa"), peaks=str(lesson / "peaks.bed"))
    data |= dict(split=str(lesson / "split.json"), resamples=5, device="cpu", precision="fp32")
    tcnfast.evaluate(None, tmp_path / "m", tmp_path / "c", **data)
    tcnfast.evaluate(None, tmp_path / "m", tmp_path / "d", cluster="ray", workers=2, **data)
    assert files_in(tmp_path / "d") == files_in(tmp_path / "c")


def test_whole_genomes_are_units(nodes, model, tmp_path, pool, losses, caplog):
    """With more than four for each worker; one whose worker is killed is scanned again, and one
    that cannot be read is named."""
    rows = ["name\tpath"]
    for number in range(9):
        path = tmp_path / f"{number}.fa"
        write_fasta(path, {"chr1": random_letters(40_000, number)})
        rows.append(f"g{number}\t{path}")
    path.write_text(">chr1\n???\n")
    (tmp_path / "t.tsv").write_text("\n".join(rows) + "\n")
    given = dict(genomes=tmp_path / "t.tsv", **FP32)
    with pytest.raises(TcnfastError, match="1 of 9 genomes failed"):
        tcnfast.scan(None, model, tmp_path / "a", **given)
    pool(3, lambda engine, worker, unit: os.kill(process_of(engine, worker), signal.SIGKILL))
    with pytest.raises(TcnfastError, match="1 of 9 genomes failed, .*g8"):
        tcnfast.scan(None, model, tmp_path / "b", cluster="ray", workers=2, **given)
    assert len(losses) == 1 and "; again: genome g" in caplog.text
    for number in range(8):
        ours, theirs = (tmp_path / side / f"g{number}" for side in "ba")
        assert files_in(ours) == files_in(theirs)


def test_a_cluster_of_its_own_leaves_nothing(fasta, model, out, tmp_path, monkeypatch, scanned):
    """No token and no settings in the home folder, nothing among temporary files."""
    home, temporary = tmp_path / "home", Path("/tmp") / f"r{os.getpid()}"
    home.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv(ray_engine.ADDRESS, raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ray_engine.QUIET:
        monkeypatch.delenv(name, raising=False)
    try:
        tcnfast.scan(fasta, model, out, tracks=TRACKS, workers=1, **ON_RAY)
        assert files_in(out) == files_in(scanned.path)
        assert list(home.iterdir()) == [] and list(temporary.iterdir()) == []
    finally:
        subprocess.run(["rm", "-rf", temporary], check=True)
