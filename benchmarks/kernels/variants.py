"""Effects of single-base variants: tcnfast beside eager PyTorch on the same model, in one run.

    python -m benchmarks.kernels.variants chr20.fa [--variants N] [--sample N] [--rounds N]
        [--only CASE]

Variants are random substitutions of known bases, ``--variants`` of them spread evenly over the
contig, of which the first some thousand are scored. Both strands, float32, files of
variants apart. ``centre``: PyTorch scores the two windows of each variant with the model in its
pruned form, ``model(x)``. ``full``: PyTorch computes every base's score over the 2 RF - 1 bases
around the variant, ``model.dense(x)``, with either allele; tcnfast computes the steps that are
wanted, which is what pruning is for, so its stride-1 form stands beside it. PyTorch's side is timed
on a sample of the variants (batches of the best of a few sizes) and scaled to all of them, and is
marked so; on the sample both sides must agree to 1e-4. Rounds alternate; medians.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import tcnfast
from benchmarks import harness
from benchmarks.harness import record
from tcnfast.bench.speed import Clock
from tcnfast.genome.codes import reverse_complement
from tcnfast.variants.effects import EffectScorer
from tcnfast.variants.records import CHUNK_ALLELES, Allele

PEER = "PyTorch, scaled"
BATCHES = (8, 16, 32, 64, 256)  # windows


def random_variants(genome: tcnfast.Genome, chrom: str, number: int) -> list[Allele]:
    codes = genome.codes(chrom)
    rng = np.random.default_rng(0)
    known = np.flatnonzero(codes < 4)
    positions = np.sort(rng.choice(known, min(number, len(known)), replace=False))
    alts = (codes[positions] + rng.integers(1, 4, len(positions))) % 4
    letters = [b"A", b"C", b"G", b"T"]
    pairs = zip(positions.tolist(), codes[positions].tolist(), alts.tolist(), strict=True)
    return [Allele(0, chrom, at, ".", letters[ref], letters[alt]) for at, ref, alt in pairs]


def engine(scorer: EffectScorer, genome: tcnfast.Genome, alleles: list[Allele]) -> dict:
    """Columns of all alleles, by chunks as the command has them."""
    parts = [
        scorer(genome, alleles[begin : begin + CHUNK_ALLELES])
        for begin in range(0, len(alleles), CHUNK_ALLELES)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def stretches(genome: tcnfast.Genome, alleles: list[Allele], reach: int) -> list[np.ndarray]:
    """Codes (N, 2 reach + 1) around each variant with REF, and with ALT."""
    ref = np.stack([genome.codes(a.chrom, a.pos - reach, a.pos + reach + 1) for a in alleles])
    alt = ref.copy()
    alt[:, reach] = [b"ACGT".index(a.alt) for a in alleles]
    return [ref, alt]


@torch.inference_mode()
def eager(model, codes: np.ndarray, batch: int, dense: bool, device: str) -> np.ndarray:
    """Mean logits of both strands, (N, labels) of windows or (N, labels, P) of stretches."""
    out = []
    for begin in range(0, len(codes), batch):
        part = codes[begin : begin + batch]
        plus, minus = (
            torch.from_numpy(tcnfast.one_hot(np.ascontiguousarray(x))).to(device)
            for x in (part, reverse_complement(part))
        )
        if dense:
            logits = (model.dense(plus, stride=1) + model.dense(minus, stride=1).flip(-1)) / 2
        else:
            logits = (model(plus) + model(minus)) / 2
        out.append(logits.cpu().numpy())
    return np.concatenate(out)


def best_batch(run, sample: int, clock: Clock) -> int:
    """The batch at which ``run(batch)`` is fastest."""
    times = {}
    for batch in sorted({min(batch, sample) for batch in BATCHES}):
        run(batch)
        times[batch] = min(clock.called(lambda batch=batch: run(batch)) for _ in range(3))
    return min(times, key=times.get)


def compare(name: str, model, genome, alleles, sample, scorers: dict, args) -> None:
    """One case: eager PyTorch on ``sample`` alleles against each of ``scorers`` on all."""
    half = model.receptive_field // 2
    dense = name != "centre"
    pairs = stretches(genome, sample, 2 * half if dense else half)

    def peer(batch: int):
        return [eager(model, codes, batch, dense, args.device) for codes in pairs]

    batch = best_batch(peer, len(sample), args.clock)
    sides = {PEER: lambda: peer(batch)}
    sides |= {n: lambda s=scorer: engine(s, genome, alleles) for n, scorer in scorers.items()}
    scale = {PEER: len(alleles) / len(sample)}
    given, medians = harness.compare(sides, args.rounds, args.clock, scale)
    for scorer in scorers.values():
        check(scorer, engine(scorer, genome, sample), given[PEER], sample, half)
    case = (
        f"{name}, {len(alleles)} SNVs of {alleles[0].chrom}, one a "
        f"{(alleles[-1].pos - alleles[0].pos) // len(alleles)} bp, {len(model.labels)} labels, "
        f"both strands, fp32; PyTorch on {len(sample)} in batches of {batch}"
    )
    for side, spent in medians.items():
        ratio = medians[PEER] / spent
        print(f"{case}: {side} {len(alleles) / spent:.0f} variants/s, {ratio:.1f} times")
    record("variants", case, medians, PEER)


def check(scorer: EffectScorer, got: dict, want: list[np.ndarray], sample, half: int) -> None:
    """Both sides must tell the same, to 1e-4 of a logit."""
    if scorer.mode == "centre":
        pairs = zip(("ref_logit", "alt_logit"), want, strict=True)
        worst = max(np.abs(got[name] - logits).max() for name, logits in pairs)
    else:
        # stretches give the scores of windows centred on pos - half to pos + half
        centres = np.array([a.pos for a in sample])[:, None] + np.arange(-half, half + 1)
        steps = centres % scorer.stride == scorer.stride // 2
        best = [np.where(steps[:, None], x, -np.inf).max(2) for x in want]
        pairs = zip(("ref_logit", "alt_logit"), best, strict=True)
        worst = max(np.abs(got[name] - logits).max() for name, logits in pairs)
    if worst > 1e-4:
        raise SystemExit(f"variants: {scorer.mode}: sides differ by {worst:.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("fasta", type=Path)
    parser.add_argument("--variants", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", help="one case alone: centre, full or 'full, every base'")
    args = parser.parse_args()
    args.clock = Clock(torch.device(args.device))
    model = tcnfast.load_model("encode-v1").eval()
    peer = tcnfast.load_model("encode-v1").eval().to(args.device)
    with tcnfast.Genome(args.fasta) as genome:
        chrom = max(genome.sizes, key=genome.sizes.get)
        alleles = random_variants(genome, chrom, args.variants)
        options = dict(device=args.device)
        # neighbours, so that they lie as close together as all of them do
        inside = [a for a in alleles if 3000 < a.pos < genome.sizes[chrom] - 3000]
        parts = {
            "centre": (40_000, args.sample, {"tcnfast": EffectScorer(model, "centre", **options)}),
            "full": (
                10_000,
                32,
                {"tcnfast, stride 32": EffectScorer(model, "full", 32, **options)},
            ),
            "full, every base": (1_000, 32, {"tcnfast": EffectScorer(model, "full", 1, **options)}),
        }
        for name, (number, sampled, scorers) in parts.items():
            if args.only not in (None, name):
                continue
            shown = inside[:number]
            sample = shown[:: max(1, len(shown) // sampled)][:sampled]
            compare(name, peer, genome, shown, sample, scorers, args)


if __name__ == "__main__":
    main()
