"""Tiles of sequence without labels: where they may lie, and that teachers alone see them."""

import numpy as np
import pytest
from support.dataset import LABELS, REGIONS, SIZES

from tcnfast.base.errors import TcnfastError
from tcnfast.data.tile_options import TileOptions
from tcnfast.data.training_tiles import TileSampler
from tcnfast.data.unlabelled import UnlabelledTiles
from tcnfast.genome.genome import Genome, Region
from tcnfast.genome.labels import AMBIGUOUS

LENGTH = 200


def genome_of(folder, contigs):
    path = folder / "more.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in contigs.items()))
    return Genome(path)


def letters(size, seed=1):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size))


def places(tiles, number=3000, seed=0):
    """(contig, start, is reverse complement) of tiles that are drawn, found by their bases."""
    texts = {c: tiles.genome.codes(c).tobytes() for c in tiles.genome.sizes}
    for tile in tiles.draw(np.random.default_rng(seed), number):
        for flipped, bases in ((False, tile), (True, (3 - tile)[::-1])):
            hits = [(c, text.find(bases.tobytes())) for c, text in texts.items()]
            if found := [(c, start, flipped) for c, start in hits if start >= 0]:
                yield found[0]
                break
        else:
            raise AssertionError("the tile is not in the genome")


def test_held_out_regions_are_never_touched_and_all_else_is_reached(tmp_path):
    with genome_of(tmp_path, {"chr1": letters(2_000), "new": letters(700, 2)}) as genome:
        held_out = [Region("chr1", 1_500, 1_600), Region("chr1", 300, 900)]
        tiles = UnlabelledTiles(genome, LENGTH, held_out, {"chr1": 2_000, "chr2": 50})
        found = list(places(tiles))
    want = {("chr1", s) for s in [*range(101), *range(900, 1_301), *range(1_600, 1_801)]}
    want |= {("new", s) for s in range(501)}
    assert {(c, s) for c, s, _ in found} == {w for w in want if w in {f[:2] for f in found}}
    assert len({f[:2] for f in found}) > 0.85 * len(want)
    for edge in (("chr1", 0, 100), ("chr1", 900, 1_300), ("chr1", 1_600, 1_800), ("new", 0, 500)):
        starts = [s for c, s, _ in found if c == edge[0] and edge[1] <= s <= edge[2]]
        assert min(starts) - edge[1] < 20 and edge[2] - max(starts) < 20
    assert 0.45 < np.mean([f[2] for f in found]) < 0.55


def test_contigs_that_may_hide_held_out_sequence_are_left_out(tmp_path, caplog):
    contigs = {"chr1": letters(900), "20": letters(1_000, 2), "chrX": letters(800, 3)}
    contigs["other"] = letters(600, 4)
    labelled = {"chr1": 900, "chr20": 1_000, "chrX": 700}
    held_out = [Region("chr20", 0, 10), Region("chrX", 0, 10)]
    with genome_of(tmp_path, contigs) as genome:
        tiles = UnlabelledTiles(genome, LENGTH, held_out, labelled)
        assert {region.chrom for region in tiles.stretches} == {"chr1", "other"}
    assert "20, chrX left out: validation or test sequence may lie in it" in caplog.text


def test_alternative_loci_are_left_out_and_n_is_drawn_again(tmp_path):
    contigs = {"chr1": letters(400) + 3_000 * "N" + letters(400, 2), "chr1_alt": letters(900, 3)}
    with genome_of(tmp_path, contigs) as genome:
        tiles = UnlabelledTiles(genome, LENGTH, [], {})
        assert {region.chrom for region in tiles.stretches} == {"chr1"}
        drawn = tiles.draw(np.random.default_rng(0), 200)
    assert (drawn == 4).sum(1).max() <= LENGTH // 2


def test_no_room_is_one_line(tmp_path):
    with (
        genome_of(tmp_path, {"chr1": letters(500)}) as genome,
        pytest.raises(TcnfastError, match="no tile of 200 bases lies outside held-out regions"),
    ):
        UnlabelledTiles(genome, LENGTH, [Region("chr1", 150, 350)], {"chr1": 500})


def sampler(dataset, reach=0, unlabelled=None, **options):
    options = TileOptions(batch_size=40, tile_steps=5, **options)
    return TileSampler(dataset, REGIONS, 61, options, 10, reach, unlabelled)


def test_a_share_of_a_batch_has_no_labels_and_the_rest_is_as_ever(dataset, tmp_path):
    plain = sampler(dataset, mutate=0.0)
    with genome_of(tmp_path, {"new": letters(5_000, 7)}) as genome:
        tiles = UnlabelledTiles(genome, plain.tile_length, [], SIZES)
        mixed = sampler(dataset, unlabelled=tiles, unlabelled_share=0.25, mutate=0.0)
        codes, targets, _ = mixed.batch(2)
        again = mixed.batch(2)
        text = genome.codes("new").tobytes()
    assert codes.shape == plain.batch(2).codes.shape and targets.shape == (40, 5, len(LABELS))
    assert (targets[30:] == AMBIGUOUS).all() and (targets[:30] != AMBIGUOUS).any()
    inside = [c.tobytes() in text or (3 - c)[::-1].tobytes() in text for c in codes]
    assert inside == [False] * 30 + [True] * 10
    np.testing.assert_array_equal(codes, again.codes)


@pytest.mark.parametrize("mutate", [0.0, 0.3])
def test_reach_adds_bases_on_either_side_and_n_outside_the_region(dataset, mutate):
    """Tiles, targets and their draws stay what they are without it."""
    plain, wide = sampler(dataset, mutate=mutate), sampler(dataset, reach=2_000, mutate=mutate)
    codes, targets, _ = plain.batch(9)  # the last tenth has no base drawn anew
    more, same, _ = wide.batch(9)
    np.testing.assert_array_equal(more[:, 2_000:-2_000], codes)
    np.testing.assert_array_equal(same, targets)
    texts = [dataset.genome.codes(*region).tobytes() for region in REGIONS]
    for tile in more:
        known = tile[tile < 4]
        bases = known.tobytes(), (3 - known)[::-1].tobytes()
        assert any(b in text for b in bases for text in texts)
        edges = np.flatnonzero(np.diff(tile == 4))
        assert len(edges) <= 2
    assert (more == 4).any()
