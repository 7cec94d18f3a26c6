"""``tcnfast attribute``: regions of all kinds to a folder; what cannot be done is said in words."""

import json

import numpy as np
import pyBigWig
import pytest
from sklearn.metrics import roc_auc_score
from support.cli import assert_nothing_written, fails, scan_words
from support.planted import LABELS
from support.scan import GAP, SIZES, files_in, read_rows

from tcnfast.attribute import attribution_files, methods
from tcnfast.attribute.attribution_folder import COLUMNS, AttributionFolder
from tcnfast.attribute.attributions import Attributions, projected
from tcnfast.attribute.integrated_gradients import integrated_gradients
from tcnfast.attribute.mutagenesis import Mutagenesis
from tcnfast.attribute.networks import Networks
from tcnfast.base.errors import TcnfastError
from tcnfast.genome.genome import Genome
from tcnfast.model.load_model import load_model

REGIONS = [
    ("chr20", 1_000, 1_200),
    ("chr20", 1_030, 1_190),  # overlaps the first
    ("chr20", 0, 10),  # its window begins before the contig
    ("chr21", 70_000, 70_017),  # and ends behind it
    ("chr20", GAP[0] - 20, GAP[0] + 10),  # N in it
    ("chr20", 1_000, 1_200),  # the first again
]


@pytest.fixture(name="bed")
def fixture_bed(tmp_path):
    path = tmp_path / "regions.bed"
    path.write_text("".join(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in REGIONS))
    return path


@pytest.fixture(autouse=True)
def no_seqlets(monkeypatch, request):
    """Compiling their caller takes seconds; one test does."""
    if "seqlets" not in request.node.name:
        monkeypatch.setattr(attribution_files, "why_no_seqlets", lambda: "not here")


def words(home, *more, out="out"):
    return ["attribute", "-g", home / "genome.fa", "-m", home / "model", "-o", out, *more]


def test_regions_of_all_kinds(home, run, bed, tmp_path):
    code, out, err = run(*words(home, "-b", bed, "-t", "REST,CTCF@K562", "--steps", 40))
    assert (code, out) == (0, ""), err
    assert "2 are there more than once" not in err and "1 are there more than once" in err
    assert "2 reach beyond the end of a contig" in err and "3 hold N" in err
    assert "completeness gap" in err and "no seqlets will be called" in err
    network = load_model(home / "model")
    half = network.receptive_field // 2
    got = Attributions.open(tmp_path / "out" / "REST.npz")
    assert got.label == "REST" and got.method == "integrated gradients, 40 steps from zeros"
    assert got.chrom.tolist() == [region[0] for region in REGIONS]
    assert got.centre.tolist() == [(start + end) // 2 for _, start, end in REGIONS]
    with Genome(home / "genome.fa") as genome:
        for row, (chrom, start, end) in enumerate(REGIONS):
            first = (start + end) // 2 - half
            codes = genome.codes(chrom, first, first + 2 * half + 1)
            assert np.array_equal(got.codes[row], codes)
    label = network.labels.index("REST")
    wanted = integrated_gradients(Networks(network, device="cpu"), got.codes, [label], steps=40)[0]
    np.testing.assert_allclose(got.hypothetical, wanted.hypothetical, atol=1e-5)
    np.testing.assert_allclose(got.logit, wanted.logit, atol=1e-5)
    rows = read_rows(tmp_path / "out" / "attributions.tsv")
    assert rows[0] == list(COLUMNS) and len(rows) == 1 + 2 * len(REGIONS)
    assert [row[0] for row in rows[1:]] == ["REST"] * 6 + ["CTCF@K562"] * 6
    assert rows[3][1:5] == ["chr20", "0", "10", "5"]
    np.testing.assert_allclose([float(row[5]) for row in rows[1:7]], wanted.logit, rtol=1e-4)
    assert max(abs(float(row[6])) for row in rows[1:]) < 0.2
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["key"]["method"] == "ig" and record["windows"] == {"REST": 6, "CTCF@K562": 6}


def test_the_track_is_the_mean_of_windows_base_by_base(home, run, bed, tmp_path):
    assert run(*words(home, "-b", bed, "-t", "REST", "--method", "gradient"))[0] == 0
    got = Attributions.open(tmp_path / "out" / "REST.npz")
    values = got.projected.astype(np.float64)
    total, count = {}, {}
    for row in range(len(got)):
        for at in np.flatnonzero(got.codes[row] < 4):
            base = got.chrom[row], int(got.start[row] + at)
            total[base] = total.get(base, 0) + values[row, at]
            count[base] = count.get(base, 0) + 1
    with pyBigWig.open(str(tmp_path / "out" / "tracks" / "REST.bw")) as track:
        assert track.chroms() == {name: size for name, size in SIZES.items()}
        written = 0
        for chrom in ("chr20", "chr21"):
            for start, end, value in track.intervals(chrom):
                assert end == start + 1 and (chrom, start) in total
                assert value == pytest.approx(total[chrom, start] / count[chrom, start], abs=1e-5)
                written += 1
    assert written == len(total) and max(count.values()) == 3


@pytest.mark.parametrize("method", ["ig", "ism", "gradient"])
def test_the_size_of_batches_changes_nothing(home, run, bed, tmp_path, monkeypatch, method):
    more = ["-b", bed, "-t", "MAX@K562", "--method", method, "--steps", 3]
    assert run(*words(home, *more, out="a"))[0] == 0
    monkeypatch.setitem(methods.BATCH, method, 4)
    assert run(*words(home, *more, out="b"))[0] == 0
    a, b = (Attributions.open(tmp_path / name / "MAX@K562.npz") for name in "ab")
    np.testing.assert_allclose(a.hypothetical, b.hypothetical, atol=1e-6)
    assert (np.abs(a.hypothetical).max((1, 2)) > 0).all()


def test_calls_of_a_scan(home, run, tmp_path):
    """Best first; the windows are those the scan scored; a label without calls is left out."""
    assert run(*scan_words(home, "scan", "-q", "--precision", "fp32"))[0] == 0
    (tmp_path / "scan" / "peaks" / "REST.narrowPeak").write_text("")
    code, _, err = run(*words(home, "--scan", "scan", "--top", 4, "--method", "ism"))
    assert code == 0 and "1 label without a call in scan left out: REST" in err
    calls = [row for row in read_rows(tmp_path / "scan" / "peaks" / "CTCF@K562.narrowPeak")]
    best = sorted(calls, key=lambda row: -float(row[6]))[:4]
    got = Attributions.open(tmp_path / "out" / "CTCF@K562.npz")
    assert got.centre.tolist() == [int(row[1]) + int(row[9]) for row in best]
    probability = 1 / (1 + np.exp(-got.logit))
    np.testing.assert_allclose(probability, [float(row[6]) for row in best], atol=2e-4)
    labels = {row[0] for row in read_rows(tmp_path / "out" / "attributions.tsv")[1:]}
    assert labels == {"CTCF@K562", "MAX@K562"}
    code, _, err = run(*words(home, "--scan", "scan", "-t", "REST", out="none"))
    assert code == 1 and "--scan scan: no call of REST" in err


def test_the_folder_is_read_in_one_place(home, run, bed, tmp_path, monkeypatch):
    """Labels and places without a look at the arrays."""
    assert run(*words(home, "-b", bed, "-t", "REST,CTCF@K562", "--method", "gradient"))[0] == 0
    folder = AttributionFolder(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(np, "load", None)
        assert folder.windows == {"REST": 6, "CTCF@K562": 6} and folder.labels[0] == "REST"
        assert folder.method == "gradient, simplex-corrected"
        assert folder.settings["strand"] == "both" and folder.settings["top"] is None
        regions = folder.regions[folder.regions["label"] == "REST"]
    assert tuple(regions.columns) == COLUMNS and regions["completeness_gap"].isna().all()
    assert list(zip(regions["chrom"], regions["start"], regions["end"], strict=True)) == REGIONS
    arrays = folder.attributions("CTCF@K562")
    assert arrays.label == "CTCF@K562" and folder.files("REST").track.exists()
    with pytest.raises(TcnfastError, match="no attributions of 'MAX@K562'; it has REST, CTCF"):
        folder.attributions("MAX@K562")
    with pytest.raises(TcnfastError, match="seqlets/REST.bed: cannot be read"):
        folder.seqlets("REST")
    for other, complaint in ((home / "model", "no run.json"), (tmp_path / "no", "no such folder")):
        with pytest.raises(TcnfastError, match=complaint):
            AttributionFolder(other)


def test_a_run_that_was_stopped_goes_on(home, run, bed, tmp_path, monkeypatch):
    monkeypatch.setitem(methods.TOGETHER, "ig", 1)
    more = ["-b", bed, "--steps", 2]
    assert run(*words(home, *more, out="whole"))[0] == 0
    explained = []
    method = methods.TCNExplainer.path_gradients

    def stop(job, codes, labels):
        explained.append(labels)
        if labels == [1]:
            raise RuntimeError("stopped")
        return method(job, codes, labels)

    monkeypatch.setattr(methods.TCNExplainer, "path_gradients", stop)
    code, _, err = run(*words(home, *more))
    assert code == 1 and "go on with --resume" in err and not (tmp_path / "out").exists()
    monkeypatch.setattr(methods.TCNExplainer, "path_gradients", method)
    code, _, err = run(*words(home, *more, "--resume"))
    assert code == 0 and "1 label there already" in err
    whole, resumed = (files_in(tmp_path / name) for name in ("whole", "out"))
    assert whole.keys() == resumed.keys()
    table = "attributions.tsv"
    assert whole[table] == resumed[table]
    assert run(*words(home, *more, "--resume"))[0] == 0  # complete
    fails(run(*words(home, *more)), "exists")


@pytest.mark.slow
def test_seqlets_are_the_stretches_that_stand_out(planted, tmp_path):
    pytest.importorskip("tangermeme")
    attributions = planted.attributions("SINGLE")
    path = tmp_path / "seqlets.bed"
    count = attribution_files.write_seqlets(path, attributions)
    rows = read_rows(path)
    assert len(rows) == count and len({tuple(row[:3]) for row in rows}) == count
    assert [row[0] for row in rows] == ["planted"] * count and {row[3] for row in rows} == {
        "SINGLE"
    }
    best = sorted(rows, key=lambda row: -float(row[4]))[:80]
    truth = {
        int(attributions.start[row] + at)
        for row, at in zip(*np.nonzero(planted.truth("SINGLE")), strict=True)
    }
    hits = [any(at in truth for at in range(int(row[1]), int(row[2]))) for row in best]
    assert np.mean(hits) > 0.95


@pytest.mark.parametrize("method", ["ig", "ism"])
def test_planted_bases_come_first(planted, method):
    """AUROC over the bases of bound windows."""
    mutagenesis = Mutagenesis(Networks(planted.model, device="cpu"))
    found = {}
    for at, label in enumerate(LABELS):
        attributions = planted.attributions(label, 40)
        values = attributions.projected
        if method == "ism":
            explained = mutagenesis.explain(attributions.codes, [at])[0]
            values = projected(explained.hypothetical, attributions.codes)
        found[label] = roc_auc_score(planted.truth(label, 40).ravel(), values.ravel())
    assert min(found.values()) >= 0.95, found


def test_a_planted_repressor_takes_away(planted):
    rows = planted.of("ACTIVATOR", "REPRESSOR")[:30]
    codes, site = planted.codes[rows], planted.site[rows]
    mutagenesis = Mutagenesis(Networks(planted.model, device="cpu"))
    explained = mutagenesis.explain(codes, [LABELS.index("REPRESSED")])[0]
    values = projected(explained.hypothetical, codes)
    assert roc_auc_score(site.ravel(), np.abs(values).ravel()) >= 0.95
    planted_values = values[site]
    assert (planted_values < 0).mean() > 0.3 and (planted_values > 0).mean() > 0.3


MISTAKES = {
    "no regions": (["-t", "REST"], 2, "give --bed or --scan"),
    "label": (["-b", "ok.bed", "-t", "NOPE"], 1, "the model has no label 'NOPE'; tcnfast labels"),
    "beyond": (["-b", "beyond.bed"], 1, "beyond.bed:1: end 100900 lies beyond chr20"),
    "contig": (["-b", "contig.bed"], 1, "contig '20' is called 'chr20' in the genome"),
    "empty": (["-b", "empty.bed"], 1, "empty.bed:1: no intervals"),
    "missing": (["-b", "none.bed"], 1, "none.bed: no such file"),
    "scan": (["--scan", "."], 1, ".: is no output of tcnfast scan"),
}


@pytest.mark.parametrize(("more", "status", "complaint"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_said_before_anything_is_written(home, run, tmp_path, more, status, complaint):
    beds = {
        "ok.bed": "chr20\t10\t20\n",
        "beyond.bed": "chr20\t100800\t100900\n",
        "contig.bed": "20\t10\t20\n",
        "empty.bed": "# nothing\n",
    }
    for name, text in beds.items():
        (tmp_path / name).write_text(text)
    code, _, err = run(*words(home, *more))
    assert code == status and complaint in err and "Traceback" not in err, err
    assert_nothing_written(tmp_path, *beds)


def test_arrays_of_many_windows_are_not_held_in_memory(home, run, tmp_path, monkeypatch):
    """What is passed on to be written lies on the disk."""
    lines = [f"chr20\t{start}\t{start + 30}\n" for start in range(500, 30_500, 100)]
    (tmp_path / "many.bed").write_text("".join(lines))
    seen = []
    save = Attributions.save

    def spy(attributions, path):
        seen.append((type(attributions.hypothetical), type(attributions.codes)))
        save(attributions, path)

    monkeypatch.setattr(Attributions, "save", spy)
    assert run(*words(home, "-b", "many.bed", "-t", "REST", "--method", "gradient"))[0] == 0
    assert seen == [(np.memmap, np.memmap)]
    assert len(Attributions.open(tmp_path / "out" / "REST.npz")) == 300
