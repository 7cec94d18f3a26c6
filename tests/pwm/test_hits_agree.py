"""The same hits, whoever asks: a scan, the hits of found motifs, a variant's page, co-binding, the
floors of an evaluation and a motif as a network, on a sequence with Ns."""

import gzip

import numpy as np
import pytest
import torch
from support.motif import SITES, codes_of, random_motifs, sharp, write_genome

import tcnfast
from tcnfast.cobind.scrambles import best_sites
from tcnfast.genome.codes import N
from tcnfast.genome.genome import Genome
from tcnfast.genome.intervals import Intervals
from tcnfast.pwm.hits import HitFinder
from tcnfast.pwm.learned_matrices import best_sums
from tcnfast.pwm.log_odds import UNITS_PER_BIT, log_odds
from tcnfast.pwm.meme import read_meme, write_meme
from tcnfast.pwm.placements import best_placements, bin_scores, placement_scores
from tcnfast.variants import variant_page

SIZE, P = 6_000, 1e-3


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with g.fa and m.meme, and codes with sites beside, across and inside Ns."""
    folder, rng = tmp_path_factory.mktemp("agree"), np.random.default_rng(11)
    codes = rng.integers(0, 4, SIZE, np.uint8)
    site = codes_of(SITES["TWO"])
    for at in (0, 400, 1_000, 1_500, 2_000, SIZE - 12):
        codes[at : at + 12] = site if at % 1_000 else 3 - site[::-1]
    codes[[399, 412, 1_005, 2_000]] = N  # beside a site on both sides, and in two
    codes[3_000:3_100] = N
    write_genome(folder / "g.fa", codes)
    motifs = [sharp(letters, name) for name, letters in SITES.items()] + random_motifs(6)
    write_meme(folder / "m.meme", motifs, [20] * len(motifs))
    return folder, codes, read_meme(folder / "m.meme")


@pytest.fixture(scope="module")
def expected(lab):
    """(motif, start, strand): score in bits, of every hit, added up base by base."""
    _, codes, motifs = lab
    finder, found = HitFinder(motifs, p_value=P), {}
    for index, (units, cutoff) in enumerate(zip(finder.units, finder.cutoffs, strict=True)):
        width = len(units)
        for start in range(SIZE - width + 1):
            site = codes[start : start + width]
            if (site == N).any():
                continue
            for strand, letters in zip("+-", (site, 3 - site[::-1]), strict=True):
                score = int(units[np.arange(width), letters].sum())
                if score >= cutoff:
                    found[motifs[index].id, start, strand] = score / UNITS_PER_BIT
    assert len(found) > 50
    return found


def as_dict(motifs, hits):
    names = [motifs[index].id for index in hits.motif.tolist()]
    strands = np.where(hits.reverse, "-", "+").tolist()
    return dict(
        zip(zip(names, hits.start.tolist(), strands, strict=True), hits.score.tolist(), strict=True)
    )


def test_hits_of_codes(lab, expected):
    _, codes, motifs = lab
    hits = HitFinder(motifs, p_value=P).hits(codes)
    assert as_dict(motifs, hits) == expected and (hits.p <= P).all()
    starts = {start for id, start, _ in expected if id == "M_TWO"}
    assert {0, 400, 1_500, SIZE - 12} <= starts and not {1_000, 2_000} & starts


def test_a_scan(lab, expected, tmp_path):
    folder, _, motifs = lab
    settings = dict(motifs=folder / "m.meme", p_value=P, background="uniform")
    result = tcnfast.scan(folder / "g.fa", out=tmp_path / "s", **settings)
    found = {}
    for path in (result.path / "hits").iterdir():
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            _, start, _, id, score, strand, p = line.split("\t")
            found[id, int(start), strand] = float(score)
            assert float(p) <= P
    assert found.keys() == expected.keys()
    assert all(found[key] == pytest.approx(expected[key], abs=0.0051) for key in found)


def test_regions_of_a_genome_as_tcnfast_motifs_asks(lab, expected):
    folder, _, motifs = lab
    whole = Intervals(*(np.array([x]) for x in ("chr1", 0, SIZE, -1)))
    whole.chrom[:] = "chr1"
    with Genome(folder / "g.fa") as genome:
        chrom, hits = HitFinder(motifs, p_value=P).hits_in(genome, whole)
    assert as_dict(motifs, hits) == expected and set(chrom) == {"chr1"}


def test_a_page_of_variants(lab, expected):
    _, codes, motifs = lab
    finder = HitFinder(motifs, p_value=P)
    seen = 0
    for at in (5, 405, 1_005, 1_508, 2_000, 3_050):
        first = max(at - variant_page.REACH, 0)
        piece = codes[first : at + variant_page.REACH + 1]
        found = variant_page.motifs_at(piece, at - first, 1, finder)
        widths = {motif.id: len(motif.probabilities) for motif in motifs}
        names = {motif.id: motif.name for motif in motifs}
        inside = {
            names[id]
            for id, start, _ in expected
            if first <= start <= at < start + widths[id] <= first + len(piece)
        }
        assert set(found) == inside and all(p <= P for p in found.values())
        seen += len(inside)
    assert seen >= 3


def test_bins_rows_and_networks(lab, expected):
    """Floors score bins, co-binding scores rows, networks score windows: the best hit of each."""
    _, codes, motifs = lab
    width, starts = 200, np.arange(0, SIZE, 200)
    rows = codes.reshape(-1, width)
    for motif, cutoff in zip(motifs, HitFinder(motifs, p_value=P).cutoffs, strict=True):
        matrix, length = log_odds(motif), len(motif.probabilities)
        best = {}
        for (id, start, _), score in expected.items():
            row, offset = divmod(start, width)
            if id == motif.id and offset + length <= width:
                best[row] = max(best.get(row, -np.inf), score)
        bins = bin_scores(codes, matrix, starts, width)
        assert np.flatnonzero(bins * UNITS_PER_BIT >= cutoff).tolist() == sorted(best)
        assert all(bins[row] == score for row, score in best.items())
        first, score = best_placements(rows, matrix)
        np.testing.assert_array_equal(score, bins)
        weight = torch.from_numpy(matrix.T.copy())[None]
        network = best_sums(torch.from_numpy(rows), weight)[:, 0].numpy()
        np.testing.assert_array_equal(network, bins)
        sites = best_sites(rows, motif, 90, np.random.default_rng(0))
        inner = placement_scores(np.ascontiguousarray(rows[:, 10:191]), matrix)
        np.testing.assert_array_equal(sites.score, inner.max(1))
        np.testing.assert_array_equal(sites.start, 10 + inner.argmax(1))
