"""What the tests of variants share: a genome, a model that calls, windows made by hand."""

import numpy as np
import torch

from tcnfast.engines.plan import Plan
from tcnfast.variants.records import Allele

CONTIGS = {"chr1": 6_000, "chr2": 300}
VCF_HEAD = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def logits(model, windows, strand="both"):
    """float64-like logits (N, labels) of windows, texts of RF letters, from plain plans."""
    from tcnfast import encode

    codes = np.stack([encode(window) for window in windows])
    options = dict(device="cpu", precision="fp64", stride=1, backend="reference")
    strands = ["+", "-"] if strand == "max" else [strand]
    sides = [Plan(model, strand=x, **options)(codes)[:, 0] for x in strands]
    return (torch.maximum(*sides) if strand == "max" else sides[0]).numpy()


def window(text, centre, field):
    """The window of ``text`` centred on a base, N outside."""
    padding = "N" * field
    start = centre + field - field // 2
    return (padding + text + padding)[start : start + field]


def haplotype(text, allele):
    return text[: allele.pos] + allele.alt.decode() + text[allele.pos + len(allele.ref) :]


def random_alleles(letters, number, seed=0):
    """Substitutions, insertions, deletions and the like, at contig ends too; in no order."""
    rng = np.random.default_rng(seed)
    alleles = []
    places = [(name, pos) for name, size in CONTIGS.items() for pos in (0, 1, size - 2, size - 1)]
    while len(alleles) < number:
        name = str(rng.choice(list(CONTIGS)))
        chrom, pos = places.pop() if places else (name, int(rng.integers(CONTIGS[name])))
        sizes = [(1, 1), (1, 1), (1, 1), (1, 7), (9, 1), (3, 3), (40, 2), (2, 50)]
        before, after = sizes[rng.integers(len(sizes))]
        ref = letters[chrom][pos : pos + before]
        alt = "".join(rng.choice(list("ACGT"), after))
        if "N" not in ref and ref != alt:
            alleles.append(Allele(0, chrom, pos, ".", ref.encode(), alt.encode()))
    return alleles


def vcf(path, rows, head=VCF_HEAD):
    """``rows``: chrom, 1-based pos, ref, alt; or whole lines."""
    lines = []
    for number, row in enumerate(rows):
        if not isinstance(row, str):
            chrom, pos, ref, alt = row
            row = f"{chrom}\t{pos}\tid{number}\t{ref}\t{alt}\t.\tPASS\tDP={number}"
        lines.append(row)
    path.write_text(head + "".join(line + "\n" for line in lines))
    return path


def rows_of(found):
    return [(a.chrom, a.pos + 1, a.ref.decode(), a.alt.decode()) for a in found]
