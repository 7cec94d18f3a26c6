"""Scores of one contig, by the scan and cut by hand."""

from contextlib import closing

import numpy as np
import torch

from tcnfast.genome.codes import reverse_complement
from tcnfast.scan.pieces import Stretch, n_steps
from tcnfast.scan.pipeline import Pipeline, Scorer


class Contigs:
    """A Genome of codes in memory."""

    def __init__(self, **contigs):
        self.contigs = {name: np.asarray(codes, np.uint8) for name, codes in contigs.items()}
        self.sizes = {name: len(codes) for name, codes in self.contigs.items()}

    def codes(self, chrom, start, end):
        return cut(self.contigs[chrom], start, end)


def cut(codes, start, end):
    """[start, end) of a contig, N outside."""
    index = np.arange(start, end)
    inside = (index >= 0) & (index < len(codes))
    out = np.full(end - start, 4, np.uint8)
    out[inside] = codes[index[inside]]
    return out


def contig(size, seed=0, gaps=()):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, size, np.uint8)
    codes[rng.random(size) < 0.03] = 4
    for start, end in gaps:
        codes[start:end] = 4
    return codes


@torch.inference_mode()
def by_hand(model, codes, stride, strand):
    """Logits (steps, labels) of every window on its own, NaN where the label bin is all N."""
    half, label_bin = model.receptive_field // 2, model.config.label_bin
    steps = -(-len(codes) // stride)
    centres = [stride * step + stride // 2 for step in range(steps)]
    windows = np.stack([cut(codes, c - half, c + half + 1) for c in centres])
    plus = model(torch.from_numpy(windows)).numpy()
    minus = model(torch.from_numpy(reverse_complement(windows))).numpy()
    both = {"both": (plus + minus) / 2, "max": np.maximum(plus, minus)}
    logits = {"+": plus, "-": minus, **both}[strand]
    for step, centre in enumerate(centres):
        start = centre - label_bin // 2
        if (cut(codes, start, start + label_bin) == 4).all():
            logits[step] = np.nan
    return logits


def scorer_of(model, stride=32, strand="both", precision="fp32"):
    return Scorer(model, strand, device="cpu", precision=precision, stride=stride)


def scan_contig(scorer, genome, chrom, *, batch_size=1, wanted=None, segment_bases=None):
    """Logits of every step of a contig, in order, with N around its ends; ``wanted`` may drop
    segments of steps [first, last)."""
    pipeline = Pipeline(scorer, genome, None, batch_size=batch_size, segment_bases=segment_bases)
    steps = n_steps(genome.sizes[chrom], scorer.plan.stride)
    whole = Stretch(0, chrom, 0, steps, steps)
    with closing(pipeline.scored(pipeline.groups(whole, wanted))) as scored:
        for _, result in scored:
            yield from result()


def scores(scorer, codes, **options):
    """All segments of a contig put together; each step must come once, in order."""
    segments = list(scan_contig(scorer, Contigs(chr=codes), "chr", **options))
    firsts = np.cumsum([0, *(len(segment.logits) for segment in segments)])
    assert [segment.first_step for segment in segments] == firsts[:-1].tolist()
    assert all(segment.logits.dtype == np.float32 for segment in segments)
    return np.concatenate([segment.logits for segment in segments])


def assert_scores(got, want, tolerance=1e-5):
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    scale = np.nanmax(np.abs(want), initial=1e-9)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)
