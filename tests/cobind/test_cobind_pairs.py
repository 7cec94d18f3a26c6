"""Co-occurrence: bins, statistics, nulls, and ``tcnfast cobind pairs`` from files."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import networkx
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.stats import false_discovery_control
from support.cli import assert_nothing_written, fails, refused
from support.dataset import intervals, write_genome
from support.scan import read_rows

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.cobind import null
from tcnfast.cobind.occupancy import Occupancy, occupancy, whole_contigs
from tcnfast.cobind.pair_table import agreement, measure_pairs, statistics
from tcnfast.data.dataset import Dataset
from tcnfast.genome.genome import Genome, Region


def occupied(sets, n_bins, block=1, contig=None, gc=None):
    """Occupancy of sets of bins."""
    labels = [f"L{i}@x" for i in range(len(sets))]
    bins = [np.array(sorted(x), np.int32) for x in sets]
    first = np.concatenate([[0], np.cumsum([len(x) for x in bins])])
    contig = np.array([0, n_bins]) if contig is None else contig
    gc = np.full(n_bins // block, 0.5) if gc is None else gc
    return Occupancy(labels, first, np.concatenate(bins), contig, block, gc)


def random_sets(rng, sizes, n_bins):
    return [set(rng.choice(n_bins, size, replace=False).tolist()) for size in sizes]


def test_a_peak_binds_bins_that_it_covers_by_half_or_that_of_its_middle(tmp_path):
    genome = Genome(write_genome(tmp_path / "genome.fa"))
    rng = np.random.default_rng(0)
    start = np.sort(rng.integers(0, 29_000, 60))
    rows = [
        ("chr20", int(s), int(s + rng.integers(20, 700)), f"L{i % 3}") for i, s in enumerate(start)
    ]
    dataset = Dataset(genome, intervals(rows), ["L0", "L1", "L2"])
    found = occupancy(dataset, whole_contigs(dataset), 200, 5)
    expected = [set(), set(), set()]
    for _, s, e, label in rows:
        halves = {b for b in range(150) if min(e, 200 * b + 200) - max(s, 200 * b) >= 100}
        expected[int(label[1])] |= halves or {(s + e) // 2 // 200}
    assert found.n_bins == 150  # chrX has no peak
    for i, bins in enumerate(expected):
        got = found.bins[found.first[i] : found.first[i + 1]].tolist()
        assert got == sorted(b for b in bins if b < 150)
    codes = genome.codes("chr20", 0, 30_000).reshape(30, 1000)
    np.testing.assert_allclose(found.gc, ((codes == 1) | (codes == 2)).mean(1))


def test_n_the_blacklist_and_regions_take_bins_away(tmp_path):
    from support.scan import random_letters, write_fasta

    letters = random_letters(10_000)
    letters[2_050:3_080] = ord("N")  # bins 11 to 14; 10 is 3/4 N, 15 is 3/5 known
    path = write_fasta(tmp_path / "g.fa", {"chr1": letters})
    blacklist = intervals([("chr1", 4_399, 4_401)])  # bins 21 and 22
    with Genome(path) as opened:
        peaks = intervals([("chr1", 6_000, 6_400, "A"), ("chr1", 9_900, 10_000, "A")])
        dataset = Dataset(opened, peaks, ["A"], None, blacklist)
        found = occupancy(dataset, [Region("chr1", 100, 9_700)], 200, 1)
        kept = [b for b in range(1, 48) if b not in (10, 11, 12, 13, 14, 21, 22)]
        assert found.n_bins == len(kept)
        assert [kept[b] for b in found.bins] == [30, 31]
        with pytest.raises(TcnfastError, match="no bin of known sequence"):
            occupancy(dataset, [Region("chr1", 2_100, 3_000)], 200, 1)


def test_shared_bins_and_statistics_are_those_of_the_matrix():
    rng = np.random.default_rng(1)
    sets = random_sets(rng, (40, 90, 15, 200), 500)
    found = occupied(sets, 500)
    matrix = np.zeros((4, 500))
    for row, bins in enumerate(sets):
        matrix[row, list(bins)] = 1
    shared = null.shared_bins(found)
    np.testing.assert_array_equal(shared, np.triu(matrix @ matrix.T, 1))
    a, b = matrix[0], matrix[1]
    values = statistics(np.array([shared[0, 1]]), [40], [90], 500)
    n11, n10, n01 = (a * b).sum(), (a * (1 - b)).sum(), ((1 - a) * b).sum()
    n00 = 500 - n11 - n10 - n01
    odds = (n11 + 0.5) * (n00 + 0.5) / ((n10 + 0.5) * (n01 + 0.5))
    assert values["odds_ratio"][0] == pytest.approx(odds)
    assert values["phi"][0] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert values["jaccard"][0] == pytest.approx(n11 / (n11 + n10 + n01))
    assert values["pmi"][0] == pytest.approx(np.log2(n11 / 500 / (40 / 500 * 90 / 500)))
    assert statistics(np.array([0]), [3], [4], 500)["pmi"][0] == -np.inf


def test_a_shift_turns_each_contig_by_itself():
    rng = np.random.default_rng(2)
    edges = np.array([0, 70, 70, 170])
    bins = np.sort(rng.choice(170, 40, replace=False)).astype(np.int32)
    moved = np.empty_like(bins)
    turns = set()
    for _ in range(50):
        null.turn_contigs(bins, edges, rng, moved)
        for begin, end in ((0, 70), (70, 170)):
            here = (bins >= begin) & (bins < end)
            turn = (moved[here] - bins[here]) % (end - begin)
            assert len(set(turn.tolist())) == 1
            assert ((moved[here] >= begin) & (moved[here] < end)).all()
            turns.add((begin, int(turn[0])))
    assert len(turns) > 50


def test_blocks_trade_places_within_their_stratum_and_keep_what_they_hold():
    rng = np.random.default_rng(3)
    strata = rng.integers(0, 3, 60)
    order = np.argsort(strata, kind="stable")
    edges = np.searchsorted(strata[order], np.arange(4))
    bins = np.sort(rng.choice(240, 70, replace=False)).astype(np.int32)
    moved, reached = np.empty_like(bins), set()
    for _ in range(200):
        null.trade_blocks(bins, 4, edges, order, strata, rng, moved)
        assert len(set(moved.tolist())) == len(bins)
        np.testing.assert_array_equal(strata[moved // 4], strata[bins // 4])
        np.testing.assert_array_equal(moved % 4, bins % 4)
        pairs = set(zip((bins // 4).tolist(), (moved // 4).tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        reached |= pairs
    source = int(bins[0] // 4)
    assert {b for a, b in reached if a == source} == set(np.flatnonzero(strata == strata[source]))


@pytest.mark.parametrize("kept", null.NULLS)
def test_strangers_meet_as_often_as_the_null_says(kept):
    rng = np.random.default_rng(4)
    found = occupied(random_sets(rng, [150] * 12, 3_000), 3_000, block=5)
    shared = null.shared_bins(found)
    counts = null.null_counts(found, kept, shared, 200, 0)
    above = np.triu_indices(12, 1)
    if kept != "active":  # which is about the busy places of these very labels
        assert counts.mean[above].mean() == pytest.approx(150 * 150 / 3_000, rel=0.05)
    p = counts.p_value(shared)[above]
    assert 0.3 < np.median(p) and (p < 0.05).mean() < 0.12


def test_p_is_counted_and_beyond_the_replicates_that_of_a_fitted_tail():
    mean, sd = np.full((1, 3), 5.0), np.full((1, 3), 5**0.5)
    above, below = np.array([[4, 0, 100]]), np.array([[97, 100, 0]])
    counts = null.NullCounts(mean, sd, above, below, 100)
    p = counts.p_value(np.array([[9, 30, 0]]))[0]
    assert p[0] == pytest.approx(2 * 5 / 101)
    assert p[1] == pytest.approx(2 * stats.poisson(5).sf(29), rel=1e-3)
    assert p[2] == pytest.approx(2 * stats.poisson(5).pmf(0), rel=1e-3)


def test_the_fitted_tail_is_close_to_the_true_one():
    """Far beyond what replicates of a hypergeometric count can show."""
    truth = stats.hypergeom(3_000, 150, 150)
    drawn = truth.rvs(500, random_state=0)
    for observed, side in ((24, truth.sf(23)), (26, truth.sf(25))):
        beyond = (drawn >= observed).sum(), (drawn <= observed).sum()
        numbers = (np.full((1, 1), x) for x in (drawn.mean(), drawn.std(), *beyond))
        counts = null.NullCounts(*numbers, 500)
        assert 2 * side < 1e-5 and counts.above[0, 0] == 0
        assert abs(np.log10(counts.p_value(np.array([[observed]]))[0, 0] / (2 * side))) < 1


def test_a_null_is_the_same_for_any_number_of_threads_and_differs_by_seed():
    rng = np.random.default_rng(5)
    found = occupied(random_sets(rng, [100] * 11, 2_000), 2_000, block=5)
    shared = null.shared_bins(found)
    runs = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        runs.append(null.null_counts(found, "active", shared, 60, 0))
    for name in ("mean", "sd", "above", "below"):
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))
    other = null.null_counts(found, "active", shared, 60, 1)
    assert (other.mean != runs[0].mean).any()


def test_partners_are_told_from_labels_that_meet_in_busy_places():
    """Fourteen labels go to the same 150 busy blocks, each to a bin of its own; two more meet where
    no other goes. Shifts call everything a pair, the strictest null the partners only."""
    rng = np.random.default_rng(6)
    n_bins, block = 20_000, 5
    busy = rng.choice(n_bins // block, 150, replace=False)
    sets = [set((busy * block + rng.integers(0, block, 150)).tolist()) for _ in range(14)]
    partners = rng.choice(n_bins // block, 120, replace=False) * block
    sets += [set(partners.tolist()), set(partners[:100].tolist())]
    sets = [
        bins | alone for bins, alone in zip(sets, random_sets(rng, [60] * 16, n_bins), strict=True)
    ]
    table = measure_pairs(occupied(sets, n_bins, block), 200, 0)
    known = (table.first == 14) & (table.second == 15)
    strangers = table.second < 14
    assert table.columns["active_q"][known] < 0.05 and table.columns["active_fold"][known] > 5
    assert table.significant(0.05, 1.5)[known].all()
    assert (table.columns["shift_q"][strangers] < 0.05).all()
    assert np.median(table.columns["shift_fold"][strangers]) > 5
    assert abs(np.median(np.log2(table.columns["active_fold"][strangers]))) < 0.3
    assert not table.significant(0.05, 1.5)[strangers].any()
    p, q = table.columns["local_p"], table.columns["local_q"]
    np.testing.assert_allclose(q, false_discovery_control(p))


def test_few_labels_get_no_null_of_busy_places():
    assert null.nulls_for(9) == ("shift", "local") and "active" in null.nulls_for(10)


def test_the_network_is_graphml_of_the_significant_pairs(tmp_path):
    rng = np.random.default_rng(7)
    shared = random_sets(rng, [60], 4_000)[0]
    sets = [shared, set(shared), *random_sets(rng, [60, 60], 4_000)]
    found = occupied(sets, 4_000, block=5)
    table = measure_pairs(found, 200, 0)
    networkx.write_graphml_xml(table.graph(0.1, 1.5), tmp_path / "g.graphml")
    back = networkx.read_graphml(tmp_path / "g.graphml")
    assert set(back.edges) == {("L0@x", "L1@x")} and set(back.nodes) == set(found.labels)
    assert back.nodes["L2@x"] == {"factor": "L2", "cell": "x", "sites": 60}
    assert back.edges["L0@x", "L1@x"]["both"] == 60
    assert ElementTree.parse(tmp_path / "g.graphml").getroot().tag.endswith("graphml")


def test_one_factor_in_two_cells_is_no_partner():
    found = occupied([set(range(0, 400, 5))] * 2, 4_000, block=5)
    found = dataclasses.replace(found, labels=["A@x", "A@y"])
    table = measure_pairs(found, 50, 0)
    assert table.same_factor.all() and not table.significant(0.9, 1.0).any()
    assert agreement(table, table) == {"pairs": 0}


@pytest.fixture(name="peaks")
def fixture_peaks(tmp_path):
    """Peaks on the chr20 of the small genome: B goes where A goes, C elsewhere, D hardly."""
    rng = np.random.default_rng(8)
    spots = np.sort(rng.choice(480, 60, replace=False)) * 200
    rows = ["#chrom\tstart\tend\tlabel"]
    for i, spot in enumerate(spots.tolist()):
        labels = ("A@x", "B@x") if i % 2 else ("C@x",)
        rows += [f"chr20\t{spot}\t{spot + 180}\t{label}" for label in labels]
    rows.append("chr20\t620\t760\tD@x")
    path = tmp_path / "peaks.bed"
    path.write_text("\n".join(rows) + "\n")
    return path


def words(home, out="out", *more):
    return ["cobind", "pairs", "-g", home / "genome.fa", "-o", out, "--replicates", 100, *more]


def test_peaks_and_a_scan_become_tables_pictures_and_networks(home, run, peaks, tmp_path):
    scan = ["scan", home / "genome.fa", "-m", home / "model", "-o", "scan", "-q", "--precision"]
    assert run(*scan, "fp32")[0] == 0
    code, out, err = run(*words(home, "out", "--peaks", peaks, "--scan", "scan"))
    assert code == 0 and out == "", err
    assert "left out for fewer than 20 bound bins: D@x (1)" in err
    parts = ("tsv", "graphml", "heatmap.svg", "network.svg")
    names = {f"{x}.{part}" for x in ("observed", "predicted") for part in parts}
    names |= {"run.json", "summary.json", "index.html"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    header, *rows = read_rows(tmp_path / "out" / "observed.tsv")
    assert [row[:2] for row in rows[:1]] == [["A@x", "B@x"]] and len(rows) == 3
    best = dict(zip(header, rows[0], strict=True))
    assert best["both"] == best["sites_a"] == "28"
    assert float(best["shift_p"]) < 1e-6
    assert "active_p" not in best
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["observed"]["partners"] == 1 and summary["agreement"] == {"pairs": 0}
    # the same again, by a seed
    assert run(*words(home, "again", "--peaks", peaks))[0] == 0
    same = [(tmp_path / x / "observed.tsv").read_bytes() for x in ("out", "again")]
    assert same[0] == same[1]


def test_bad_input_is_told_in_a_line(home, run, peaks, tmp_path):
    (tmp_path / "empty").mkdir()
    key = {"key": {"command": "scan", "targets": ["A@x"]}}
    (tmp_path / "silent" / "peaks").mkdir(parents=True)
    (tmp_path / "silent" / "run.json").write_text(json.dumps(key))
    (tmp_path / "silent" / "peaks" / "A@x.narrowPeak").touch()
    with_peaks = ("--peaks", peaks)
    fails(run(*words(home, "o", *with_peaks, "-t", "A@x,Z@x")), "no label 'Z@x'", "--targets")
    fails(run(*words(home, "o", *with_peaks, "-t", "A@x,D@x")), "D@x (1)", "--min-sites")
    fails(run(*words(home, "o", *with_peaks, "--min-sites", 40)), "A@x (28), B@x", "need two")
    fails(run(*words(home, "o", *with_peaks, "-t", "A@x")), "only label A@x", "need two")
    fails(run(*words(home, "o", "--scan", "empty")), "no output of tcnfast scan")
    fails(run(*words(home, "o", "--scan", "silent")), "holds no call", "--cutoff")
    fails(run(*words(home, "o")), "nothing to look at")
    refused(run(*words(home, "o", *with_peaks, "--bin", 300)), "multiple of the bin")
    fails(run(*words(home, "o", *with_peaks, "--part", "test")), "--part needs --split")
    refused(run(*words(home, "o", *with_peaks, "--fdr", 2)), "between 0 and 1")
    refused(run(*words(home, "o", *with_peaks, "--ambiguous", peaks)), "bound peaks only")
    fails(run("cobind", "pairs", "-g", home / "genome.fa"), "nothing to look at")
    assert_nothing_written(tmp_path, "peaks.bed", "empty", "silent")


def test_a_config_file_goes_to_the_form(home, run, peaks, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"replicates": 30, "targets": ["A@x", "B@x"]}))
    command = ["cobind", "pairs", "--config", "c.json", "-g", home / "genome.fa", "-o", "out"]
    assert run(*command, "--peaks", peaks)[0] == 0
    assert len(read_rows(tmp_path / "out" / "observed.tsv")) == 2
    (tmp_path / "c.json").write_text(json.dumps({"margin": 3}))
    fails(run(*command, "--peaks", peaks), "'margin' is no option of tcnfast cobind pairs")


def test_a_part_of_a_split(home, run, peaks, tmp_path):
    spans = {"train": "1-50000", "valid": "50001-60000", "test": "60001-100000"}
    split = {part: [f"chr20:{span}"] for part, span in spans.items()}
    (tmp_path / "split.json").write_text(json.dumps(split))
    more = ("--peaks", peaks, "--split", "split.json", "--min-sites", 3)
    assert run(*words(home, "test", *more, "--part", "test"))[0] == 0
    summary = json.loads((tmp_path / "test" / "summary.json").read_text())
    assert summary["observed"]["bins"] == 200


def test_from_python(home, peaks, tmp_path):
    files = dict(genome=[home / "genome.fa"], peaks=[peaks])
    tables = tcnfast.cobind.pairs(out=tmp_path / "out", replicates=40, **files)
    assert list(tables) == ["observed"] and len(tables["observed"].labels) == 3
