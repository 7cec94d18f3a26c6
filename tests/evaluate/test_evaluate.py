"""``tcnfast evaluate`` from files to its table and its folder."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from support.cli import SITE, assert_nothing_written, data_words, fails, refused
from support.scan import calling_model, files_in, read_rows, run_record_of

from tcnfast.base.errors import TcnfastError
from tcnfast.data.dataset import open_dataset
from tcnfast.engines.plan import Plan
from tcnfast.evaluate import bootstrap, plots
from tcnfast.evaluate.assessment import Windows, assess
from tcnfast.evaluate.evaluation_folder import Curves, EvaluationFolder, EvaluationTables
from tcnfast.evaluate.evaluation_report import Evaluation
from tcnfast.evaluate.floors import Floors
from tcnfast.evaluate.predict import predict
from tcnfast.genome.genome import Genome, Region
from tcnfast.model.calibrate import make_thresholds
from tcnfast.model.grades import calls_words, renewed_card
from tcnfast.model.load_model import load_model
from tcnfast.model.thresholds import Threshold

LABELS = ["CTCF@here", "MAX@here", "other"]
PAGE = ["index.html", "labels.svg", "precision_recall.svg", "reliability.svg"]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EXACT = ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a model, of one that sees further than a label bin and lacks a label, and of one
    in other bins."""
    folder = tmp_path_factory.mktemp("models")
    for name, options in {
        "small": dict(labels=LABELS),
        "wide": dict(labels=LABELS[::-1][:2], blocks=7),
        "other_bin": dict(labels=LABELS, label_bin=100),
    }.items():
        model = calling_model(**options)
        if name == "wide":  # whose logits are too large for thresholds between 0 and 1
            model.thresholds = {x: Threshold(x, 0.5, 0.25, 0.125, 9) for x in model.labels}
        model.save(folder / name)
    return folder


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(bootstrap, "BLOCK", 3_000)  # ten blocks in each part of the lesson


def words_for(lesson, models, *more, model="small"):
    return ["evaluate", *data_words(lesson), "-m", models / model, *EXACT, *more]


def table_of(out):
    header, *rows = (line.split("\t") for line in out.splitlines())
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


@pytest.fixture
def expected(lesson):
    """expected(folder, margin): logits and targets of the validation part, by predict."""

    def expected(folder, margin=None):
        model = load_model(folder)
        with Genome(lesson / "g.fa") as genome:
            dataset = open_dataset(genome, [lesson / "peaks.bed"], labels=model.labels)
            plan = Plan(model, "cpu", "fp32", strand="both")
            return predict(plan, dataset, [Region("chr1", 60_000, 90_000)], margin)

    return expected


def test_the_table_on_stdout(run, lesson, models, small_blocks, expected, tmp_path):
    code, out, err = run(*words_for(lesson, models, "--resamples", 40))
    table = table_of(out)
    assert code == 0 and list(table) == LABELS
    logits, targets = expected(models / "small")
    thresholds = load_model(models / "small").thresholds
    for index, (label, row) in enumerate(table.items()):
        truth, known = targets[:, index] == 1, targets[:, index] < 2
        want = average_precision_score(truth[known], logits[known, index])
        assert float(row["AP"]) == pytest.approx(want, abs=6e-5)
        assert int(row["positives"]) == truth.sum() > 0
        assert float(row["AP_low"]) <= float(row["AP"]) <= float(row["AP_high"])
        p = thresholds[label].threshold
        called = known & (logits[:, index] >= np.log(p / (1 - p)))
        assert float(row["precision"]) == pytest.approx(truth[called].mean(), abs=6e-5)
    assert "macro-AP" in err and "40 resamples of 10 blocks" in err
    assert_nothing_written(tmp_path)


def test_the_folder(run, lesson, models, small_blocks, tmp_path):
    words = words_for(lesson, models, "-o", "made", "--resamples", 20)
    code, out, _ = run(*words)
    made = tmp_path / "made"
    assert code == 0 and [path.name for path in tmp_path.iterdir()] == ["made"]
    assert sorted(files_in(made, but=())) == sorted(
        [*PAGE, "curves.npz", "run.json", "scores.tsv", "summary.json"]
    )
    assert (made / "scores.tsv").read_text() == out
    for name in PAGE[1:]:
        assert ElementTree.parse(made / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    summary = json.loads((made / "summary.json").read_text())
    aps = [float(row["AP"]) for row in table_of(out).values()]
    assert summary["macro"]["ap"]["value"] == pytest.approx(np.mean(aps), abs=1e-4)
    assert summary["macro"]["ap"]["low"] < summary["macro"]["ap"]["high"]
    assert (summary["blocks"], summary["resamples"], summary["left_out"]) == (10, 20, [])
    key = run_record_of(made)["key"]
    assert key["command"] == "evaluate" and (key["part"], key["cutoff"]) == ("valid", "best")
    assert {name for name, _ in key["inputs"]} == {"g.fa", "peaks.bed", "split.json"}

    before = files_in(made)
    assert "made: exists; choose another" in fails(run(*words, "-q"))
    assert files_in(made) == before
    code, again, _ = run(*words, "--force", "-q")
    assert code == 0 and again == out
    assert files_in(made) == before


def test_against_another_model_on_the_same_windows(
    run, lesson, models, small_blocks, expected, tmp_path
):
    more = ("--against", models / "wide", "--resamples", 30, "-o", "made")
    code, out, err = run(*words_for(lesson, models, *more))
    assert code == 0, err
    table = table_of(out)
    assert table["CTCF@here"]["against_AP"] == "nan", "the other model lacks it"
    wide = load_model(models / "wide")
    theirs, targets = expected(models / "wide")
    ours, same = expected(models / "small", wide.receptive_field)
    np.testing.assert_array_equal(targets, same[:, [2, 1]])
    for index, label in enumerate(wide.labels):
        known, column = targets[:, index] < 2, LABELS.index(label)
        truth = targets[known, index] == 1
        want = [
            average_precision_score(truth, theirs[known, index]),
            average_precision_score(truth, ours[known, column]),
        ]
        row = {name: float(x) for name, x in table[label].items() if name != "label"}
        assert [row["against_AP"], row["AP"]] == pytest.approx(want, abs=6e-5)
        assert row["AP_difference"] == pytest.approx(want[1] - want[0], abs=1.2e-4)
        assert row["AP_difference_low"] <= row["AP_difference"] <= row["AP_difference_high"]
        assert 0 < row["AP_difference_p"] <= 1
    summary = json.loads((tmp_path / "made" / "summary.json").read_text())["against"]
    assert summary["labels"] == 2 and set(summary["ap"]) == {"difference", "low", "high", "p"}
    assert "macro-AP minus that of" in err and "2 labels" in err


MEME = """MEME version 4

ALPHABET= ACGT

MOTIF M1 CTCF
letter-probability matrix: alength= 4 w= {width} nsites= 20 E= 0
{rows}

MOTIF M2 nonsense
letter-probability matrix: alength= 4 w= 4 nsites= 20 E= 0
0.97 0.01 0.01 0.01
0.97 0.01 0.01 0.01
0.97 0.01 0.01 0.01
0.97 0.01 0.01 0.01
"""


def test_motifs_beside_each_label(run, lesson, models, small_blocks, tmp_path):
    rows = {x: " ".join("0.97" if y == x else "0.01" for y in "ACGT") for x in "ACGT"}
    text = MEME.format(width=len(SITE), rows="\n".join(rows[x] for x in SITE.decode()))
    (tmp_path / "m.meme").write_text(text)
    more = ("--motifs", "m.meme", "-o", "made", "--resamples", 20)
    code, out, err = run(*words_for(lesson, models, *more))
    assert code == 0, err
    row = table_of(out)["CTCF@here"]
    assert row["named_motif"] == row["best_motif"] == "M1 CTCF"
    # the site is planted under every peak of this label
    assert float(row["named_motif_AP"]) == float(row["best_motif_AP"]) > 0.9
    assert 0 < float(row["CpG_AP"]) < 0.5
    floors = json.loads((tmp_path / "made" / "summary.json").read_text())["floors"]
    assert floors["named_motif"]["above"] <= 2 and floors["best_motif"]["macro_ap"] > 0.3
    assert "best motif of all: macro-AP" in err


def test_the_page_and_its_curves(run, lesson, models, expected, tmp_path):
    assert run(*words_for(lesson, models, "-o", "made", "-q"))[0] == 0
    folder = EvaluationFolder(tmp_path / "made")
    logits, targets = expected(models / "small")
    curves = folder.curves
    assert curves.labels == LABELS and curves.precision.shape == (3, 101)
    for index in range(3):
        known = targets[:, index] < 2
        windows, _, bound = curves.reliability[index].sum(0)
        assert (windows, bound) == (known.sum(), (targets[:, index] == 1).sum())
        # precision at a recall of 1 is that of calling all down to the last bound window
        truth, score = targets[known, index] == 1, logits[known, index]
        called = score >= score[truth].min()
        assert curves.precision[index, -1] == pytest.approx(truth[called].mean())
    page = (tmp_path / "made" / "index.html").read_text()
    shown = re.findall(r'<th scope="row"[^>]*data-value="([^"]+)"', page)
    best = folder.scores.sort_values("AP", ascending=False)["label"].tolist()
    assert shown == best and page.count('class="chart"') == 3
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)


def test_curves_that_do_not_fit_are_told(tmp_path):
    good = Curves(
        ["a"], np.ones(1, bool), np.arange(3.0), np.ones((1, 3)), np.arange(4.0), np.ones((1, 3, 3))
    )
    good.write(tmp_path / "curves.npz")
    assert Curves.read(tmp_path / "curves.npz").labels == ["a"]
    for name, wrong in {"recall": np.arange(4.0), "labels": ["a", "b"], "edges": 1.0}.items():
        replace(good, **{name: wrong}).write(tmp_path / "curves.npz")
        with pytest.raises(TcnfastError, match="curves.npz: no curves of tcnfast"):
            Curves.read(tmp_path / "curves.npz")


def test_labels_without_positives_are_nan_named_and_left_out(run, lesson, models, tmp_path):
    rows = [
        row
        for row in read_rows(lesson / "peaks.bed")
        if row[-1] != "other" or row[1] < "60000" and len(row[1]) < 6
    ]
    (tmp_path / "p.bed").write_text("\n".join("\t".join(row) for row in rows) + "\n")
    data = data_words(lesson, peaks=tmp_path / "p.bed")
    code, out, err = run("evaluate", *data, "-m", models / "small", *EXACT, "-o", "made")
    assert code == 0, err
    table = table_of(out)
    assert table["other"]["AP"] == "nan" and table["other"]["positives"] == "0"
    assert "left out of means: other (no bound window)" in err and "over 2 labels" in err
    assert "no intervals: the windows lie in fewer than 5 blocks of 1 Mb" in err
    summary = json.loads((tmp_path / "made" / "summary.json").read_text())
    assert summary["left_out"] == ["other (no bound window)"]
    want = np.mean([float(table[label]["AP"]) for label in LABELS[:2]])
    assert summary["macro"]["ap"]["value"] == pytest.approx(want, abs=1e-4)
    assert summary["macro"]["ap"]["low"] is None


def test_a_cutoff_as_of_a_scan(run, lesson, models, expected):
    logits, targets = expected(models / "small")
    code, out, _ = run(*words_for(lesson, models, "--cutoff", "0.7", "--resamples", 0))
    called = logits[:, 0] >= np.log(0.7 / 0.3)
    known = targets[:, 0] < 2
    want = (targets[known & called, 0] == 1).mean()
    assert code == 0
    assert float(table_of(out)["CTCF@here"]["precision"]) == pytest.approx(want, abs=6e-5)
    complaint = fails(run(*words_for(lesson, models, "--cutoff", "fdr=0.1", "-q")))
    assert "holds only f1" in complaint


def test_bars_show_floors_and_the_other_model_inside_the_axes(tmp_path):
    rng = np.random.default_rng(0)
    labels = [f"l{i}" for i in range(70)]
    targets = (rng.random((2_000, 70)) < 0.05).astype(np.uint8)
    targets[:, 3] = 0
    blocks = np.arange(2_000, dtype=np.int32) // 250
    windows = Windows(labels, targets, blocks, np.zeros(2_000, bool))
    logits = rng.normal(size=targets.shape).astype(np.float32) + 0.5 * targets
    ours = assess(windows, logits, np.zeros(70), resamples=20)
    motif = np.full(70, 0.9)  # above all that the model reaches
    floors = Floors(["m"] * 70, motif, ["m"] * 70, motif, motif / 2)
    about = "ours", "valid", "f1", ours, "theirs", ours.take(list(range(9))), floors
    Evaluation(*about).write(tmp_path)
    tables = EvaluationTables(tmp_path)
    bars = plots.LabelBars.of(tables)
    assert sorted(bars.names) == sorted(x for x in labels if x != "l3")
    assert bars.ap.tolist() == sorted(bars.ap, reverse=True)
    assert [name for name, _, _ in bars.rivals] == ["best motif", "CpG content", "theirs"]
    assert bars.ap.max() < 0.9 < bars.right
    drawn = plots.draw_labels(tables)
    assert len(drawn) == 2
    shown = []
    for drawing in drawn:
        root = ElementTree.fromstring(drawing)
        texts = [element.text for element in root.iter("text")]
        assert {"AP", "best motif", "CpG content", "theirs"} <= set(texts)
        shown += [text for text in texts if text in labels]
        width = float(root.get("viewBox").split()[2])
        marks = [
            float(x.get("d")[1:].split()[0]) for x in root.iter("path") if "s1" in x.get("class")
        ]
        assert len(marks) > 20 and max(marks) < width - 10
    assert shown == bars.names


@pytest.mark.parametrize(
    "more, complaint",
    [
        (("--against", "nowhere"), "nowhere"),
        (("--motifs", "nowhere.meme"), "nowhere.meme: cannot be read"),
        (("--against", "{models}/other_bin"), "label bins have 100 bp"),
    ],
)
def test_what_cannot_be_asked_leaves_nothing(run, lesson, models, tmp_path, more, complaint):
    more = [word.format(models=models) for word in more]
    assert complaint in fails(run(*words_for(lesson, models, "-o", "made", "-q", *more)))
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize(
    "more, complaint",
    [
        (("--strand", "max"), "--strand 'max': must be one of +, -, both"),
        (("--resamples", "-1"), "--resamples -1: must be at least 0"),
        (("--cutoff", "f2"), "--cutoff f2: give best, f1"),
    ],
)
def test_usage(run, more, complaint):
    refused(run("evaluate", *more), complaint)


@pytest.mark.skipif(not (DATA / "genome").is_dir(), reason="the real data are not here")
def test_the_bundled_model_on_real_peaks(run, tmp_path):
    """A megabase of the validation part: above its best motif where it says so, and calibrated."""
    split = {"train": ["chr20:1-100000"], "valid": ["chr20:30000001-31000000"], "test": []}
    (tmp_path / "split.json").write_text(json.dumps(split))
    names = "dream_conservative", "precisetad_gm12878_26tf"
    peaks = [DATA / "peaks" / f"{name}.hg19.chr20_X.bed.gz" for name in names]
    words = ["evaluate", "-m", "encode-v1", "-g", DATA / "genome" / "hg19.chr20.fa.gz"]
    words += ["--peaks", *peaks, "--split", "split.json"]
    code, out, err = run(*words)
    table = table_of(out)
    assert code == 0 and len(table) == 112
    ctcf = [float(row["AP"]) for label, row in table.items() if label.startswith("CTCF@")]
    assert np.mean(ctcf) > 0.4, err
    predicted = [float(row["predicted"]) for row in table.values() if int(row["positives"]) > 100]
    assert 0.5 < np.median(predicted) < 2
    islands = [float(row["AP_island"]) > float(row["AP_elsewhere"]) for row in table.values()]
    assert np.mean(islands) > 0.6


def test_make_thresholds_and_evaluate_agree(run, lesson, models, expected, tmp_path):
    """What thresholds.tsv says of a part is what evaluate finds there."""
    model = load_model(models / "small")
    both = expected(models / "small")
    model.thresholds = make_thresholds(model.labels, both, both)
    model.save(tmp_path / "published")
    code, out, _ = run(*words_for(lesson, tmp_path, "--resamples", 0, model="published"))
    assert code == 0
    for label, row in table_of(out).items():
        threshold = model.thresholds[label]
        assert float(row["precision"]) == pytest.approx(threshold.precision, abs=6e-5)
        assert float(row["recall"]) == pytest.approx(threshold.recall, abs=6e-5)


def test_grade_writes_what_a_scan_expects_into_the_model_folder(run, lesson, models, tmp_path):
    shutil.copytree(models / "small", tmp_path / "mine")
    words = words_for(lesson, tmp_path, "--grade", "--resamples", 0, model="mine")
    assert load_model(tmp_path / "mine").calls is None
    (tmp_path / "open.bed").write_text("chr1\t60000\t80000\n")
    label = load_model(tmp_path / "mine").labels[0]
    card = tmp_path / "mine/README.md"
    card.write_bytes(b"# mine\n\n## Calls\n\nold\n\n- A\n\n## Scores\n\n\xff\n")
    code, out, err = run(*words, "--within", "open.bed", "--within-targets", label)
    assert code == 0 and "grades of 3 labels written into" in err, err
    model = load_model(tmp_path / "mine")
    assert list(model.calls.ladders) == model.labels and list(model.calls.within) == [label]
    assert model.home.contigs and model.home.validated
    said = calls_words(model.calls, model.home.measured_on)
    assert card.read_bytes() == b"# mine\n\n" + said.encode() + b"## Scores\n\n\xff\n"
    assert renewed_card(b"# mine\n", said) == b"# mine\n\n" + said.encode()
    for row in table_of(out).values():
        assert int(row["calls"]) >= 0 and int(row["peaks"]) > 0
    bad = "--grade: grades are measured on validation regions, not on test"
    assert bad in run(*words, "--part", "test")[2]
    words = words_for(lesson, tmp_path, "--within-targets", label, model="mine")
    assert "--within-targets needs --grade and --within" in run(*words)[2]
