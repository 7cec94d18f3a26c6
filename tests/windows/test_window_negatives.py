"""Negatives of ``tcnfast windows prepare``: where they lie, how many, and their GC."""

import shutil

import bioframe
import numpy as np
import pytest
from support.window import (
    LABELS,
    SIZES,
    built,
    naive_sites,
    recipe_file,
    spans,
    touches,
    window_words,
)

from tcnfast.genome.genome import Genome
from tcnfast.windows.window_ground import MAX_N
from tcnfast.windows.window_leaks import composition
from tcnfast.windows.window_report import gc_shares
from tcnfast.windows.window_set import (
    ELSEWHERE,
    FLANK,
    GC,
    KINDS,
    OTHER,
    PARTS,
    SHUFFLE,
    SITE,
    WindowSet,
)

# bioframe, the oracle, still uses what pandas deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


def test_negatives_keep_away(lab, made):
    every = [row for rows in (*lab.peaks.values(), *lab.relaxed.values()) for row in rows]
    own = [row for x in LABELS for row in lab.peaks[x] + lab.relaxed.get(x, [])]
    for kind in (GC, FLANK):
        assert not touches(spans(made, made.kind == kind), every).any()
    others = spans(made, made.kind == ELSEWHERE)
    assert not touches(others, own).any() and touches(others, lab.peaks["A@three"]).all()
    # of the negatives with places of their own, none overlaps another but where two peaks do
    table = spans(made, (made.kind == GC) | (made.kind == FLANK))
    assert (bioframe.count_overlaps(table, table)["count"] == 1).all()
    assert (bioframe.count_overlaps(others, table)["count"] == 0).all()
    listed = [("chr1", 30_000, 36_000), ("chr3", 12_000, 18_000)]
    assert not touches(spans(made), listed).any()
    unknown = (made.codes == 4).mean(1)
    assert unknown[made.start >= 0].max() <= MAX_N and unknown.max() > 0


def test_flanks_lie_beside_sites(lab, made):
    """Of all sites: some are not in the set because they lie on N."""
    middles = naive_sites(lab)
    for i in np.flatnonzero(made.kind == FLANK):
        away = np.abs(np.array(middles[made.chroms[made.chrom[i]]]) - 250 - made.start[i])
        assert ((made.length <= away) & (away <= 4 * made.length)).any()


def test_numbers_of_each_kind(lab, made):
    for part in range(len(PARTS)):
        counts = np.bincount(made.kind[made.part == part], minlength=len(KINDS)).tolist()
        sites = counts[SITE]
        assert counts[GC] == counts[FLANK] == round(sites / 2), counts
        assert counts[SHUFFLE] == round(sites / 4) and 0 < counts[ELSEWHERE] <= round(sites / 4)


def distance(a, b):
    """Wasserstein distance of two samples."""
    q = (np.arange(1_000) + 0.5) / 1_000
    return np.abs(np.quantile(a, q) - np.quantile(b, q)).mean()


def test_gc_windows_have_the_gc_of_sites(lab, made):
    gc, rng = gc_shares(made.codes), np.random.default_rng(0)
    train = made.part == 0
    sites, matched = (gc[train & (made.kind == kind)] for kind in (SITE, GC))
    with Genome(lab.folder / "g.fa") as genome:
        starts = rng.integers(0, SIZES["chr1"] - 500, 300).tolist()
        anywhere = gc_shares(np.stack([genome.codes("chr1", x, x + 500) for x in starts]))
    assert distance(sites, matched) < 0.012
    assert distance(sites, anywhere[np.isfinite(anywhere)]) > 0.04


def test_shuffles_are_of_sites_of_their_part(made):
    sites, shuffled = (made.take(made.kind == kind) for kind in (SITE, SHUFFLE))
    at = {(c, s): i for i, (c, s) in enumerate(zip(sites.chrom, sites.start, strict=True))}
    source = [at[key] for key in zip(shuffled.chrom, shuffled.start, strict=True)]
    np.testing.assert_array_equal(composition(shuffled.codes), composition(sites.codes[source]))
    np.testing.assert_array_equal(shuffled.part, sites.part[source])
    assert (shuffled.codes != sites.codes[source]).mean(1).min() > 0.3


def test_what_is_not_found_is_said(run, lab):
    made, err = built(run, lab, recipe_file(lab, negatives={"elsewhere": 100}))
    wanted = 100 * int(((made.kind == SITE) & (made.part == 0)).sum())
    found = int(((made.kind == ELSEWHERE) & (made.part == 0)).sum())
    assert f"elsewhere windows of train: {wanted} asked for, {found} found" in err


def test_peaks_off_the_genome_are_said(run, lab, made):
    more = dict(lab.peaks) | {"D@four": [*lab.peaks["D@four"], ("chr9", 5, 90, 50)]}
    lab.table("more.bed", more)
    words = window_words(lab, recipe_file(lab), "--force")
    words[words.index(lab.folder / "peaks.bed")] = lab.folder / "more.bed"
    code, _, err = run(*words)
    assert code == 0 and "the genome lacks their contig: 1" in err
    np.testing.assert_array_equal(WindowSet.open("set").codes, made.codes)


def test_other_factors_of_the_same_cells_and_windows_cut_to_peaks(run, lab):
    values = {"labels": ["A@one"], "negatives": {"other": 0.5, "elsewhere": 0.5}}
    made, _ = built(run, lab, recipe_file(lab, trim=True, **values))
    own = lab.peaks["A@one"] + lab.relaxed["A@one"]
    # B@one is the only other label of the cell line
    others = made.kind == OTHER
    assert others.sum() > 10 and touches(spans(made, others), lab.peaks["B@one"]).all()
    assert not touches(spans(made, others), own).any()
    ends = {}
    kinds = {"A@one": SITE, "B@one": OTHER, "A@two": ELSEWHERE, "A@three": ELSEWHERE}
    for label, kind in kinds.items():
        for chrom, start, end, summit in lab.peaks[label]:
            ends.setdefault((kind, chrom, summit), []).append(max(summit - start, end - summit))
    shutil.rmtree("set")
    whole, checked = built(run, lab, recipe_file(lab, **values))[0], 0
    np.testing.assert_array_equal(made.start, whole.start)
    for i in range(len(made)):
        middle = int(made.start[i]) + made.length // 2
        far = max(ends[made.kind[i], made.chroms[made.chrom[i]], middle])
        expected = whole.codes[i].copy()
        expected[: max(0, made.length // 2 - far)] = 4
        expected[made.length // 2 + far :] = 4
        np.testing.assert_array_equal(made.codes[i], expected)
        checked += far < made.length // 2
    assert checked > 50
