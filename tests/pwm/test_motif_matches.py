"""Matches with known motifs, hits of motifs in regions, MEME files written."""

import numpy as np
import pytest
from support.motif import SITES, codes_of, random_motifs, sharp, write_genome, write_known

from tcnfast.genome.genome import Genome
from tcnfast.genome.intervals import Intervals, joined
from tcnfast.motifs.patterns import FLANK, core_of
from tcnfast.pwm.hits import HitFinder
from tcnfast.pwm.meme import DATABASE, Motif, MotifError, information, read_meme, write_meme
from tcnfast.pwm.similarity import ALIKE, best_matches


def test_a_motif_matches_itself_where_it_was_moved_to(tmp_path):
    pytest.importorskip("memelite", reason="the extra motifs is not installed")
    write_known(tmp_path / "known.meme")
    known = read_meme(tmp_path / "known.meme")
    target = next(motif for motif in known if motif.name == "ONE").probabilities
    around = np.full((3, 4), 0.25)
    queries = [
        np.concatenate([around, target, around[:1]]),
        np.concatenate([around, target[::-1, ::-1]]),
        target[2:],
    ]
    matches = best_matches(queries, known, count=3)
    found = [(x[0].target.name, x[0].offset, x[0].strand) for x in matches]
    assert found == [("ONE", 3, "+"), ("ONE", 3, "-"), ("ONE", -2, "+")]
    for query, (best, *others) in zip(queries, matches, strict=True):
        assert best.q < 1e-3 and all(match.q > 1e-3 for match in others)
        first, aligned = best.offset, best.aligned
        columns = range(max(first, 0), min(len(query), first + len(aligned)))
        assert len(columns) == best.overlap
        assert all(np.allclose(query[i], aligned[i - first]) for i in columns)


def test_a_target_that_does_not_look_alike_is_left_out():
    """A long query of hardly any information has small p-values against a long target."""
    pytest.importorskip("memelite", reason="the extra motifs is not installed")
    rng = np.random.default_rng(8)
    targets = random_motifs(40)
    targets.append(Motif("long", "long", rng.dirichlet([30] * 4, 33)))
    query = rng.dirichlet([20] * 4, 40)
    for match in best_matches([query, targets[3].probabilities], targets)[0]:
        assert match.similarity(query) >= ALIKE and match.target.name != "long"
    best = best_matches([targets[3].probabilities], targets)[0][0]
    assert best.target is targets[3]
    assert best.similarity(targets[3].probabilities) == pytest.approx(1)


def test_the_core_is_what_contributes_and_is_conserved():
    frequencies = np.full((30, 4), 0.25)
    frequencies[10:16] = sharp("TGACTC", "x").probabilities
    contributions = np.full((30, 4), 0.4) * frequencies  # flanks of some weight, not conserved
    contributions[10:16] += frequencies[10:16]
    assert core_of(contributions, frequencies) == slice(10 - FLANK, 16 + FLANK)


def test_information_of_a_column_is_two_bits_or_none():
    bits = information(np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    np.testing.assert_allclose(bits.sum(1), [2, 0, 1], atol=1e-12)
    assert bits[2, 0] == pytest.approx(0.5)


def test_the_bundled_database_is_jaspar():
    motifs = read_meme(DATABASE)
    assert len(motifs) == 879 and any(motif.name == "CTCF" for motif in motifs)
    assert "CC BY 4.0" in (DATABASE.parent / "README.md").read_text()


# MEME files


def test_a_meme_file_is_read_as_it_was_written(tmp_path):
    motifs = [sharp("ACGT", "a"), Motif("two words", "b", np.full((3, 4), 0.25))]
    write_meme(tmp_path / "x.meme", motifs, [7, 8])
    first, second = read_meme(tmp_path / "x.meme")
    assert (first.id, first.name, second.name) == ("M_a", "a", "two_words")
    np.testing.assert_allclose(first.probabilities, motifs[0].probabilities, atol=1e-6)
    assert "nsites= 7" in (tmp_path / "x.meme").read_text()


@pytest.mark.parametrize("ids", [["a b"], ["a", "a"], [""]])
def test_ids_that_a_meme_file_cannot_hold_are_refused(tmp_path, ids):
    with pytest.raises(MotifError, match="must be one word, and there once"):
        write_meme(tmp_path / "x.meme", [Motif("x", i, np.eye(4)) for i in ids], [1] * len(ids))


# hits


def regions(*rows):
    chrom, start, end = zip(*rows, strict=True)
    start, end = np.array(start), np.array(end)
    return Intervals(np.array(chrom, object), start, end, np.full(len(rows), -1))


def test_regions_that_overlap_or_touch_are_joined():
    given = regions(("a", 50, 60), ("b", 0, 9), ("a", 0, 20), ("a", 10, 30), ("a", 30, 40))
    found = {chrom: list(zip(*joined(given.on(chrom)), strict=True)) for chrom in "abc"}
    assert found == {"a": [(0, 40), (50, 60)], "b": [(0, 9)], "c": []}


def test_hits_are_found_on_both_strands_and_not_across_edges_or_n(tmp_path):
    rng = np.random.default_rng(5)
    genome = rng.integers(0, 4, 3000, np.uint8)
    site = codes_of(SITES["TWO"])
    for at, strand in ((100, 1), (500, -1), (895, 1), (1500, 1)):
        genome[at : at + 12] = site if strand == 1 else 3 - site[::-1]
    genome[1505] = 4
    write_genome(tmp_path / "g.fa", genome)
    motif = sharp(SITES["TWO"], "TWO")
    where = regions(("chr1", 0, 600), ("chr1", 400, 900), ("chr1", 1400, 1600))
    with Genome(tmp_path / "g.fa") as opened:
        chrom, hits = HitFinder([motif], p_value=1e-6).hits_in(opened, where)
        assert len(HitFinder([]).hits_in(opened, where)[1]) == 0
        assert len(HitFinder([motif]).hits_in(opened, where.take(np.zeros(0, int)))[1]) == 0
    assert chrom.tolist() == ["chr1", "chr1"]
    assert hits.start.tolist() == [100, 500] and hits.end.tolist() == [112, 512]
    assert hits.reverse.tolist() == [False, True]
    assert (hits.p < 1e-6).all() and (hits.score > 15).all()
