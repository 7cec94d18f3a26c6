"""What bases do, on the bundled model and real sequence, float32, against the tools of the field.

    python -m benchmarks.kernels.effects [--cases "ig of 1 label"] [--windows 2] [--wall]
    python -m benchmarks.kernels.effects --variants chr20.fa [--cases full] [--sample 192]
    python -m benchmarks.kernels.effects --forms

Attribution: one strand, PyTorch's number of threads (--threads). Mutagenesis scores every
substitution of a window of RF bases for all labels: "tangermeme" is its saturation_mutagenesis,
"... fast" the same with its recomputation of cones forced on, "engine" scores every mutated window
whole on the C++ engine. Integrated gradients: of one label or eight; captum has the same steps and
the best internal batch tried. Sides run warm in processes of their own (how memory is kept decides
much of PyTorch's time), take turns and must agree. Processor's seconds (--wall: the clock's).

Variants, both strands: random substitutions of known bases, ``--number`` of them spread over the
largest contig, of which the first some thousand are scored. ``centre``: PyTorch scores the two
windows of each variant with the pruned model, ``model(x)``. ``full``: PyTorch computes every base's
score over the 2 RF - 1 bases around the variant, ``model.dense(x)``, with either allele; tcnfast
computes only the steps that are wanted. PyTorch is timed on a sample, in batches of the best of a
few sizes, and scaled to all; on the sample both sides must agree to 1e-4. Medians.

Forms (`--forms`): full mode in two ways on one thread, for variants close together and far apart:
single bases as cones in PyTorch and as runs on the C++ engine; insertions from whole stretches and
as the same runs, which are not faster and not used. The rows of 2026-11-30 in house.csv are these.

Rows go to results/attribute.csv, variants.csv and variant_forms.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import torch

import tcnfast
from benchmarks import harness
from benchmarks.harness import GENOME, PROCESSOR, WALL, record, share_flags
from tcnfast.attribute.integrated_gradients import integrated_gradients
from tcnfast.attribute.mutagenesis import Mutagenesis
from tcnfast.attribute.networks import Networks, one_hot
from tcnfast.bench.speed import Clock
from tcnfast.engines import cpu_engine
from tcnfast.engines.backend import VARIABLE
from tcnfast.engines.cpu_engine import ChangedWindows
from tcnfast.engines.plan import Plan
from tcnfast.genome.codes import reverse_complement
from tcnfast.variants.effects import EffectScorer
from tcnfast.variants.engine_steps import EngineSteps
from tcnfast.variants.records import CHUNK_ALLELES, Allele
from tcnfast.variants.strategy import CENTRE
from tcnfast.variants.whole_steps import WholeSteps

MODULE = "benchmarks.kernels.effects"
FIRST, APART = 500_000, 50_000
STEPS, INTERNAL_BATCHES = 50, (10, 25, 50)
TOLERANCE = 1e-4  # logits
PEER = "PyTorch, scaled"
BATCHES = (8, 16, 32, 64, 256)  # windows


def windows(count: int, width: int) -> np.ndarray:
    """uint8 (count, width) of real sequence without N."""
    with tcnfast.Genome(GENOME) as genome:
        (chrom,) = genome.sizes
        starts = range(FIRST, FIRST + count * APART, APART)
        return np.stack([genome.codes(chrom, start, start + width) for start in starts])


def take_turns(case: str, names: list[str], args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each side, in processes of their own."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.turns):
            for name in names:
                out = Path(folder, f"{names.index(name)}.npy")
                words = [*sys.argv[1:], "--side", case, name, str(out)]
                command = [sys.executable, "-m", MODULE, *words]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                seconds[name] += json.loads(done.stdout.splitlines()[-1])
                print(f"  turn {turn + 1}, {name}: {seconds[name]}", flush=True)
        found = [np.load(Path(folder, f"{index}.npy")) for index in range(len(names))]
    for name, numbers in zip(names, found, strict=True):
        worst = np.abs(numbers - found[names.index("tcnfast")]).max()
        print(f"  {name}: largest difference {worst:.2g}")
        if not worst <= TOLERANCE:
            raise SystemExit(f"attribution: {name} gives other numbers")
    return {name: median(times) for name, times in seconds.items()}


def run_side(side: Callable[[], np.ndarray], out: str, args: argparse.Namespace) -> None:
    """What a process of a side does: its numbers to a file, its seconds to stdout."""
    clock = WALL if args.wall else PROCESSOR
    np.save(out, side())
    print(json.dumps([clock.called(side) for _ in range(args.rounds)]))


def mutagenesis_sides(model, codes: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Each gives the gains in logits (n, labels, 4, L)."""
    from tangermeme import saturation_mutagenesis as tangermeme

    n, width = codes.shape
    labels = list(range(len(model.labels)))
    ours = Mutagenesis(Networks(model, strand="+", device="cpu"))
    plan = Plan(model, device="cpu", precision="fp32", stride=2**model.config.blocks, strand="+")
    x = one_hot(torch.from_numpy(codes))

    def whole() -> np.ndarray:
        gains = np.zeros((n, len(labels), 4, width), np.float32)
        for i, window in enumerate(codes):
            base, place = np.nonzero(np.arange(4)[:, None] != window)
            mutated = np.tile(window, (len(place), 1))
            mutated[np.arange(len(place)), place] = base
            logits = plan(mutated)[:, 0].numpy() - plan(window)[0].numpy()
            gains[i][:, base, place] = logits.T
        return gains

    def theirs(fast: bool) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            tangermeme._FAST_MIN_SECONDS = 0.0  # it tries on small jobs too
            y0, y = tangermeme.saturation_mutagenesis(
                model, x, device="cpu", raw_outputs=True, fast=fast
            )
            return (y - y0[:, None, None]).permute(0, 3, 1, 2).numpy()

        return run

    return {
        "tangermeme": theirs(False),
        "tangermeme fast": theirs(True),
        "engine": whole,
        "tcnfast": lambda: ours.effects(codes, labels)[1],
    }


def gradient_sides(
    model, codes: np.ndarray, labels: list[int]
) -> dict[str, Callable[[], np.ndarray]]:
    """Each gives the attributions (labels, n, L) of the bases that are there."""
    from captum.attr import IntegratedGradients

    networks = Networks(model, strand="+", device="cpu")
    x = one_hot(torch.from_numpy(codes))
    there = x.bool()
    captum = IntegratedGradients(model)

    def theirs(batch: int) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            found = [
                captum.attribute(x, target=label, n_steps=STEPS, internal_batch_size=batch)
                for label in labels
            ]
            return torch.stack(found).sum(2).numpy()

        return run

    def ours() -> np.ndarray:
        found = integrated_gradients(networks, codes, labels, steps=STEPS)
        return np.stack([(e.hypothetical * there.numpy()).sum(1) for e in found])

    sides = {f"captum, batches of {batch}": theirs(batch) for batch in INTERNAL_BATCHES}
    return sides | {"tcnfast": ours}


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
        rate = f"{len(alleles) / spent:.0f} variants/s"
        print(f"{case}: {side} {rate}, {medians[PEER] / spent:.1f} times")
    if not args.dry:
        record("variants", case, medians, PEER)


def check(scorer: EffectScorer, got: dict, want: list[np.ndarray], sample, half: int) -> None:
    """Both sides must tell the same, to 1e-4 of a logit."""
    if scorer.mode == "full":  # stretches give scores of windows centred on pos - half to + half
        centres = np.array([a.pos for a in sample])[:, None] + np.arange(-half, half + 1)
        steps = centres % scorer.stride == scorer.stride // 2
        want = [np.where(steps[:, None], x, -np.inf).max(2) for x in want]
    pairs = zip(("ref_logit", "alt_logit"), want, strict=True)
    worst = max(np.abs(got[name] - logits).max() for name, logits in pairs)
    if worst > TOLERANCE:
        raise SystemExit(f"variants: {scorer.mode}: sides differ by {worst:.2g}")


# of neighbours, so that they lie as close together as all of them do: how many, how many of them
# PyTorch scores at most, and ours by name: mode and stride
OF_VARIANTS = {
    "centre": (40_000, 192, {"tcnfast": ("centre",)}),
    "full": (10_000, 32, {"tcnfast, stride 32": ("full", 32)}),
    "full, every base": (1_000, 32, {"tcnfast": ("full", 1)}),
}


def variants(args: argparse.Namespace, cases: list[str]) -> None:
    args.clock = Clock(torch.device(args.device))
    model = tcnfast.load_model("encode-v1").eval()
    peer = tcnfast.load_model("encode-v1").eval().to(args.device)
    with tcnfast.Genome(args.variants) as genome:
        chrom = max(genome.sizes, key=genome.sizes.get)
        alleles = random_variants(genome, chrom, args.number)
        inside = [a for a in alleles if 3000 < a.pos < genome.sizes[chrom] - 3000]
        for case in cases:
            number, most, ours = OF_VARIANTS[case]
            scorers = {
                name: EffectScorer(model, *how, device=args.device) for name, how in ours.items()
            }
            shown, sampled = inside[:number], min(most, args.sample)
            sample = shown[:: max(1, len(shown) // sampled)][:sampled]
            compare(case, peer, genome, shown, sample, scorers, args)


# how many, stride, and bases from one to the next on average
OF_FORMS = {
    "SNVs": [(600, 32, 60), (64, 32, 31_000), (64, 1, 60), (16, 1, 31_000)],
    "insertions": [(75, 32, 60), (8, 32, 31_000), (8, 1, 60), (4, 1, 31_000)],
}


def by_runs(steps: EngineSteps) -> Callable[[np.ndarray], torch.Tensor]:
    """Logits (N, scores, labels) of whole stretches (N, T), each a run of windows."""

    def logits(codes: np.ndarray) -> torch.Tensor:
        n, length = codes.shape
        scores = (length - steps.receptive_field) // steps.stride + 1
        starts, counts = length * np.arange(n), np.full(n, scores)
        same = np.zeros_like(starts), codes[:, 0], counts, steps.stride
        return steps.score(ChangedWindows(codes.ravel(), starts, *same))[0].view(n, scores, -1)

    return logits


def forms(args: argparse.Namespace, kinds: list[str]) -> None:
    torch.set_num_threads(1)
    model = tcnfast.load_model("encode-v1")
    for kind, (number, stride, apart) in ((k, case) for k in kinds for case in OF_FORMS[k]):
        ours = EffectScorer(model, "full", stride, device="cpu")
        if kind == "insertions":
            runs = WholeSteps(by_runs(ours.single), model.config.grid(stride))
            sides = {"WholeSteps": ours.others, "runs": runs}
        else:
            with mock.patch.dict(os.environ, {VARIABLE: "reference"}):
                cones = EffectScorer(model, "full", stride, device="cpu")
            sides = {"ConeSteps": cones.single, "EngineSteps": ours.single}
        with tcnfast.Genome(GENOME) as genome:
            ((chrom, size),) = genome.sizes.items()
            alleles = random_variants(genome, chrom, size // apart)[:number]
            if kind == "insertions":
                alleles = [allele._replace(alt=allele.ref + b"GAT") for allele in alleles]
            called = {name: partial(side, genome, alleles) for name, side in sides.items()}
            given, spent = harness.compare(called, args.rounds, PROCESSOR)
        before, after = sides
        worst = max(np.abs(given[before][c] - given[after][c]).max() for c in CENTRE)
        if not worst <= TOLERANCE:
            raise SystemExit(f"forms: {after} gives other numbers, by {worst:.2g}")
        case = f"full, {number} {kind}, stride {stride}, one a {apart} bp, both strands, fp32"
        harness.report("variant_forms", case, spent, before, args.dry)


OF_ATTRIBUTION = {
    "substitutions": lambda model, codes: mutagenesis_sides(model, codes),
    "ig of 1 label": lambda model, codes: gradient_sides(model, codes, [5]),
    "ig of 8 labels": lambda model, codes: gradient_sides(model, codes, list(range(0, 80, 10))),
}


def attribution(args: argparse.Namespace, cases: list[str]) -> None:
    torch.set_num_threads(args.threads)
    model = tcnfast.load_model("encode-v1")
    codes = windows(args.windows, model.receptive_field)
    if args.side:
        case, name, out = args.side
        if name == "tcnfast":
            cpu_engine.keep_freed_memory()  # as tcnfast attribute does
        return run_side(OF_ATTRIBUTION[case](model, codes)[name], out, args)
    for case in cases:
        what = (
            f"{case}, {args.windows} windows of {codes.shape[1]} bp, {args.threads} threads, "
            f"{'clock' if args.wall else 'processor time'}"
        )
        print(what, flush=True)
        medians = take_turns(case, list(OF_ATTRIBUTION[case](model, codes)), args)
        peers = [name for name in medians if name not in ("tcnfast", "engine")]
        baseline = min(peers, key=medians.get)
        for name, s in medians.items():
            ms = 1e3 * s / args.windows
            print(f"  {name}: {ms:.1f} ms a window, {medians[baseline] / s:.2f}")
        if not args.dry:
            record("attribute", what, medians, baseline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    share_flags(parser, rounds=3)
    every = [*OF_ATTRIBUTION, *OF_VARIANTS, *OF_FORMS]
    parser.add_argument("--cases", nargs="+", choices=every, help="default: all")
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2, help="processes of each side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="seconds of the clock")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--variants", type=Path, metavar="FASTA", help="effects of variants of it")
    parser.add_argument("--number", type=int, default=1_000_000, help="of variants of the contig")
    parser.add_argument("--sample", type=int, default=192, help="variants that PyTorch scores")
    parser.add_argument("--device", default="cpu", help="of variants")
    parser.add_argument("--forms", action="store_true", help="both forms of full mode")
    args = parser.parse_args()
    run, known = (variants, OF_VARIANTS) if args.variants else (attribution, OF_ATTRIBUTION)
    run, known = (forms, OF_FORMS) if args.forms else (run, known)
    cases = args.cases or list(known)
    if wrong := [case for case in cases if case not in known]:
        parser.error(f"{', '.join(wrong)}: not among {', '.join(known)}")
    run(args, cases)


if __name__ == "__main__":
    main()
