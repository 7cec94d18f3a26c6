"""What a scan says of its calls: which labels are called, what is expected of them, and where."""

import logging

import numpy as np
import pytest
from support.ladders import calls_of, ladder
from support.pieces import letters
from support.scan import FP32, LABELS, calling_model, files_in, run_record_of, write_fasta

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import encode
from tcnfast.genome.genome import Region
from tcnfast.model.home_genome import HomeGenome

GRADES = dict(zip(LABELS, "ABD", strict=True))


def steps(threshold, **change):
    """A ladder whose second rung is a threshold that calls something."""
    logit = np.log(threshold / (1 - threshold))
    rungs = 1 / (1 + np.exp(-(logit + np.array([-1.0, 0.0, 1.0, 2.0]))))
    return ladder(threshold=rungs, **change)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a model with ladders and grades that knows human sequence."""
    model = calling_model()
    at = {label: model.thresholds[label].threshold for label in LABELS}
    half = dict(precision=(0.4, 0.5, 0.7, 0.8))
    ladders = [
        steps(at[LABELS[0]], label=LABELS[0], **half),
        steps(at[LABELS[1]], label=LABELS[1], **half),
        steps(at[LABELS[2]], label=LABELS[2], precision=(0.1, 0.2, 0.25, 0.3)),
    ]
    inside = [steps(at[LABELS[0]], label=LABELS[0], precision=(0.6, 0.7, 0.8, 0.9))]
    model.calls = calls_of(ladders, GRADES.values(), inside)
    human = encode(letters("hg19.chr20"))
    regions = [Region("chr20", 0, 60_000)]
    sizes = {"chr20": 63_025_520}
    model.home = HomeGenome.of(sizes, lambda _, a, b: human[a:b], regions, regions)
    folder = tmp_path_factory.mktemp("models") / "graded"
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def human(tmp_path_factory):
    return write_fasta(tmp_path_factory.mktemp("g") / "x.fa", {"x": letters("hg19.chrX")})


def test_labels_of_grade_d_are_called_where_they_are_named(human, model, tmp_path):
    scan = tcnfast.scan(human, model, tmp_path / "scan", **FP32)
    assert scan.labels == LABELS[:2] and run_record_of(scan.path)["left_out_labels"] == LABELS[2:]
    assert not any(LABELS[2] in name for name in files_in(scan.path))
    named = tcnfast.scan(human, model, tmp_path / "named", targets="rest", tracks="all", **FP32)
    assert named.labels == [LABELS[2]] and list(named.tracks) == LABELS
    grades = dict(zip(scan.summary["label"], scan.summary["grade"], strict=True))
    assert grades == {label: GRADES[label] for label in LABELS[:2]}
    # a precision decides by itself
    asked = tcnfast.scan(human, model, tmp_path / "asked", cutoff="precision=0.2", **FP32)
    assert asked.labels == LABELS


def test_first_and_last_lines(human, model, out, run_scan):
    text = run_scan(human, "-m", model, "-o", out)
    assert "trained on human hg19 (chr20)" in text and "WARNING" not in text
    assert " are expected to be right: calls that touch a peak of their label" in text
    assert "measured on validation regions of hg19 chr20" in text
    assert "what raises that: --within open chromatin, --cutoff precision=0.7 or higher" in text
    assert "1 label of grade D left out" in text and "--targets calls those" in text


@pytest.fixture
def run_scan(capsys):
    """run_scan(*words): what the command said."""
    from tcnfast.cli import main

    def run(*words):
        assert main(["scan", *map(str, words), "--device", "cpu", "--precision", "fp32"]) == 0
        return capsys.readouterr().err

    return run


def test_expected_precision_is_that_of_the_ladder(human, model, tmp_path):
    for rule, want in (("precision=0.5", 0.5), ("precision=0.6", 0.6), ("recall=0.5", 0.6)):
        options = dict(cutoff=rule, targets=LABELS[0], **FP32)
        scan = tcnfast.scan(human, model, tmp_path / rule, **options)
        row = scan.summary.iloc[0]
        assert row["expected_precision"] == pytest.approx(want, abs=1e-3)
        assert row["precision_low"] == pytest.approx(want - 0.1, abs=1e-3)
        assert row["relaxed_precision"] == pytest.approx(want + 0.05, abs=1e-3)
        assert scan.record["expected_precision_of"].startswith("calls that touch a peak")
    with pytest.raises(TcnfastError, match="no label reached it"):
        tcnfast.scan(human, model, tmp_path / "x", cutoff="fdr=0.05", **FP32)


def test_within_open_chromatin_what_was_measured_there(human, model, tmp_path):
    (tmp_path / "open.bed").write_text("x\t1000\t50000\nchr9\t5\t90\n")
    options = dict(within=str(tmp_path / "open.bed"), cutoff="precision=0.5", **FP32)
    scan = tcnfast.scan(human, model, tmp_path / "scan", **options)
    rows = scan.summary[scan.summary["chrom"] == "all"].set_index("label")
    assert rows.loc[LABELS[0], "expected_precision"] == pytest.approx(0.6), "the lowest rung there"
    assert np.isnan(rows.loc[LABELS[1], "expected_precision"]), "was not measured in there"
    assert "in open chromatin" in scan.record["expected_precision_of"]


@pytest.mark.parametrize("of", ["ecoli536", "shuffled"])
def test_of_another_genome_nothing_is_expected(model, tmp_path, of, run_scan):
    data = letters("ecoli536" if of != "shuffled" else "hg19.chrX")
    if of == "shuffled":
        data = bytes(np.random.default_rng(0).permutation(list(data)).astype(np.uint8))
    path = write_fasta(tmp_path / "other.fa", {"chr20": data})
    text = run_scan(path, "-m", model, "-o", tmp_path / "scan", "--cutoff", "precision=0.5")
    warning = "is not like that of human hg19 (GC 0."
    assert "WARNING: this sequence" in text.splitlines()[2] and text.count(warning) == 2
    assert "how many of them are right is not known: this sequence" in text
    scan = tcnfast.scan(path, model, tmp_path / "again", cutoff="precision=0.5", **FP32)
    assert scan.summary[["expected_precision", "precision_low", "percentile"]].isna().all(axis=None)
    assert warning in scan.record["warnings"][0] and scan.record["expected_precision_of"] == ""
    assert np.isnan(scan.calls(LABELS[0])["percentile"]).all()


@pytest.mark.parametrize("what", ["masked", "short"])
def test_human_in_lower_case_or_short_is_no_stranger(model, tmp_path, what, run_scan):
    data = letters("hg19.chr20")
    data = data[:2_000] if what == "short" else data[:9_000] + data[9_000:50_000].lower()
    path = write_fasta(tmp_path / "x.fa", {"20": data})
    text = run_scan(path, "-m", model, "-o", tmp_path / "scan")
    assert "WARNING" not in text


def test_calls_made_in_another_way_than_measured_have_no_expectation(human, model, out, caplog):
    with caplog.at_level(logging.INFO):
        scan = tcnfast.scan(human, model, out, strand="+", **FP32)
    assert scan.summary["expected_precision"].isna().all()
    assert "no expected precision: it was measured with the default strand" in caplog.text


def test_percentiles_compare_calls_of_labels(human, model, out):
    scan = tcnfast.scan(human, model, out, **FP32)
    for label in scan.labels:
        calls = scan.calls(label).sort_values("probability")
        found = calls["percentile"].to_numpy()
        assert len(found) and (np.diff(found) >= 0).all() and 95 <= found.min() < found.max() < 100
    rows = scan.summary.set_index("label").loc[LABELS[0]]
    assert (rows["percentile"] <= scan.calls(LABELS[0])["percentile"].min() + 0.01).all()
