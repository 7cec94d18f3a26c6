"""``--shard`` and ``tcnfast merge`` of attributions and evaluations: the bytes of one process, or
one clear line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.cli import data_words, fails, refused
from support.cluster import Here
from support.scan import calling_model, files_in, run_record_of

import tcnfast
from tcnfast.attribute import attribution_files, methods, window_parts
from tcnfast.base.errors import TcnfastError
from tcnfast.evaluate import score_parts
from tcnfast.scan import part_files
from tcnfast.scan.exchange import Exchange
from tcnfast.scan.part_files import Part, PartWorker
from tcnfast.scan.shard_folder import ShardFolder

REGIONS = [("chr20", 1000 + 300 * i, 1200 + 300 * i) for i in range(7)]
EXACT = ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Two windows, or a few hundred steps, to a part."""
    monkeypatch.setattr(attribution_files, "why_no_seqlets", lambda: "not here")
    monkeypatch.setitem(methods.BATCH, "gradient", 2)
    monkeypatch.setattr(window_parts, "WINDOWS", 2)
    monkeypatch.setattr(score_parts, "segment_length", lambda plan: 200 * plan.stride)


@pytest.fixture(name="bed")
def fixture_bed(tmp_path):
    path = tmp_path / "regions.bed"
    path.write_text("".join(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in REGIONS))
    return path


def attribute(home, bed, out, *more):
    where = ["attribute", "-g", home / "genome.fa", "-m", home / "model", "-o", out]
    return [*where, "-b", bed, "-t", "REST,CTCF@K562", "--method", "gradient", *more]


def same(out, other):
    ours, theirs = run_record_of(out), run_record_of(other)
    for record in (ours, theirs):
        for name in ("seconds", "threads"):
            record.pop(name)
    return files_in(out) == files_in(other) and ours == theirs


def test_shards_of_an_attribution_are_one(home, run, bed, tmp_path):
    for out, more in (("a", []), ("1", ["--shard", "1/3"]), ("2", ["--shard", "2/3"])):
        code, _, err = run(*attribute(home, bed, out, *more))
        assert code == 0, err
    fails(run("merge", "1", "2", "-o", "m"), "of 3 shards there is no 3")
    code, _, err = run(*attribute(home, bed, "3", "--shard", "3/3"))
    assert code == 0 and "shard 3/3 in" in err and "merge puts all 3 together" in err
    held = [len(list((tmp_path / name).glob("part.*.npz"))) for name in "123"]
    assert held == [3, 3, 2]  # seven windows in four parts, of two labels
    code, _, err = run("merge", "3", "1", "2", "-o", "m")
    assert code == 0 and same(tmp_path / "m", tmp_path / "a"), err


def test_parts_through_a_store(home, run, bed, tmp_path, monkeypatch):
    """A shard at a URL, and a worker that does not see the output."""
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    url = f"file://{tmp_path}/store"
    for number in "12":
        code, _, err = run(*attribute(home, bed, f"{url}/{number}", "--shard", f"{number}/2"))
        assert code == 0 and f"shard {number}/2 in {url}/{number}; " in err
    assert run(*attribute(home, bed, "a"))[0] == 0
    assert run("merge", f"{url}/*", "-o", "m")[0] == 0 and same(tmp_path / "m", tmp_path / "a")

    class Apart(Here):
        def changed(self, told):
            return replace(told, exchange=replace(told.exchange, work=Path("/nowhere")))

    monkeypatch.setattr(part_files, "RayEngine", Apart)
    through = ["--cluster", "ray", "--store", f"{url}/run"]
    code, _, err = run(*attribute(home, bed, "c", *through))
    assert code == 0 and same(tmp_path / "c", tmp_path / "a"), err
    assert not list((tmp_path / "store" / "run").rglob("*.npz"))


def test_a_shard_goes_on_after_its_last_part(home, run, bed, tmp_path, monkeypatch):
    done = PartWorker.do
    left = iter(range(2))

    def stop(worker, part):
        if next(left, None) is None:
            raise KeyboardInterrupt
        done(worker, part)

    with monkeypatch.context() as patch:
        patch.setattr(PartWorker, "do", stop)
        code, _, err = run(*attribute(home, bed, "1", "--shard", "1/2"))
    assert code == 130 and "what is finished is kept" in err
    assert len(list((tmp_path / "1.partial").glob("part.*.npz"))) == 2
    for words in (["--shard", "1/2", "--resume"], ["--shard", "2/2"]):
        assert run(*attribute(home, bed, words[1][0], *words))[0] == 0
    assert run(*attribute(home, bed, "a"))[0] == 0
    assert run("merge", "1", "2", "-o", "m")[0] == 0
    assert same(tmp_path / "m", tmp_path / "a")


def test_what_does_not_go_together(home, run, bed, tmp_path):
    for number in "12":
        run(*attribute(home, bed, number, "--shard", f"{number}/2"))
    run(*attribute(home, bed, "other", "--top", 3, "--shard", "2/2"))
    fails(run("merge", "1", "other", "-o", "m"), "is a shard of another attribution", "top differs")
    fails(run("merge", "1", "1", "-o", "m"), "is shard 1/2, as", "give one")
    fails(run("motifs", "1", "-o", "m"), "no output of tcnfast attribute")
    (tmp_path / "2" / "part.000003.npz").unlink()
    code, _, err = run("merge", "1", "2", "-o", "m")
    assert code == 1 and "2: is damaged, REST, windows 7 to 7 is missing" in err
    calling_model(channels=6).save(tmp_path / "model")
    code, _, err = run("merge", "1", "2", "-m", "model", "-o", "m")
    assert code == 1 and "the attribution cannot be finished" in err and "model differs" in err


@pytest.fixture(name="models", scope="module")
def fixture_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    labels = ["CTCF@here", "MAX@here", "other"]
    calling_model(labels=labels).save(folder / "small")
    calling_model(labels=labels[::-1][:2]).save(folder / "rival")
    return folder


def test_shards_of_an_evaluation_are_one(lesson, models, run, tmp_path):
    """Of two models; the table on stdout too."""
    words = ["evaluate", *data_words(lesson), "-m", models / "small", *EXACT]
    words += ["--against", models / "rival", "--resamples", 20]
    code, table, err = run(*words, "-o", "a")
    assert code == 0, err
    assert "no intervals" in err and "nan]" not in err
    assert "-AP minus that of rival, 2 labels: " in err
    for number in "12":
        code, out, err = run(*words, "-o", number, "--shard", f"{number}/2")
        assert (code, out) == (0, ""), err
    assert len(list((tmp_path / "1").glob("part.*.npz"))) >= 2
    assert ShardFolder(tmp_path / "1").verb == "evaluate"
    code, out, err = run("merge", "2", "1", "-o", "m")
    assert code == 0 and same(tmp_path / "m", tmp_path / "a"), err
    refused(run("merge", "2", "1", "--resume", "--force", "-o", "m"), "give one of the two")
    fails(run("merge", "2", "1", "--resume", "-o", "n"), "merged at once")
    fails(run(*words, "--shard", "1/2"), "--shard needs -o")


def test_a_shard_of_an_evaluation_goes_on_after_its_last_part(
    lesson, models, run, tmp_path, monkeypatch
):
    words = ["evaluate", *data_words(lesson), "-m", models / "small", *EXACT, "--resamples", 20]
    assert run(*words, "-o", "a")[0] == 0
    done, count = PartWorker.do, []

    def stop(worker, part):
        if len(count) == 1:
            raise KeyboardInterrupt
        done(worker, part)
        count.append(part.number)

    with monkeypatch.context() as patch:
        patch.setattr(PartWorker, "do", stop)
        code, _, err = run(*words, "-o", "1", "--shard", "1/2")
    assert code == 130 and "what is finished is kept" in err
    first = count.copy()
    monkeypatch.setattr(PartWorker, "do", lambda *of: done(*of) or count.append(of[1].number))
    other = run(*words, "-o", "1", "--shard", "1/2", "--resume", "--stride", 64)
    fails(other, "was left by a run with other inputs or settings")
    assert run(*words, "-o", "1", "--shard", "1/2", "--resume")[0] == 0
    assert count.count(first[0]) == 1 and len(count) > 1 and len(set(count)) == len(count)
    code, _, err = run(*words, "-o", "1", "--shard", "1/2", "--resume")
    assert code == 0 and "is complete already" in err
    assert run(*words, "-o", "2", "--shard", "2/2")[0] == 0
    assert run("merge", "1", "2", "-o", "m")[0] == 0
    assert same(tmp_path / "m", tmp_path / "a")
    fails(run(*words, "-o", "b", "--resume"), "--resume goes on with a --shard")


def test_the_work_of_another_run_is_not_touched(tmp_path):
    """A worker that comes back late to a folder in which another run has begun."""

    class Maker:
        ran = None

        def arrays(self, part):
            return {"x": np.arange(3)}

    (tmp_path / "key.json").write_text(json.dumps({"run": 1}))
    worker = PartWorker(Maker(), Exchange.of(tmp_path, None))
    part = Part(4, "part 4", (), 1)
    worker.do(part)
    assert np.load(part.file(tmp_path))["x"].tolist() == [0, 1, 2]
    (tmp_path / "key.json").write_text(json.dumps({"run": 2}))
    late = Part(5, "part 5", (), 1)
    with pytest.raises(TcnfastError, match="another run has begun there since"):
        worker.do(late)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.json", "part.000004.npz"]


def test_python(home, bed, tmp_path):
    """The same from Python."""
    given = home / "genome.fa", home / "model"
    how = dict(bed=str(bed), targets=["REST"])
    how |= dict(method="gradient", device="cpu")
    whole = tcnfast.attribute(*given, tmp_path / "a", **how)
    shards = [
        tcnfast.attribute(*given, tmp_path / f"{i}", shard=(i, 2), **how).path for i in (1, 2)
    ]
    assert files_in(tcnfast.merge(shards, out=tmp_path / "m").path) == files_in(whole.path)
