"""The pool that hands stretches out, with an engine that does what a test says."""

import logging
import sys
from collections import deque

import pytest
from support.cluster import Here
from support.scan import FP32, calling_model, random_letters, write_fasta

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import Run
from tcnfast.cli import main
from tcnfast.scan import ray_engine, scan_genome, work_pool
from tcnfast.scan.pieces import Stretch
from tcnfast.scan.stages import Stages
from tcnfast.scan.stretch_worker import Ran
from tcnfast.scan.work_pool import Event, WorkPool

RAN = Ran("cpu", "cpu", "fp32", "avx2", False, "1.0")
STRETCHES = [Stretch(i, f"chr{i}", 0, 8, 8) for i in range(5)]


class Acting:
    """``does(worker, stretch, nth time)``: "finished", "lost", "hangs", or an error to raise."""

    def __init__(self, workers=2, tries=4, does=lambda *_: "finished", ran=RAN):
        self.tries, self.does, self.ran = tries, does, ran
        self.names = [f"w{i}" for i in range(workers)]
        self.told, self.given, self.replaced, self.closed = deque(), [], [], False

    def start(self):
        for name in self.names:
            self.begin(name)

    def begin(self, name):
        self.told += [Event(name, "runs", (self.ran,)), Event(name, "next", ())]

    def give(self, worker, stretch):
        if stretch is None:
            return
        self.given.append((worker, stretch))
        what = self.does(worker, stretch, [row[1] for row in self.given].count(stretch))
        if what == "finished":
            self.told.append(Event(worker, "stages", ({"compute": 1.0},)))
            self.told.append(Event(worker, "finished", (stretch,)))
            self.told.append(Event(worker, "next", ()))
        elif what == "lost":
            self.told.append(Event(worker, "lost", ("it fell over",)))
        elif what != "hangs":
            self.told.append(what)

    def events(self, seconds):
        told, self.told = list(self.told), deque()
        for event in told:
            if isinstance(event, Exception):
                raise event
            yield event

    def replace(self, worker):
        self.replaced.append(worker)
        self.begin(worker)

    def close(self):
        self.closed = True


def run(engine, limit=None, ran=RAN):
    finished, stages = [], Stages()
    pool = WorkPool(engine, STRETCHES, ran, limit)
    try:
        pool.run(lambda *_: None, lambda stretch, *_: finished.append(stretch), stages)
    finally:
        assert engine.closed
    assert sorted(finished) == STRETCHES
    assert stages.seconds["compute"] == len(STRETCHES)
    return [stretch.contig for _, stretch in engine.given]


def test_each_stretch_is_given_out_once():
    assert run(Acting()) == [0, 1, 2, 3, 4]
    assert run(Acting(workers=9)) == [0, 1, 2, 3, 4]


def test_what_a_lost_worker_held_is_given_out_again_first(caplog):
    engine = Acting(does=lambda _, s, n: "lost" if (s.contig, n) == (1, 1) else "finished")
    assert sorted(run(engine)) == [0, 1, 1, 2, 3, 4] and engine.replaced == ["w1"]
    assert "w1 is lost: it fell over; again: chr1, steps 0 to 8" in caplog.text


def test_a_stretch_that_is_lost_with_its_workers_is_named():
    engine = Acting(does=lambda _, s, n: "lost" if s.contig == 3 else "finished")
    with pytest.raises(TcnfastError, match=r"^chr3, .*: lost 4 times .* \(it fell over\)"):
        run(engine)
    assert [s.contig for _, s in engine.given].count(3) == 4


def test_a_worker_that_hangs_is_replaced(monkeypatch):
    """Also where nothing is left to begin and the others wait."""
    monkeypatch.setattr(work_pool, "LOOK", 0.01)
    engine = Acting(does=lambda _, s, n: "hangs" if (s.contig, n) == (4, 1) else "finished")
    assert sorted(run(engine, limit=0.05)) == [0, 1, 2, 3, 4, 4] and len(engine.replaced) == 1


def test_a_worker_that_comes_back_does_no_harm(monkeypatch):
    """What it finished after all is done: it is not told twice."""
    monkeypatch.setattr(work_pool, "LOOK", 0.01)
    engine = Acting(does=lambda _, s, n: "hangs" if (s.contig, n) == (0, 1) else "finished")
    real = engine.replace

    def replace(worker):
        real(worker)
        engine.told.append(Event("w1", "stages", ({"compute": 0.0},)))
        engine.told.append(Event("w1", "finished", (STRETCHES[0],)))

    engine.replace = replace
    assert run(engine, limit=0.05).count(0) == 2


def test_an_error_of_a_worker_ends_the_run():
    engine = Acting(does=lambda *_: OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        run(engine)


def test_workers_that_would_score_differently_are_refused():
    with pytest.raises(TcnfastError, match="^w0: runs cpu fp32 avx2, the first one cpu bf16 amx"):
        run(Acting(), ran=Ran("cpu", "cpu", "bf16", "amx", False, "1.0"))
    with pytest.raises(TcnfastError, match="^w0: has tcnfast 1.0, here is 2.0; install one"):
        run(Acting(), ran=RAN._replace(tcnfast="2.0"))


def test_no_worker_can_be_started(monkeypatch):
    monkeypatch.setattr(work_pool, "STARTS_WITHIN", 0.01)
    monkeypatch.setattr(work_pool, "LOOK", 0.01)
    with pytest.raises(TcnfastError, match="no worker could be started within 0.05 s"):
        run(Acting(workers=0), limit=0.05)


def test_warnings_of_workers_are_heard(caplog):
    engine = Acting()
    engine.told.append(Event("w0", "log", (logging.WARNING, "oh")))
    run(engine)
    assert "oh" in caplog.text


def test_without_ray_the_flag_says_which_extra_brings_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    path = write_fasta(tmp_path / "x.fa", {"chr1": random_letters(4000)})
    calling_model().save(tmp_path / "model")
    words = ["scan", path, "-m", tmp_path / "model", "-o", tmp_path / "scan", "-q"]
    assert main([*map(str, words), "--cluster", "ray"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "tcnfast: error: --cluster ray needs the package ray: pip install 'tcnfast[cluster]'"
    )
    assert not (tmp_path / "scan").exists()


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(workers=2), "workers needs cluster='ray'"),
        (dict(cluster="ray", devices="cpu,cpu"), "cluster and devices: give one of the two"),
        (dict(cluster="spark"), "must be one of ray"),
    ],
)
def test_what_does_not_go_together(options, words):
    with pytest.raises(TcnfastError, match=words):
        Run(**options)


def test_workers_that_differ_from_the_first_are_refused():
    """Where nobody knows beforehand what they run."""
    other = RAN._replace(instructions="avx512")
    engine = Acting()
    engine.begin = lambda name: engine.told.extend(
        [Event(name, "runs", (RAN if name == "w0" else other,)), Event(name, "next", ())]
    )
    with pytest.raises(TcnfastError, match="w1: runs cpu fp32 avx512, the first one cpu fp32 avx2"):
        run(engine, ran=None)


def test_a_long_unit_has_a_long_limit(monkeypatch):
    """A unit of three limits is not taken for lost after one."""
    now = [0.0]
    monkeypatch.setattr(work_pool.time, "monotonic", lambda: now[0])
    engine = Acting(
        workers=1, does=lambda worker, stretch, nth: "hangs" if nth == 1 else "finished"
    )
    events = engine.events

    def later(seconds):
        now[0] += 1.0
        return events(seconds)

    engine.events = later
    times, replace = [], engine.replace

    def noted(worker):
        times.append(now[0])
        replace(worker)

    engine.replace = noted
    pool = WorkPool(engine, STRETCHES[:1], RAN, 10.0, lambda unit: 3.0)
    pool.run(lambda *_: None, lambda *_: None, Stages())
    assert len(times) == 1 and 30 < times[0] < 35


def test_words_of_a_lost_worker_are_short():
    """Ray's first line may be a paragraph."""
    long = "The actor died unexpectedly. " + "Its cause may be one of many things. " * 40
    assert ray_engine._why_lost(Exception(long)) == "The actor died unexpectedly"
    assert len(ray_engine._why_lost(Exception("x" * 900))) == ray_engine.SHORT


@pytest.mark.usefixtures("small_segments")
def test_a_worker_that_comes_back_late_writes_nothing(fasta, model, tmp_path):
    """Into a folder in which another run has begun: its key.json is another."""
    seen = []

    class Late(Here):
        def do(self, stretch):
            seen.append(self.told.exchange.key)
            (self.told.exchange.work / "key.json").write_text("{}")
            return super().do(stretch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_genome, "RayEngine", Late)
        with pytest.raises(TcnfastError, match="another run has begun there since"):
            tcnfast.scan(fasta, model, tmp_path / "late", workers=1, cluster="ray", **FP32)
    assert len(seen) == 1 and len(seen[0]) == 64
