"""``tcnfast prepare``: what lies in the folder, against the files and an oracle; clear words."""

import json
import math
from pathlib import Path

import bioframe
import numpy as np
import pandas as pd
import pytest
from support.cli import fails, refused
from support.prepare import LABELS, SIZES, random_rows

from tcnfast.base.errors import TcnfastError
from tcnfast.data.assembly_check import contrasts
from tcnfast.data.prepared import open_prepared
from tcnfast.genome.genome import Genome
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND

# bioframe, the oracle, still uses what pandas deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def prepared(run, lab, *more, split="split.json"):
    code, out, err = run(*lab.words("-o", "data", *more, split=split))
    assert code == 0, err
    return err


def peak_words(lab):
    files = {"peaks": "peaks.bed", "ambiguous": "relaxed.bed", "blacklist": "blacklist.bed"}
    return [word for role, name in files.items() for word in (f"--{role}", lab.folder / name)]


def frame(rows):
    return pd.DataFrame([row[:3] for row in rows], columns=["chrom", "start", "end"])


def oracle(chrom, starts, bound, relaxed, blacklist, width=200, overlap=100):
    """Labels of the bins [start, start + width), by bioframe: {label: list}."""
    bins = pd.DataFrame({"chrom": chrom, "start": starts, "end": starts + width})
    masked = bioframe.count_overlaps(bins, blacklist)["count"].to_numpy() > 0
    out = {}
    for label, rows in bound.items():
        values = np.full(len(bins), UNBOUND)
        for kind, peaks in ((AMBIGUOUS, relaxed.get(label, [])), (BOUND, rows)):
            if not peaks:
                continue
            both = bioframe.overlap(bins, frame(peaks), how="inner", return_index=True)
            # of an older pandas they are integers that may be missing
            both = both.astype(dict.fromkeys(("index", "start", "end", "start_", "end_"), int))
            shared = both[["end", "end_"]].min(axis=1) - both[["start", "start_"]].max(axis=1)
            needed = np.minimum(overlap, both["end_"] - both["start_"])
            enough = (kind == BOUND) & (shared >= needed)
            values[both["index"][~enough & (values[both["index"]] != BOUND)]] = AMBIGUOUS
            values[both["index"][enough]] = BOUND
        values[masked] = AMBIGUOUS
        out[label] = values
    return out


def test_labels_equal_a_bioframe_oracle(run, lab):
    prepared(run, lab, *peak_words(lab))
    dataset, _, _ = open_prepared("data")
    blacklist = bioframe.read_table(lab.folder / "blacklist.bed", schema="bed3")
    seen = set()
    for chrom in ("chr20", "chrX"):
        starts = np.sort(np.random.default_rng(2).integers(0, SIZES[chrom] - 200, 3_000))
        want = oracle(chrom, starts, lab.peaks, lab.relaxed, blacklist)
        got = dataset.targets(chrom, starts + 100)
        for column, label in enumerate(LABELS):
            np.testing.assert_array_equal(got[:, column], want[label], err_msg=label)
            seen |= set(want[label].tolist())
    assert seen == {UNBOUND, BOUND, AMBIGUOUS}


def test_label_rule(run, lab):
    rule = ["--label-bin", 100, "--min-overlap", 30]
    prepared(run, lab, "--peaks", lab.folder / "peaks.bed", *rule)
    dataset, _, record = open_prepared("data")
    starts = np.arange(0, 59_900, 37)
    want = oracle("chr20", starts, lab.peaks, {}, frame([("chrM", 0, 1)]), 100, 30)
    got = dataset.targets("chr20", starts + 50)
    for column, label in enumerate(LABELS):
        np.testing.assert_array_equal(got[:, column], want[label])
    assert record["rule"] == {"label_bin": 100, "min_overlap": 30, "summits": None}


def test_summits_replace_peaks(run, lab):
    prepared(run, lab, "--peaks", lab.folder / "peaks.bed", "--summits", 50)
    dataset, _, record = open_prepared("data")
    table = dataset.table("chr20")
    got = sorted(zip(table.start.tolist(), table.end.tolist(), table.label.tolist(), strict=True))
    summits = [(m, i) for i, x in enumerate(LABELS) for c, _, _, m in lab.peaks[x] if c == "chr20"]
    assert got == sorted((max(0, m - 25), min(60_000, m + 25), i) for m, i in summits)
    assert record["rule"]["summits"] == dataset.summits == 50


def test_summits_need_summits(run, lab):
    (lab.folder / "x.bed").write_text("chr20\t5\t50\tCTCF\nchr20\t90\t95\tCTCF\n")
    words = lab.words("-o", "data", "--peaks", lab.folder / "x.bed", "--summits", 50, "-q")
    fails(run(*words), "2 of 2 peaks have no summit", "'CTCF'", "leave --summits out")


def test_every_form_of_input_gives_the_same_labels(run, lab):
    """A labelled table, a manifest with and without a header, four columns."""
    files = {label: f"{label}.narrowPeak.gz" for label in LABELS}
    plain = [
        (label, files[label], "." if label == LABELS[2] else f"{label}.relaxed.bed")
        for label in LABELS
    ]
    half = len(lab.peaks[LABELS[0]]) // 2
    lab.narrowpeak("a.bed", lab.peaks[LABELS[0]][:half])
    lab.narrowpeak("b.bed", lab.peaks[LABELS[0]][half:])
    relaxed = f"{LABELS[0]}.relaxed.bed"
    headed = [
        ("cell", "path", "label", "lab", "ambiguous_path"),
        ("K562", "a.bed", "CTCF", "us", relaxed),
        ("K562", "b.bed", "CTCF", "us", relaxed),
        ("K562", files[LABELS[1]], "MAX", "them", f"{LABELS[1]}.relaxed.bed"),
        ("K562", files[LABELS[2]], "SP1", "them", ""),
    ]
    four = "".join(
        f"{c}\t{s}\t{e}\t{label}\n" for label, rows in lab.peaks.items() for c, s, e, _ in rows
    )
    (lab.folder / "four.bed").write_text(four)
    relaxed_words = ["--ambiguous", lab.folder / "relaxed.bed"]
    forms = {
        "table": ["--peaks", lab.folder / "peaks.bed", *relaxed_words],
        "plain": ["--manifest", lab.manifest(*plain, name="plain.tsv")],
        "headed": ["--manifest", lab.manifest(*headed, name="headed.tsv")],
        "four": ["--peaks", lab.folder / "four.bed", *relaxed_words],
    }
    tables = {}
    for name, words in forms.items():
        code, _, err = run(*lab.words("-o", name, *words))
        assert code == 0, err
        dataset, _, _ = open_prepared(name)
        assert dataset.labels == LABELS
        tables[name] = [dataset.table(chrom) for chrom in ("chr20", "chrX")]
    for name in forms:
        for got, want in zip(tables[name], tables["table"], strict=True):
            for column in ("start", "end", "label", "kind", "reach"):
                np.testing.assert_array_equal(getattr(got, column), getattr(want, column))


def test_codes_are_those_of_the_genome(run, lab):
    prepared(run, lab, *peak_words(lab))
    dataset, _, _ = open_prepared("data")
    assert dataset.genome.sizes == {"chr20": 60_000, "chrX": 20_000}  # chrUn is in no region
    with Genome(lab.folder / "g.fa") as genome:
        spans = [(0, None), (7, 7), (-50, 20), (59_990, 60_040), (-30, -10), (60_010, 60_020)]
        spans += [(-10, 60_010), (100, 250)]
        for chrom in ("chr20", "chrX"):
            for start, end in spans:
                want = genome.codes(chrom, start, end)
                got = dataset.genome.codes(chrom, start, end)
                np.testing.assert_array_equal(got, want, err_msg=f"{chrom} {start} {end}")
                assert got.dtype == np.uint8
    with pytest.raises(ValueError, match="chrUn"):
        dataset.genome.codes("chrUn", 0, 10)
    with pytest.raises(ValueError, match="lies before start"):
        dataset.genome.codes("chr20", 10, 9)


@pytest.mark.parametrize(
    "change",
    [
        {"peak_rows": []},
        {"first_base": 1e999},
        {"first_base": 60_001},
        {"first_base": -1},
        {"size": "x"},
        {"peak_rows": [3, 2]},
    ],
    ids=str,
)
def test_places_that_cannot_be_are_told(run, lab, change):
    prepared(run, lab, *peak_words(lab))
    path = Path("data/dataset.json")
    record = json.loads(path.read_text())
    record["contigs"][0] |= change
    path.write_text(json.dumps(record))
    with pytest.raises(TcnfastError, match=r"dataset\.json: damaged .*; prepare it again"):
        open_prepared("data")


def test_what_the_folder_records(run, lab):
    prepared(run, lab, *peak_words(lab))
    record = json.loads(Path("data/dataset.json").read_text())
    roles = [(entry["role"], entry["name"]) for entry in record["inputs"]]
    assert roles == [
        ("genome", "g.fa"),
        ("peaks", "peaks.bed"),
        ("ambiguous", "relaxed.bed"),
        ("blacklist", "blacklist.bed"),
        ("split", "split.json"),
    ]
    assert record["split"]["valid"] == [["chr20", 40_000, 60_000]]
    middles = [(c, (s + e) // 2) for c, s, e, _ in lab.peaks["CTCF@K562"]]
    want = sum(c == "chr20" and m < 40_000 for c, m in middles)
    assert record["peaks"]["train"][0] == want
    run_json = json.loads(Path("data/run.json").read_text())
    assert run_json["key"]["command"] == "prepare" and "tcnfast" in run_json["versions"]
    # a changed peak file changes the record
    before = Path("data/dataset.json").read_bytes()
    lab.table("peaks.bed", lab.peaks | {"NEW": random_rows(np.random.default_rng(1), 3)})
    prepared(run, lab, *peak_words(lab), "--force")
    assert Path("data/dataset.json").read_bytes() != before


def test_the_same_inputs_give_the_same_bytes(run, lab):
    prepared(run, lab, *peak_words(lab))
    first = {path.name: path.read_bytes() for path in Path("data").iterdir()}
    prepared(run, lab, *peak_words(lab), "--force")
    again = {path.name: path.read_bytes() for path in Path("data").iterdir()}
    for name in first.keys() - {"run.json"}:
        assert first[name] == again[name], name
    assert first.keys() == again.keys()


def test_an_existing_folder_is_not_replaced_without_force(run, lab):
    prepared(run, lab, *peak_words(lab))
    fails(run(*lab.words("-o", "data", *peak_words(lab), "-q", "--min-peaks", 1)), "--force")


def test_what_a_kill_left_is_said_and_replaced(run, lab):
    prepared(run, lab, *peak_words(lab))
    Path("data").rename("data.partial")
    Path("data.partial/key.json").write_text("{}")
    words = lab.words("-o", "data", *peak_words(lab), "-q")
    complaint = fails(run(*words), "was left by an unfinished run; give --force to begin anew")
    assert "--resume" not in complaint
    prepared(run, lab, *peak_words(lab), "--force")
    assert Path("data/dataset.json").exists() and not Path("data.partial").exists()


def test_a_failure_leaves_the_old_folder(run, lab):
    prepared(run, lab, *peak_words(lab))
    before = Path("data/dataset.json").read_bytes()
    (lab.folder / "peaks.bed").write_text("#chrom\tstart\tend\tlabel\nchr20\t9\t5\tX\n")
    fails(run(*lab.words("-o", "data", *peak_words(lab), "-q", "--force")), "is not below end")
    assert Path("data/dataset.json").read_bytes() == before and not Path("data.partial").exists()


# clear words


@pytest.mark.parametrize(
    "text, words",
    [
        ("chr20\t5\t90\nchr20\t7\t9000000\n", [":2: end 9000000 lies beyond chr20", "assembly"]),
        ("20\t5\t90\n", ["contig '20' is called 'chr20'", "sed"]),
        ("chr20\t5\t90\nX\t5\t90\n", ["contig 'X' is called 'chrX'"]),
        ("", [":1: no intervals in the file", "'CTCF'", "manifest.tsv:1"]),
        ("# only talk\n", ["no intervals in the file"]),
        ("chr20\t5\t90\nchr20\tx\t90\n", [":2: start 'x' is no integer"]),
        ("chr20\t5\t90\nchr20\t90\t5\n", [":2: start 90 is not below end 5"]),
        ("chr20\t5\n", [":1: 2 columns"]),
        ("chr7\t5\t90\n", ["of 0 peaks none"]),
        ("chrUn\t5\t90\n", ["of 1 peak none lies on a contig of the split: chr20, chrX"]),
    ],
    ids="beyond naming naming-of-some empty talk letters backwards short off unused".split(),
)
def test_bad_peak_files(run, lab, text, words):
    (lab.folder / "x.bed").write_text(text)
    manifest = lab.manifest(("CTCF", "x.bed"))
    code, out, err = run(*lab.words("-o", "data", "--manifest", manifest))
    assert code == 1 and out == "" and "Traceback" not in err
    complaint = err.splitlines()[-1]
    assert complaint.startswith("tcnfast: error: ") and "a defect" not in complaint
    for word in words:
        assert word in complaint, complaint
    assert not Path("data").exists() and not Path("data.partial").exists()


def test_peaks_on_contigs_that_the_genome_lacks(run, lab):
    lab.narrowpeak("x.bed", [*lab.peaks["MAX@K562"], ("chr7", 1, 50, 9), ("chr8", 1, 50, 9)])
    err = prepared(run, lab, "--manifest", lab.manifest(("MAX", "x.bed")))
    assert "peaks left out because the genome lacks their contig (2): on chr7, chr8" in err


def test_labels_without_peaks_where_they_are_needed(run, lab):
    """A label that no part has, one that only a part lacks, and few peaks to train on."""
    lab.narrowpeak("none.bed", [("chrUn", 1, 50, 9)])
    lab.narrowpeak("some.bed", [("chr20", 1_000 * i, 1_000 * i + 90, 1_000 * i) for i in range(39)])
    manifest = lab.manifest(("NONE", "none.bed"), ("SOME", "some.bed"))
    err = prepared(run, lab, "--manifest", manifest, "--min-peaks", 39)
    assert "labels without peaks in any region (1): NONE" in err
    assert "labels that the split leaves without peaks in valid (1): SOME" in err
    assert "labels that the split leaves without peaks in test (1): SOME" in err
    assert "train will drop, with fewer than 39 training peaks (1): NONE" in err
    said = json.loads(Path("data/dataset.json").read_text())["warnings"]
    assert len(said) == 4 and all(line in err for line in said)


@pytest.mark.parametrize(
    "parts, words",
    [
        ({"train": ["chr20:1-100"], "valid": ["chr20:100-300"]}, "train and valid overlap at"),
        ({"train": ["20"]}, "contig '20' is called 'chr20'"),
        ({"train": ["chr20:1-60001"]}, "ends beyond chr20"),
        ({}, "holds no region"),
    ],
    ids=["overlap", "naming", "beyond", "empty"],
)
def test_bad_splits(run, lab, parts, words):
    split = lab.folder / "bad.json"
    split.write_text(json.dumps({"train": [], "valid": [], "test": []} | parts))
    command = lab.words("-o", "data", *peak_words(lab), "-q", split="bad.json")
    fails(run(*command), words, str(split))
    assert not Path("data.partial").exists()


def test_an_empty_part_is_said(run, lab):
    (lab.folder / "part.json").write_text('{"train": ["chr20"], "valid": ["chrX"], "test": []}')
    err = prepared(run, lab, *peak_words(lab), split="part.json")
    assert "test holds no region" in err and "without peaks in test" not in err


def test_copies_of_a_peak_file_are_said(run, lab):
    rows = lab.peaks["MAX@K562"]
    lab.narrowpeak("a.bed", rows), lab.narrowpeak("b.bed", rows)
    err = prepared(run, lab, "--manifest", lab.manifest(("A", "a.bed"), ("B", "b.bed")))
    assert "peak files a.bed and b.bed are the same, byte for byte" in err


def test_blacklists_must_be_of_the_genome(run, lab):
    (lab.folder / "x.bed").write_text("20\t5\t90\n")
    words = [*peak_words(lab)[:-1], lab.folder / "x.bed"]
    fails(run(*lab.words("-o", "data", *words, "-q")), "contig '20' is called 'chr20'")
    assert not Path("data.partial").exists()


@pytest.mark.parametrize("flag", ["--peaks", "--ambiguous"])
def test_a_table_listed_twice(run, lab, flag):
    table = lab.folder / "relaxed.bed"
    other = lab.folder / ".." / "lab" / "relaxed.bed"
    words = [flag, table, other] + (["--peaks", lab.folder / "peaks.bed"] * (flag != "--peaks"))
    refused(run(*lab.words("-o", "data", *words, "-q")), "relaxed.bed: is listed twice")


def test_few_peaks_are_not_judged(run, lab):
    assert "another assembly" not in prepared(run, lab, *peak_words(lab))


# usage


@pytest.mark.parametrize(
    "more, words",
    [
        ([], "give one of --peaks, --manifest and --encode"),
        (["--peaks", "a", "--manifest", "b"], "give one of"),
        (["--manifest", "b", "--assembly", "hg19"], "--assembly goes with --encode"),
        (["--manifest", "b", "--ambiguous", "c"], "a manifest has a column for it"),
    ],
)
def test_usage(run, lab, more, words):
    code, out, err = run(*lab.words("-o", "data", *more))
    assert code == 2 and out == "" and words in err


def test_rules_that_cannot_be(run, lab):
    words = lab.words("-o", "data", *peak_words(lab), "--label-bin", 50, "-q")
    refused(run(*words), "--min-overlap 100", "--label-bin 50")


# the real thing


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")
@pytest.mark.checkout
def test_all_135_peak_sets(run, tmp_path):
    """Under a minute (it takes seconds), and the counts that encode-v1 was trained with."""
    names = "dream_conservative", "precisetad_gm12878_26tf", "dream_relaxed", "blacklist"
    tables = [DATA / "peaks" / f"{name}.hg19.chr20_X.bed.gz" for name in names]
    genomes = [DATA / "genome" / f"hg19.{name}.fa.gz" for name in ("chr20", "chrX.first70M")]
    words = ["prepare", "-g", *genomes, "--peaks", *tables[:2], "--ambiguous", tables[2]]
    split = ROOT / "examples/encode-v1.split.json"
    code, _, err = run(*words, "--blacklist", tables[3], "--split", split, "-o", "data")
    assert code == 0, err
    assert json.loads(Path("data/run.json").read_text())["seconds"] < 60
    dataset, split, record = open_prepared("data")
    assert len(dataset.labels) == 125 and "another assembly" not in err
    assert len(dataset.drop_rare(split["train"], 200)[0].labels) == 112
    assert sum(path.stat().st_size for path in Path("data").iterdir()) < 145e6
    # the same peaks a megabase away: nearly every label that can be judged is suspected
    regions = [region for areas in split.values() for region in areas]
    for chrom in ("chr20", "chrX"):
        dataset.table(chrom).start[:] += 1_000_000
        dataset.table(chrom).end[:] += 1_000_000
    found = contrasts(dataset, regions)
    assert sum(x.random for x in found) > 100 > 20 > sum(math.isnan(x.gc) for x in found)
