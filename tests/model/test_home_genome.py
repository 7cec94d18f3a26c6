"""Which genome a model knows: real pieces of human, shuffled human, and E. coli."""

import numpy as np
import pytest
from support.pieces import piece

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.assemblies import known_assembly
from tcnfast.genome.codes import encode
from tcnfast.genome.genome import Region
from tcnfast.genome.kmers import K, kmer_counts, likeness
from tcnfast.model.home_genome import GENOME, HomeGenome, read_home, write_home
from tcnfast.model.model_folder import ModelFolder

HG19_CHR20 = 63_025_520


def judged(codes, size=None, name="chr20"):
    """The verdict of encode-v1 on ``codes``, as the whole of a contig of ``size`` bases."""
    home = ModelFolder("encode-v1").home
    size = size or len(codes)

    def read(chrom, start, end):
        places = np.arange(start, end) % len(codes)
        return codes[places]

    return home.judge({name: size}, read)


def test_counts_are_those_of_both_strands():
    word = encode(b"ACGTT")
    counts = kmer_counts([word, encode(b"ACNGTTTT"), encode(b"GG")])
    words = ([0, 1, 2, 3, 3], [0, 0, 1, 2, 3], [2, 3, 3, 3, 3], [0, 0, 0, 0, 1])
    both = [int("".join(map(str, x)), 4) for x in words]
    assert counts.sum() == 4 and len(word) == K
    assert sorted(np.flatnonzero(counts)) == sorted(both)


def test_sequence_is_more_like_itself_than_chance_and_shuffled_less():
    human = piece("hg19.chr20")
    counts = kmer_counts([human])
    assert likeness(counts, counts) > 0.02
    shuffled = np.random.default_rng(0).permutation(human)
    assert likeness(kmer_counts([shuffled]), counts) < -0.02
    assert np.isnan(likeness(kmer_counts([human[:3]]), counts))


@pytest.mark.parametrize("name", ["hg19.chr20", "hg19.chrX"])
def test_human_is_no_stranger_whatever_it_is_called(name):
    codes = piece(name)
    for size, called in ((None, "x"), (HG19_CHR20, "chr20"), (HG19_CHR20, "20")):
        verdict = judged(codes, size, called)
        assert not verdict.foreign and verdict.words == ""


def test_a_short_piece_is_not_judged():
    for codes in (piece("hg19.chr20")[:2_000], piece("ecoli536")[:2_000]):
        assert not judged(codes).foreign


@pytest.mark.parametrize("of", ["ecoli536", "shuffled"])
def test_other_sequence_is_foreign_also_under_a_human_name(of):
    codes = piece("hg19.chr20" if of == "shuffled" else of)
    if of == "shuffled":
        codes = np.random.default_rng(0).permutation(codes)
    for size in (None, HG19_CHR20):
        verdict = judged(codes, size)
        assert verdict.foreign and "is not like that of human hg19" in verdict.words


def test_sizes_tell_other_species_and_assemblies():
    human = piece("hg19.chr20")
    mouse = judged(human, 195_471_971, "chr1")
    assert mouse.foreign and "this is mouse (mm10), the model is of human hg19" in mouse.words
    hg38 = judged(human, 64_444_167)
    assert not hg38.foreign and "this is hg38, the model was trained on human hg19" in hg38.words
    yeast = judged(human, 1_531_933, "IV")
    assert yeast.foreign and "baker's yeast (sacCer3)" in yeast.words
    assert known_assembly([5, 6]) is None and known_assembly([5, 59_128_983]).name == "hg19"


def test_what_a_model_says_of_its_genome(tmp_path):
    codes = piece("ecoli536")
    train, valid = [Region("c", 0, 40_000)], [Region("c", 40_000, 60_000)]
    home = HomeGenome.of({"c": 60_000}, lambda _, a, b: codes[a:b], train, valid)
    assert (home.species, home.assembly, home.contigs) == (None, None, {"c": 60_000})
    assert home.validated == ["c:40001-60000"] and "its genome c" in home.measured_on
    assert home.gc == pytest.approx(0.5, abs=0.05)
    write_home(tmp_path, home)
    assert read_home(tmp_path) == home
    # it knows its own kind, and human is none of it
    own = home.judge({"c": 60_000}, lambda _, a, b: codes[a:b])
    human = piece("hg19.chr20")
    other = home.judge({"x": len(human)}, lambda _, a, b: human[a:b])
    assert not own.foreign and other.foreign


@pytest.mark.parametrize("text, words", [('{"gc": 1}', "genome.json: "), ("[]", "must hold")])
def test_a_broken_file_is_named(tmp_path, text, words):
    (tmp_path / GENOME).write_text(text)
    with pytest.raises(TcnfastError, match=words):
        read_home(tmp_path)
