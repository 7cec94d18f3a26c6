"""Variants that break or make a planted motif: the sign of the effect, for the label it is of."""

import numpy as np
import pytest
from support.planted import KINDS, MOTIFS
from support.scan import write_fasta

from tcnfast import Genome
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.variants.effects import EffectScorer
from tcnfast.variants.records import Allele

CASES = {  # what stands there, the motif that is broken, the label, the sign of breaking it
    "SINGLE": (("SINGLE",), "SINGLE", "SINGLE", -1),
    "ACTIVATOR": (("ACTIVATOR",), "ACTIVATOR", "REPRESSED", -1),
    "REPRESSOR": (("ACTIVATOR", "REPRESSOR"), "REPRESSOR", "REPRESSED", 1),
}
WINDOWS = 60
EDGE = 2  # bases of a motif's ends, which matter less


def place_of(codes, motif):
    """First base of a motif, on either strand."""
    for letters in (encode(MOTIFS[motif]), reverse_complement(encode(MOTIFS[motif]))):
        views = np.lib.stride_tricks.sliding_window_view(codes, len(letters))
        found = np.flatnonzero((views == letters).all(1))
        if len(found):
            return int(found[0])
    raise AssertionError(f"{motif} was not planted")


def alleles_of(planted, kind, motif, rng):
    """The genome's contigs, and one substitution in the motif of each."""
    contigs, alleles = {}, []
    for row in planted.of(*kind)[:WINDOWS]:
        codes = planted.codes[row]
        pos = place_of(codes, motif) + int(rng.integers(EDGE, len(MOTIFS[motif]) - EDGE))
        alt = (int(codes[pos]) + int(rng.integers(1, 4))) % 4
        text = np.frombuffer(b"ACGT", np.uint8)[codes].tobytes()
        contigs[f"w{row}"] = text
        alleles.append(Allele(0, f"w{row}", pos, ".", text[pos : pos + 1], b"ACGT"[alt : alt + 1]))
    return contigs, alleles


@pytest.mark.parametrize("mode", ["centre", "full"])
@pytest.mark.parametrize("case", CASES)
def test_breaking_and_making(planted, tmp_path, case, mode):
    """At least 95 of 100 have the right sign; undoing the change has the other one."""
    kind, motif, label, sign = CASES[case]
    assert kind in KINDS
    contigs, broken = alleles_of(planted, kind, motif, np.random.default_rng(3))
    assert len(broken) == WINDOWS
    made, mended = {}, []
    for allele in broken:
        text = contigs[allele.chrom]
        made[allele.chrom] = text[: allele.pos] + allele.alt + text[allele.pos + 1 :]
        mended.append(allele._replace(ref=allele.alt, alt=allele.ref))
    scorer = EffectScorer(planted.model, mode, 4, device="cpu")
    at = planted.model.labels.index(label)
    name = "sum_delta_logit" if mode == "full" else "alt_logit"
    for texts, alleles, expected in ((contigs, broken, sign), (made, mended, -sign)):
        with Genome(write_fasta(tmp_path / f"{expected}.fa", texts)) as genome:
            columns = scorer(genome, alleles)
        delta = columns[name] - (columns["ref_logit"] if mode == "centre" else 0)
        right = (np.sign(delta[:, at]) == expected).mean()
        assert right >= 0.95, f"{right:.2f} of the signs are right"
