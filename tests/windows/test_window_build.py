"""``tcnfast windows prepare`` on a small lab: sites, labels, parts and the report."""

import json
from dataclasses import replace
from pathlib import Path

import bioframe
import numpy as np
import pandas as pd
import pytest
from support.window import (
    LABELS,
    SIZES,
    built,
    frame,
    naive_sites,
    prepare_words,
    recipe_file,
    spans,
    touches,
    window_words,
)

from tcnfast.genome.genome import Genome
from tcnfast.genome.intervals import Intervals
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND
from tcnfast.windows.window_report import gc_shares
from tcnfast.windows.window_set import ELSEWHERE, FLANK, GC, PARTS, SHUFFLE, SITE, WindowSet
from tcnfast.windows.window_sites import merged_sites

# bioframe, the oracle, still uses what pandas deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def test_sites_are_merged_summits(lab, made):
    sites = made.take(made.kind == SITE)
    middles = {chrom: [] for chrom in SIZES}
    for chrom, start in zip(sites.chrom, sites.start, strict=True):
        middles[made.chroms[chrom]].append(int(start) + 250)
    want = naive_sites(lab)
    blacklist = {"chr1": (30_000, 36_000), "chr3": (12_000, 18_000), "chr2": (-9, -9)}
    end = {"chr1": SIZES["chr1"], "chr2": SIZES["chr2"], "chr3": 100_000}
    for chrom in SIZES:
        low, high = blacklist[chrom]
        clean = [
            m
            for m in want[chrom]
            if (m + 250 <= low or m - 250 >= high)
            and (m + 250 <= end[chrom] or (m < end[chrom] == SIZES[chrom]))
        ]
        gap = [m for m in clean if chrom == "chr1" and 199_800 < m < 210_200]
        assert set(middles[chrom]) <= set(clean) and set(clean) - set(middles[chrom]) <= set(gap)
        assert middles[chrom] == sorted(middles[chrom])


def test_labels_of_sites_equal_a_bioframe_oracle(lab, made):
    sites = made.take(made.kind == SITE)
    cores, seen = spans(sites, core=200), set()
    for column, label in enumerate(LABELS):
        want = np.full(len(sites), UNBOUND)
        for rows in (lab.relaxed.get(label, []), lab.peaks[label]):
            if rows:
                want[touches(cores, rows)] = AMBIGUOUS
        both = bioframe.overlap(cores, frame(lab.peaks[label]), how="inner", return_index=True)
        shared = both[["end", "end_"]].min(axis=1) - both[["start", "start_"]].max(axis=1)
        enough = shared >= np.minimum(100, both["end_"] - both["start_"])
        want[both["index"][enough].astype(int)] = BOUND  # objects in an older pandas
        np.testing.assert_array_equal(sites.labels[:, column], want, err_msg=label)
        seen |= set(want.tolist())
    assert seen == {UNBOUND, BOUND, AMBIGUOUS}
    assert not made.labels[made.kind != SITE].any()


def test_codes_are_those_of_the_genome(lab, made):
    with Genome(lab.folder / "g.fa") as genome:
        for i in np.flatnonzero(made.kind != SHUFFLE):
            start = int(made.start[i])
            want = genome.codes(made.chroms[made.chrom[i]], start, start + made.length)
            np.testing.assert_array_equal(made.codes[i], want)


def test_windows_lie_in_the_regions_of_their_part(made):
    chroms = np.array(made.chroms)[made.chrom]
    for part, chrom in zip(PARTS, SIZES, strict=True):
        assert (chroms[made.part == PARTS.index(part)] == chrom).all()
    # the region of test ends before its contig does, that of train where it does
    end = made.start + made.length
    assert end[chroms == "chr3"].max() <= 100_000 and made.start.min() < 0


def test_no_window_crosses_the_border_of_a_region(run, lab):
    """A border at the middle of a site and to either side of it, up to the ends of its window."""
    shifts = (0, 249, 250, -249, -250)
    for middle, shift in zip(naive_sites(lab)["chr1"][20:40:4], shifts, strict=True):
        border = middle + shift
        split = {"train": [f"chr1:1-{border}"], "valid": [f"chr1:{border + 1}-400000"]}
        (lab.folder / "border.json").write_text(json.dumps(split | {"test": ["chr2"]}))
        recipe = recipe_file(lab, min_peaks=1)
        code, _, err = run(*window_words(lab, recipe, "--force", split="border.json"))
        assert code == 0, err
        on = (made := WindowSet.open("set")).take(made.chrom == 0)
        assert (on.start[on.part == 0] + 500).max() <= border <= on.start[on.part == 1].min()
        assert (middle - 250 in on.start) == (abs(shift) == 250)


def test_summits_merge_up_to_the_distance():
    summits = np.array([100, 200, 300, 401, 402, 900])
    peaks = Intervals(np.full(6, "c", object), summits - 10, summits + 10, summits)
    sites = merged_sites(peaks, ["c"], 100)
    assert sites.start.tolist() == [200, 401, 900]
    without = replace(peaks, summit=np.full(6, -1))  # middles of peaks stand for them
    assert merged_sites(without, ["c"], 101).start.tolist() == [300, 900]


def test_a_manifest_gives_the_same(run, lab, made):
    rows = []
    for label, peaks in lab.peaks.items():
        lab.narrowpeak(f"{label}.narrowPeak", peaks)
        relaxed = lab.relaxed.get(label)
        if relaxed:
            lab.narrowpeak(f"{label}.relaxed.bed", relaxed)
        tf, cell = label.split("@")
        rows.append((tf, f"{label}.narrowPeak", f"{label}.relaxed.bed" if relaxed else ".", cell))
    words = ["--manifest", lab.manifest(*rows), "--blacklist", lab.folder / "blacklist.bed"]
    code, _, err = run(*prepare_words(lab, recipe_file(lab), *words, "-o", "other"))
    assert code == 0, err
    other = WindowSet.open("other")
    for name in ("codes", "labels", "part", "kind", "chrom", "start"):
        np.testing.assert_array_equal(getattr(made, name), getattr(other, name))


def test_contig_ends_are_filled_and_said_once(run, lab):
    made, err = built(run, lab)
    first = made.take((made.kind == SITE) & (made.start < 0))
    assert first.start.min() == -190
    codes = first.codes[first.start.argmin()]
    assert (codes[:190] == 4).all() and codes[190] < 4
    assert err.count("filled with N") == 1
    assert sum("filled with N" in note for note in made.about["notes"]) == 1


def test_the_same_recipe_gives_the_same_bytes(run, lab):
    built(run, lab)
    first = {path.name: path.read_bytes() for path in Path("set").iterdir()}
    built(run, lab, None, "--force")
    again = {path.name: path.read_bytes() for path in Path("set").iterdir()}
    assert first.keys() == again.keys()
    for name in first.keys() - {"run.json"}:
        assert first[name] == again[name], name


def test_another_seed_draws_others_and_keeps_the_sites(run, lab, made):
    other, _ = built(run, lab, None, "--seed", 2, "--force")
    for kind, same in ((SITE, True), (GC, False), (FLANK, False), (SHUFFLE, False)):
        a, b = (x.take(x.kind == kind).codes for x in (made, other))
        assert np.array_equal(a, b) == same


def test_flags_go_before_the_recipe(run, lab):
    made, err = built(run, lab, None, "--length", 301, "--max-windows", 100)
    assert made.length == 301 and 80 < len(made) <= 100
    assert "sites drawn at random for max_windows 100" in err
    record = json.loads(Path("set/windows.json").read_text())
    assert record["about"]["recipe"]["length"] == 301
    assert record["about"]["recipe"]["max_windows"] == 100


def test_labels_of_tfs_join_cell_lines(run, lab):
    recipe = recipe_file(lab, labels=["A", "B"], cells=["one", "two"])
    made, _ = built(run, lab, recipe)
    sites = made.take(made.kind == SITE)
    cores = spans(sites, core=200)
    rows = lab.peaks["A@one"] + lab.peaks["A@two"] + lab.relaxed["A@one"]
    np.testing.assert_array_equal(sites.labels[:, 0] > 0, touches(cores, rows))
    assert made.names == ["A", "B"]
    # elsewhere: A in the third cell line
    others = spans(made, made.kind == ELSEWHERE)
    assert len(others) and touches(others, lab.peaks["A@three"]).all()


def test_the_report(run, lab):
    code, out, err = run(*window_words(lab, recipe_file(lab), "--report"))
    assert code == 0, err
    made = WindowSet.open("set")
    assert out == Path("set/report.txt").read_text() and f"{len(made):,} windows of 500 bp" in out
    sizes = pd.read_csv("set/report.sizes.tsv", sep="\t")
    assert sizes["windows"].sum() == len(made)
    labels = pd.read_csv("set/report.labels.tsv", sep="\t", index_col=0)
    test = made.select("test").labels
    bound, masked = ((test == kind).sum(0) for kind in (BOUND, AMBIGUOUS))
    np.testing.assert_array_equal(labels["test_bound"], bound)
    np.testing.assert_allclose(labels["test_density"], bound / (len(test) - masked), rtol=1e-4)
    both = pd.read_csv("set/report.cooccurrence.tsv", sep="\t", index_col=0)
    want = ((made.labels[:, 0] == BOUND) & (made.labels[:, 2] == BOUND)).sum()
    assert both.loc["A@one", "A@two"] == both.loc["A@two", "A@one"] == want > 0
    gc = gc_shares(made.codes)[made.labels[:, 1] == BOUND]
    assert labels.loc["B@one", "gc_bound"] == pytest.approx(gc.mean(), rel=1e-4)


@pytest.mark.checkout
@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")
def test_the_recipe_of_e2f(run, tmp_path):
    """On chr20 alone."""
    tables = [
        DATA / "peaks" / f"{name}.hg19.chr20_X.bed.gz"
        for name in ("dream_conservative", "precisetad_gm12878_26tf", "dream_relaxed", "blacklist")
    ]
    split = {
        "train": ["chr20:1-30000000"],
        "valid": ["chr20:30000001-34000000"],
        "test": ["chr20:34000001-63025520"],
    }
    (tmp_path / "split.json").write_text(json.dumps(split))
    words = ["windows", "prepare", ROOT / "examples/windows/e2f.recipe.json", "-o", "set"]
    words += ["-g", DATA / "genome/hg19.chr20.fa.gz", "--split", "split.json", "--min-peaks", 40]
    words += ["--peaks", *tables[:2], "--ambiguous", tables[2], "--blacklist", tables[3]]
    code, _, err = run(*words)
    assert code == 0, err
    made = WindowSet.open("set")
    assert len(made.names) == 15 and 2_000 < len(made) <= 20_000
    assert ((made.select("test").labels == BOUND).sum(0) > 60).all()
    gc = gc_shares(made.codes)
    means = [gc[made.kind == kind].mean() for kind in (SITE, GC, FLANK)]
    assert abs(means[0] - means[1]) < 0.03 < 0.08 < means[0] - means[2]
